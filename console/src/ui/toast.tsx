// Short news in a corner: that something was done, or why it was not.
import { useRef } from 'preact/hooks';
import { ApiError } from '../api/client';
import { createStore, useStore } from '../api/store';
import { Button } from './button';
import { Close } from './icons';
import { Inline } from './markdown';
import { useOnTop } from './ontop';
import './toast.css';

export interface Toast {
  id: number;
  text: string;
  hint?: string | undefined;
  kind: 'done' | 'failed';
}

const STAYS_MS = 5000;
const FAILED_STAYS_MS = 12_000;
const MAX_TOASTS = 4;

const store = createStore<Toast[]>([]);
let last = 0;

function show(toast: Omit<Toast, 'id'>): void {
  const id = ++last;
  store.set([...store.get(), { id, ...toast }].slice(-MAX_TOASTS));
  setTimeout(() => dismiss(id), toast.kind === 'done' ? STAYS_MS : FAILED_STAYS_MS);
}

function dismiss(id: number): void {
  store.set(store.get().filter((toast) => toast.id !== id));
}

/** It was done. */
export function done(text: string): void {
  show({ text, kind: 'done' });
}

/** It was not done, because of this. */
export function failed(what: string, error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  show({ text: `${what}: ${message}`, hint: error instanceof ApiError ? error.hint : undefined, kind: 'failed' });
}

export function Toasts() {
  const toasts = useStore(store);
  const ref = useRef<HTMLDivElement>(null);
  useOnTop(ref, toasts.length > 0, last);
  return (
    <div class="toasts" ref={ref} popover="manual" role="status" aria-live="polite">
      {toasts.map((toast) => (
        <div key={toast.id} class={`toast toast-${toast.kind}`}>
          <div class="grow">
            <p><Inline text={toast.text} /></p>
            {toast.hint && <p class="small muted"><Inline text={toast.hint} /></p>}
          </div>
          <Button kind="quiet" small icon={<Close />} aria-label="Dismiss" onClick={() => dismiss(toast.id)} />
        </div>
      ))}
    </div>
  );
}
