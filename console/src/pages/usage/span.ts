// Which time a usage page is about, and in which steps. Pure. The ledger counts in UTC, so all of this is UTC.
import type { Granularity } from '../../api/usage';

export type SpanName = 'day' | 'week' | 'month' | 'last_month' | 'year';

export interface Span {
  from: Date;
  to: Date;
  granularity: Granularity;
}

export const SPANS: { value: SpanName; label: string }[] = [
  { value: 'day', label: '24 h' },
  { value: 'week', label: '7 days' },
  { value: 'month', label: 'This month' },
  { value: 'last_month', label: 'Last month' },
  { value: 'year', label: '12 months' },
];

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** The span of this name at `now`. */
export function spanOf(name: SpanName, now: Date): Span {
  const [year, month] = [now.getUTCFullYear(), now.getUTCMonth()];
  const at = now.getTime();
  switch (name) {
    case 'day':
      return { from: new Date(Math.floor(at / HOUR) * HOUR - 23 * HOUR), to: now, granularity: 'hour' };
    case 'week':
      return { from: new Date(Math.floor(at / DAY) * DAY - 6 * DAY), to: now, granularity: 'day' };
    case 'last_month':
      return { from: new Date(Date.UTC(year, month - 1, 1)), to: new Date(Date.UTC(year, month, 1)), granularity: 'day' };
    case 'year':
      return { from: new Date(Date.UTC(year, month - 11, 1)), to: now, granularity: 'month' };
    default:
      return { from: new Date(Date.UTC(year, month, 1)), to: now, granularity: 'day' };
  }
}

/** The hours of a period in which something was counted: not those to come, nor those before anything was known. An average
 * over the others would be too small. All in ISO 8601; `to` is where the report ends. */
export function countedHours(period: { start: string; end: string }, report: { to: string; known_since?: string }): number {
  const until = Math.min(Date.parse(period.end), Date.parse(report.to));
  const known = Date.parse(report.known_since ?? '');
  const from = known < until ? Math.max(Date.parse(period.start), known) : Date.parse(period.start);
  return Math.max(1 / 60, (until - from) / HOUR);
}

/** Below a bar: "05:00", "26 Nov", "Nov". */
export function shortName(start: number, granularity: Granularity): string {
  const options: Record<Granularity, Intl.DateTimeFormatOptions> = {
    hour: { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' },
    day: { day: 'numeric', month: 'short' },
    month: { month: 'short', year: '2-digit' },
  };
  return new Intl.DateTimeFormat('en-GB', { timeZone: 'UTC', ...options[granularity] }).format(start);
}

/** "2026-11", for the months before `now`, the newest first. */
export function months(now: Date, count: number): { value: string; label: string }[] {
  return Array.from({ length: count }, (_, n) => {
    const start = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - n, 1));
    return { value: start.toISOString().slice(0, 7), label: new Intl.DateTimeFormat('en-GB', { timeZone: 'UTC', month: 'long', year: 'numeric' }).format(start) };
  });
}
