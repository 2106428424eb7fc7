// What an endpoint did, as stretches of time, from its event list. Pure.
//
//  events   woke        paused        thawed     stopped
//  spans    ▁starting▁█ active █▄▄▄ paused ▄▄▄█ active █▁▁ stopped …
//
// The list is kept only for a while; what was before its oldest entry is `unknown`, and shown as such.

/** One entry of `GET …/events`. */
export interface EndpointEvent {
  id: number;
  at: string;
  kind: string;
  detail: Record<string, unknown>;
}

/** What an endpoint can be doing; `unknown`: before the list begins. */
export type State = 'unknown' | 'stopped' | 'starting' | 'active' | 'paused' | 'stopping';

/** A stretch of one state. Times in milliseconds since 1970. */
export interface Span {
  state: State;
  from: number;
  to: number;
  /** The event that began it. */
  event?: EndpointEvent;
}

/** A wake with where its time went. */
export interface Wake {
  /** When it was over. */
  at: number;
  /** `client`, `request`, `schedule`, `heal`. */
  cause: string;
  /** Milliseconds. */
  total: number;
  /** In order; empty for a thaw. Milliseconds. */
  phases: { name: string; ms: number }[];
  kind: 'woke' | 'thawed';
}

/** Something to mark on the timeline that is not a state: a crash, a change of size. */
export interface Mark {
  at: number;
  kind: string;
  text: string;
  bad: boolean;
}

/** Everything the timeline shows. */
export interface Timeline {
  spans: Span[];
  wakes: Wake[];
  marks: Mark[];
}

const PHASES: readonly (readonly [string, string])[] = [
  ['queue_us', 'queue'],
  ['materialise_us', 'data directory'],
  ['spawn_us', 'spawn'],
  ['ready_us', 'PostgreSQL start'],
  ['apply_us', 'apply changes'],
  ['connect_us', 'backend'],
  ['first_row_us', 'first row'],
];

/** Names of the phases, in order, for a legend. */
export const PHASE_NAMES: readonly string[] = PHASES.map(([, name]) => name);

function micros(value: unknown): number {
  return typeof value === 'number' ? value / 1000 : 0;
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** Reads one event as a wake; `null` when it is none. */
export function wakeOf(event: EndpointEvent): Wake | null {
  const at = Date.parse(event.at);
  const cause = text(event.detail.cause);
  if (event.kind === 'thawed') {
    return { at, cause, total: micros(event.detail.thaw_us), phases: [], kind: 'thawed' };
  }
  if (event.kind !== 'woke') return null;
  const given = (event.detail.phases ?? {}) as Record<string, unknown>;
  const phases = PHASES.map(([key, name]) => ({ name, ms: micros(given[key]) }));
  const total = phases.reduce((sum, phase) => sum + phase.ms, 0);
  return { at, cause, total, phases, kind: 'woke' };
}

/** The state after an event; `null`: it changes none. */
function after(kind: string): State | null {
  switch (kind) {
    case 'woke':
    case 'thawed':
    case 'adopted':
      return 'active';
    case 'paused':
      return 'paused';
    case 'stopped':
    case 'start_failed':
    case 'crashed':
      return 'stopped';
    default:
      return null;
  }
}

function markOf(event: EndpointEvent): Mark | null {
  const { kind, detail } = event;
  const at = Date.parse(event.at);
  switch (kind) {
    case 'crashed':
      return { at, kind, text: `crashed: ${text(detail.how) || 'no reason known'}`, bad: true };
    case 'start_failed':
      return { at, kind, text: `start failed: ${text(detail.message)}`, bad: true };
    case 'trouble':
      return { at, kind, text: text(detail.message), bad: true };
    case 'quota_soft':
    case 'quota_exceeded':
      return { at, kind, text: kind === 'quota_soft' ? 'near a quota' : 'quota exceeded', bad: kind !== 'quota_soft' };
    case 'resized':
      return {
        at, kind, bad: false,
        text: `${String(detail.from_cu)} → ${String(detail.to_cu)} CU (${text(detail.reason)})`,
      };
    case 'adopted':
      return { at, kind, text: 'taken over from a server that had ended', bad: false };
    default:
      return null;
  }
}

/**
 * Reads an event list (any order) for the time between `from` and `to`.
 * `now` is what the endpoint says it is doing; `created`: before it there was nothing.
 */
export function timeline(
  events: readonly EndpointEvent[],
  from: number,
  to: number,
  now: { state: State; created: number },
): Timeline {
  const ordered = [...events].sort((a, b) => a.id - b.id);
  const wakes = ordered.map(wakeOf).filter((wake): wake is Wake => wake !== null);
  const marks = ordered.map(markOf).filter((mark): mark is Mark => mark !== null);
  const spans: Span[] = [];
  const push = (span: Span) => {
    const last = spans[spans.length - 1];
    if (last && last.to > span.from) last.to = span.from;
    if (last && last.to <= last.from) spans.pop();
    spans.push(span);
  };
  if (now.created < to) push({ state: 'unknown', from: now.created, to });
  for (const event of ordered) {
    const state = after(event.kind);
    if (state === null) continue;
    const at = Date.parse(event.at);
    const lead = leadOf(event);
    if (lead > 0) {
      push({ state: state === 'active' ? 'starting' : 'stopping', from: at - lead, to: at, event });
    }
    push({ state, from: at, to, event });
  }
  const last = spans[spans.length - 1];
  if (last && now.state !== last.state && now.state !== 'unknown' && last.state === 'unknown') last.state = now.state;
  return {
    spans: spans
      .map((span) => ({ ...span, from: Math.max(span.from, from), to: Math.min(span.to, to) }))
      .filter((span) => span.to > span.from),
    wakes: wakes.filter((wake) => wake.at >= from && wake.at <= to),
    marks: marks.filter((mark) => mark.at >= from && mark.at <= to),
  };
}

/** How long the endpoint was on its way to what the event tells, milliseconds. */
function leadOf(event: EndpointEvent): number {
  const wake = wakeOf(event);
  if (wake) return wake.total;
  return event.kind === 'stopped' && typeof event.detail.took_ms === 'number' ? event.detail.took_ms : 0;
}

/** Time in each state, milliseconds. */
export function sums(spans: readonly Span[]): Record<State, number> {
  const out: Record<State, number> = { unknown: 0, stopped: 0, starting: 0, active: 0, paused: 0, stopping: 0 };
  for (const span of spans) out[span.state] += span.to - span.from;
  return out;
}
