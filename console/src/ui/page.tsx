// The frame of a page and its parts. Every page starts with <Page>, which names the tab and says where one is.
import type { ComponentChildren } from 'preact';
import { useEffect } from 'preact/hooks';
import { Skeleton } from './feedback';
import './page.css';

export interface PageProps {
  title: string;
  /** Above the title, such as what it is. */
  kicker?: ComponentChildren;
  /** Beside the title, such as a state. */
  aside?: ComponentChildren;
  /** Below it, one line. */
  lead?: ComponentChildren;
  actions?: ComponentChildren;
  children: ComponentChildren;
}

export function Page({ title, kicker, aside, lead, actions, children }: PageProps) {
  useEffect(() => { document.title = title ? `${title} · Dormouse` : 'Dormouse'; }, [title]);
  return (
    <div class="page">
      <header class="page-head">
        <div class="grow">
          {kicker && <p class="page-kicker">{kicker}</p>}
          <div class="row wrap"><h1>{title || <Skeleton width="12rem" />}</h1>{aside}</div>
          {lead && <p class="muted page-lead">{lead}</p>}
        </div>
        {actions && <div class="page-actions">{actions}</div>}
      </header>
      {children}
    </div>
  );
}

/** A part of a page with a heading. */
export function Section({ title, lead, actions, children }: { title: ComponentChildren; lead?: ComponentChildren; actions?: ComponentChildren; children: ComponentChildren }) {
  return (
    <section class="section">
      <header class="section-head">
        <div class="grow"><h2>{title}</h2>{lead && <p class="muted small">{lead}</p>}</div>
        {actions && <div class="row">{actions}</div>}
      </header>
      {children}
    </section>
  );
}

/** A white area. `flush`: its content goes to the edges. */
export function Card({ children, flush }: { children: ComponentChildren; flush?: boolean }) {
  return <div class={`card${flush ? ' card-flush' : ''}`}>{children}</div>;
}

/** Figures in a row, or `four` in each. Each keeps its room while it is being loaded. */
export function Stats({ children, four }: { children: ComponentChildren; four?: boolean }) {
  return <dl class={four ? 'stats stats-4' : 'stats'}>{children}</dl>;
}

export function Stat({ label, children, note }: { label: ComponentChildren; children: ComponentChildren; note?: ComponentChildren }) {
  return (
    <div class="stat">
      <dt>{label}</dt>
      <dd>{children === undefined || children === null ? <Skeleton width="4rem" /> : children}</dd>
      {note !== undefined && <dd class="stat-note">{note}</dd>}
    </div>
  );
}

/** Names and values, one pair a line. */
export function Facts({ rows }: { rows: [ComponentChildren, ComponentChildren][] }) {
  return (
    <dl class="facts">
      {rows.map(([name, value], n) => <div key={n}><dt>{name}</dt><dd>{value ?? <Skeleton width="6rem" />}</dd></div>)}
    </dl>
  );
}
