// Figures of charts and of money, beside those of ../ui/format: an axis needs them shorter, a wake needs them finer. Pure.
import { bytes, millis, number } from '../ui/format';

/** 12_345 → "12.3K", for axes and tiles. */
export function compact(value: number): string {
  const size = Math.abs(value);
  if (size > 0 && size < 0.1) return little(value);
  if (size < 10_000) return number(value, size < 10 ? 2 : size < 100 ? 1 : 0);
  return new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 }).format(value);
}

/** Two significant digits of something small: 0.00213 → "0.0021". */
function little(value: number): string {
  return new Intl.NumberFormat('en', { maximumSignificantDigits: 2 }).format(value);
}

/** A figure that may be tiny, such as the CU-hours of a minute. */
export function amount(value: number): string {
  return value !== 0 && Math.abs(value) < 0.1 ? little(value) : number(value, 2);
}

/** Seconds as one unit for a whole axis, by its highest value: minutes of a day, hours of a month. */
export function timeUnit(highest: number): { seconds: number; name: string } {
  if (highest < 180) return { seconds: 1, name: 's' };
  if (highest < 3 * 3600) return { seconds: 60, name: 'min' };
  return { seconds: 3600, name: 'h' };
}

/** Milliseconds of something quick: "0.42 ms", "7.3 ms", "312 ms", "4.2 s", "3 min 20 s". */
export function fine(ms: number): string {
  const size = Math.abs(ms);
  if (size >= 100) return millis(ms);
  return `${number(ms, size < 1 ? 2 : size < 10 ? 1 : 0)} ms`;
}

/** "$12.30"; amounts below a cent are told, not rounded to nothing. */
export function money(amount: number, currency = 'USD'): string {
  const small = amount !== 0 && Math.abs(amount) < 0.01;
  const options: Intl.NumberFormatOptions = small ? { maximumSignificantDigits: 2 } : { minimumFractionDigits: 2, maximumFractionDigits: 2 };
  try {
    return new Intl.NumberFormat('en', { style: 'currency', currency, ...options }).format(amount);
  } catch {
    // A sheet of one's own may name whatever it likes.
    return `${number(amount, 2)} ${currency}`;
  }
}

/** A price of one unit, to the last digit: rounded, it would not add up with the amount beside it. */
export function unitPrice(amount: number, currency = 'USD'): string {
  try {
    return new Intl.NumberFormat('en', { style: 'currency', currency, minimumFractionDigits: 2, maximumFractionDigits: 8 }).format(amount);
  } catch {
    return `${number(amount, 8)} ${currency}`;
  }
}

/** 0–100 → "42 %". */
export function percent(value: number): string {
  if (value !== 0 && Math.abs(value) < 0.1) return `${little(value)} %`;
  return `${number(value, Math.abs(value) < 10 ? 1 : 0)} %`;
}

/** How much of a time something was active; several at once are no percentage: "42 % of the time", "2.3 at a time". */
export function activity(activeSeconds: number, seconds: number): string {
  const share = activeSeconds / Math.max(1, seconds);
  return share <= 1 ? `${percent(100 * share)} of the time` : `${number(share, share < 10 ? 1 : 0)} at a time, on average`;
}

/** A round number of bytes without ".0": for axes, where "1.0 GiB" is noise. */
export function roundBytes(value: number): string {
  return bytes(value).replace('.0 ', ' ');
}

/** How a figure with a unit of the statistics API is written. */
export function unitFormat(unit: string): (value: number) => string {
  switch (unit) {
    case 'percent':
      return percent;
    case 'bytes':
      return roundBytes;
    case 'milliseconds':
      return fine;
    case 'cu':
      return (value) => `${number(value, 2)} CU`;
    case 'usd_per_hour':
      return (value) => `${money(value)}/h`;
    case 'per_hour':
      return (value) => `${compact(value)}/h`;
    default:
      return compact;
  }
}
