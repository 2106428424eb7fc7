// Time axes: ticks at round local times, and their labels. Pure but for the local time zone.

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Steps of an axis, from seconds to a week. Above it, months. */
const STEPS: readonly number[] = [
  SECOND, 5 * SECOND, 15 * SECOND, 30 * SECOND,
  MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE,
  HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR,
  DAY, 2 * DAY, 7 * DAY,
];

/** A step of months cannot be counted in milliseconds. */
const LONGEST = 21 * DAY;

/** One mark of a time axis. */
export interface TimeTick {
  /** Milliseconds since 1970. */
  at: number;
  label: string;
  /** It begins a day (or a year), so its label says which. */
  major: boolean;
}

/** At most about `count` ticks between two times, in milliseconds since 1970. */
export function timeTicks(from: number, to: number, count: number, locale?: string): TimeTick[] {
  if (!(to > from) || count < 1) return [];
  const rough = (to - from) / count;
  if (rough > LONGEST) return monthTicks(from, to, rough, locale);
  const step = STEPS.find((step) => step >= rough) ?? 7 * DAY;
  return step >= DAY ? dayTicks(from, to, step, locale) : clockTicks(from, to, step, locale);
}

function clockTicks(from: number, to: number, step: number, locale?: string): TimeTick[] {
  const withSeconds = step < MINUTE;
  const clock = new Intl.DateTimeFormat(locale, {
    hour: '2-digit', minute: '2-digit', hourCycle: 'h23', ...(withSeconds && { second: '2-digit' }),
  });
  const day = new Intl.DateTimeFormat(locale, { day: 'numeric', month: 'short' });
  const ticks: TimeTick[] = [];
  // Day by day, because days have 23 or 25 hours where clocks are changed.
  for (let start = midnight(from); start <= to; start = nextDay(start)) {
    const end = nextDay(start);
    const first = Math.max(0, Math.ceil((from - start) / step));
    for (let at = start + first * step; at < end && at <= to; at += step) {
      const major = at === start;
      ticks.push({ at, label: major ? day.format(at) : clock.format(at), major });
    }
  }
  return ticks;
}

function dayTicks(from: number, to: number, step: number, locale?: string): TimeTick[] {
  const label = new Intl.DateTimeFormat(locale, { day: 'numeric', month: 'short' });
  const days = Math.round(step / DAY);
  const ticks: TimeTick[] = [];
  for (let at = midnight(from); at <= to; at = nextDay(at)) {
    const number = Math.round((at - new Date(at).getTimezoneOffset() * MINUTE) / DAY);
    // Day 4 of 1970-01 was a Sunday: weeks begin on Mondays.
    const wanted = days === 7 ? new Date(at).getDay() === 1 : number % days === 0;
    if (at >= from && wanted) ticks.push({ at, label: label.format(at), major: new Date(at).getDate() === 1 });
  }
  return ticks;
}

function monthTicks(from: number, to: number, rough: number, locale?: string): TimeTick[] {
  const every = [1, 2, 3, 6, 12, 24, 60, 120].find((months) => months * 31 * DAY >= rough) ?? 240;
  const month = new Intl.DateTimeFormat(locale, { month: 'short' });
  const year = new Intl.DateTimeFormat(locale, { year: 'numeric' });
  const ticks: TimeTick[] = [];
  const date = new Date(from);
  for (let n = date.getFullYear() * 12 + date.getMonth(); ; n++) {
    const at = new Date(Math.floor(n / 12), n % 12, 1).getTime();
    if (at > to) return ticks;
    if (at < from || n % every !== 0) continue;
    const major = n % 12 === 0;
    ticks.push({ at, label: major ? year.format(at) : month.format(at), major });
  }
}

function midnight(at: number): number {
  return new Date(at).setHours(0, 0, 0, 0);
}

function nextDay(at: number): number {
  const date = new Date(at);
  return new Date(date.getFullYear(), date.getMonth(), date.getDate() + 1).getTime();
}

/** A moment in full, for tooltips and tables: "26 Nov 2026, 05:40:12". */
export function fullTime(at: number, locale?: string): string {
  return new Intl.DateTimeFormat(locale, {
    day: 'numeric', month: 'short', year: 'numeric',
    hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23',
  }).format(at);
}

/** What a bar stands for: "26 Nov, 05:00", "26 Nov 2026" or "November 2026". */
export function periodName(start: number, granularity: 'hour' | 'day' | 'month', locale?: string): string {
  // Periods of usage are UTC; writing them in local time would put a day's bar on the day before.
  const options: Record<typeof granularity, Intl.DateTimeFormatOptions> = {
    hour: { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' },
    day: { day: 'numeric', month: 'short', year: 'numeric' },
    month: { month: 'long', year: 'numeric' },
  };
  return new Intl.DateTimeFormat(locale, { timeZone: 'UTC', ...options[granularity] }).format(start);
}
