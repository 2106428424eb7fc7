// Figures and words as people read them. Pure, no state.

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** Bytes with a binary unit: 1536 → "1.5 KiB". */
export function bytes(value: number | undefined | null): string {
  if (value === undefined || value === null) return '–';
  let n = value;
  let unit = 0;
  while (n >= 1024 && unit < UNITS.length - 1) {
    n /= 1024;
    unit += 1;
  }
  return `${unit === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${UNITS[unit]}`;
}

const whole = new Intl.NumberFormat('en');

/** A number with separators between thousands. */
export function number(value: number, digits = 0): string {
  return digits === 0 ? whole.format(Math.round(value)) : value.toLocaleString('en', { maximumFractionDigits: digits });
}

/** Compute units: 0.25 → "0.25 CU". */
export function cu(value: number | undefined | null): string {
  return value === undefined || value === null ? '–' : `${number(value, 2)} CU`;
}

/** "3 branches", "1 branch". */
export function count(n: number, one: string, many = `${one}s`): string {
  return `${number(n)} ${n === 1 ? one : many}`;
}

const STEPS: [number, string][] = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];

/** A length of time with at most two units: 5400 → "1 h 30 min". */
export function duration(seconds: number): string {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10 && !Number.isInteger(seconds)) return `${seconds.toFixed(1)} s`;
  let rest = Math.round(seconds);
  const parts: string[] = [];
  for (const [size, unit] of STEPS) {
    const n = Math.floor(rest / size);
    rest -= n * size;
    if (n > 0) parts.push(`${n} ${unit}`);
    if (parts.length === 2 || (parts.length === 1 && n === 0)) break;
  }
  return parts.join(' ') || '0 s';
}

/** Milliseconds as a length of time: 312 → "312 ms", 1250 → "1.3 s". */
export function millis(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : duration(ms / 1000);
}

/** "just now", "5 min ago", "in 2 h". */
export function relative(at: Date, now: number): string {
  const seconds = Math.round((now - at.getTime()) / 1000);
  const far = Math.abs(seconds);
  if (far < 5) return 'just now';
  const [size, unit] = STEPS.find(([step]) => far >= step) ?? [1, 's'];
  // Seven days from now is "in 7 d" a moment later, too.
  return seconds >= 0 ? `${Math.floor(far / size)} ${unit} ago` : `in ${Math.round(far / size)} ${unit}`;
}

const full = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });
const day = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium' });

/** "26 Nov 2026, 14:05:09", in the reader's time zone. */
export const dateTime = (at: Date): string => full.format(at);
/** "26 Nov 2026". */
export const date = (at: Date): string => day.format(at);

/** `create_project` → "Create project". */
export function words(name: string): string {
  const text = name.replace(/[_-]+/g, ' ');
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** The value of `<input type="datetime-local">` in the reader's time zone. */
export function localInput(at: Date): string {
  const shifted = new Date(at.getTime() - at.getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 19);
}
