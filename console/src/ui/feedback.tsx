// What stands where data will be, is not, or cannot be: skeletons that take the room of what comes, and two kinds of
// nothing. Nothing on a page moves when the data arrives.
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { ApiError } from '../api/client';
import { Button } from './button';
import { HelpDialog } from './help';
import { Warn } from './icons';
import { Inline } from './markdown';
import './feedback.css';

/** A grey bar as wide and high as what comes, in CSS units. */
export function Skeleton({ width = '100%', height = '1em' }: { width?: string; height?: string }) {
  return <span class="skeleton" style={{ width, height }} aria-hidden="true" />;
}

/** Rows of a list that is being loaded. */
export function SkeletonRows({ rows = 5, height = 'var(--row)' }: { rows?: number; height?: string }) {
  return (
    <div role="status" aria-label="Loading">
      {Array.from({ length: rows }, (_, n) => (
        <div key={n} class="skeleton-row" style={{ height }}><Skeleton width={`${70 - ((n * 17) % 40)}%`} height="0.75rem" /></div>
      ))}
    </div>
  );
}

/** There is nothing yet: what would be here, and how to get it. */
export function EmptyState({ title, children, action, icon }: { title: string; children?: ComponentChildren; action?: ComponentChildren; icon?: ComponentChildren }) {
  return (
    <div class="nothing">
      {icon && <div class="nothing-icon">{icon}</div>}
      <h2>{title}</h2>
      {children && <p>{children}</p>}
      {action && <div class="row wrap">{action}</div>}
    </div>
  );
}

/** It could not be loaded: why, what to do, and once more. */
export function ErrorState({ error, retry, what = 'This cannot be shown' }: { error: Error; retry?: () => void; what?: string }) {
  return (
    <div class="nothing" role="alert">
      <div class="nothing-icon bad"><Warn size={20} /></div>
      <h2>{what}</h2>
      <ErrorText error={error} />
      {retry && <Button onClick={retry}>Try again</Button>}
    </div>
  );
}

/** The text of an error, with its hint and its page. */
export function ErrorText({ error }: { error: Error }) {
  const [help, setHelp] = useState(false);
  if (!(error instanceof ApiError)) return <p>{error.message}</p>;
  return (
    <>
      <p><Inline text={error.message} />{error.hint && <> <Inline text={error.hint} /></>}</p>
      {error.hasPage && (
        <p class="small">
          <button type="button" class="text-button" onClick={() => setHelp(true)}>What <code>{error.code}</code> means</button>
        </p>
      )}
      {help && <HelpDialog error={error} onClose={() => setHelp(false)} />}
    </>
  );
}

/** An error above or below a form. */
export function FormError({ error }: { error: Error | undefined }) {
  return error ? <div class="form-error" role="alert"><Warn /><div class="grow"><ErrorText error={error} /></div></div> : null;
}

/** A remark that people should not miss. */
export function Note({ kind = 'info', children }: { kind?: 'info' | 'warn' | 'bad'; children: ComponentChildren }) {
  return <div class={`note note-${kind}`}>{children}</div>;
}
