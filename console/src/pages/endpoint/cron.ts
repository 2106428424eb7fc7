// Keep-warm windows as people think of them: from when, how long, on which days. Pure. Times are UTC, as the server's are.
import type { KeepWarm } from '../../api/endpoint';

/** A window on some days of every week. */
export interface Weekly {
  hour: number;
  minute: number;
  /** 0 = Sunday … 6 = Saturday; never empty. */
  days: number[];
}

const NAMES = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const SHORT = NAMES.map((name) => name.slice(0, 3));
const ALL = [0, 1, 2, 3, 4, 5, 6];

/** Monday first, as calendars here have it. */
export const WEEK: readonly number[] = [1, 2, 3, 4, 5, 6, 0];
export const dayName = (day: number): string => NAMES[day] ?? '';

/** Days of a cron field; `null` when it is none that this form can show. */
function days(field: string): number[] | null {
  if (field === '*') return ALL;
  const all = new Set<number>();
  for (const part of field.split(',')) {
    const [from, to = from] = part.split('-').map((text) => {
      const named = SHORT.findIndex((name) => name.toLowerCase() === text.toLowerCase());
      return named >= 0 ? named : /^[0-7]$/.test(text) ? Number(text) : NaN;
    });
    if (from === undefined || to === undefined || !(from <= to)) return null;
    for (let day = from; day <= to; day++) all.add(day % 7);
  }
  return [...all].sort();
}

/** Reads a schedule that is a time on some days; `null` for all others. */
export function weekly(schedule: string): Weekly | null {
  const [minute, hour, day, month, weekday, more] = schedule.trim().split(/\s+/);
  if (more !== undefined || weekday === undefined || day !== '*' || month !== '*') return null;
  if (!/^\d{1,2}$/.test(minute ?? '') || !/^\d{1,2}$/.test(hour ?? '')) return null;
  const on = days(weekday);
  const [m, h] = [Number(minute), Number(hour)];
  return on && m < 60 && h < 24 ? { minute: m, hour: h, days: on } : null;
}

/** The schedule of a weekly window. */
export function schedule({ hour, minute, days: on }: Weekly): string {
  const sorted = [...new Set(on)].sort();
  if (sorted.length === 7) return `${minute} ${hour} * * *`;
  const runs: number[][] = [];
  for (const day of sorted) {
    const last = runs[runs.length - 1];
    if (last && last[last.length - 1] === day - 1) last.push(day);
    else runs.push([day]);
  }
  const field = runs.map((run) => (run.length > 2 ? `${run[0]}-${run[run.length - 1]}` : run.join(','))).join(',');
  return `${minute} ${hour} * * ${field}`;
}

const clock = (minutes: number) => `${String(Math.floor(minutes / 60) % 24).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}`;

/** "Monday to Friday, 08:00 to 18:00 UTC". */
export function windowWords({ schedule: text, minutes }: KeepWarm): string {
  const week = weekly(text);
  if (!week) return `${text} (UTC), for ${minutes} min`;
  const start = week.hour * 60 + week.minute;
  const later = Math.floor((start + minutes) / 1440);
  const end = clock(start + minutes) + (later === 0 ? '' : later === 1 ? ' the next day' : ` ${later} days later`);
  return `${daysWords(week.days)}, ${clock(start)} to ${end} UTC`;
}

function daysWords(on: readonly number[]): string {
  const ordered = WEEK.filter((day) => on.includes(day));
  if (ordered.length === 7) return 'Every day';
  const places = ordered.map((day) => WEEK.indexOf(day));
  const first = places[0] ?? 0;
  const last = places[places.length - 1] ?? 0;
  if (ordered.length > 2 && last - first === ordered.length - 1) return `${dayName(ordered[0] ?? 0)} to ${dayName(ordered[ordered.length - 1] ?? 0)}`;
  return ordered.map(dayName).join(', ');
}

/** Hours of a week in which the windows keep it awake; overlaps count once. `null`: a schedule cannot be read here. */
export function hoursPerWeek(windows: readonly KeepWarm[]): number | null {
  const WEEK_MINUTES = 7 * 1440;
  const spans: [number, number][] = [];
  for (const { schedule: text, minutes } of windows) {
    const week = weekly(text);
    if (!week) return null;
    for (const day of week.days) {
      const start = day * 1440 + week.hour * 60 + week.minute;
      const end = start + Math.min(minutes, WEEK_MINUTES);
      spans.push([start, Math.min(end, WEEK_MINUTES)]);
      if (end > WEEK_MINUTES) spans.push([0, end - WEEK_MINUTES]);
    }
  }
  spans.sort((a, b) => a[0] - b[0]);
  let sum = 0;
  let until = 0;
  for (const [from, to] of spans) {
    sum += Math.max(0, to - Math.max(from, until));
    until = Math.max(until, to);
  }
  return sum / 60;
}
