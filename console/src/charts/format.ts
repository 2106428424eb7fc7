// Numbers as people read them: bytes, durations, money, percent. Pure.
//
// Everything takes SI base units (bytes, milliseconds) and says its unit itself.

const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** At most `digits` after the point, without trailing zeros. */
export function number(value: number, digits = 2): string {
  return new Intl.NumberFormat('en', { maximumFractionDigits: digits }).format(value);
}

/** Three significant digits are enough to compare, whatever the size. */
function significant(value: number): string {
  return new Intl.NumberFormat('en', { maximumSignificantDigits: 3 }).format(value);
}

/** 1536 → "1.5 KiB". */
export function bytes(value: number): string {
  let unit = 0;
  let rest = Math.abs(value);
  while (rest >= 1023.5 && unit < BYTE_UNITS.length - 1) {
    rest /= 1024;
    unit++;
  }
  return `${value < 0 ? '−' : ''}${significant(rest)} ${BYTE_UNITS[unit]}`;
}

/** 12_345 → "12.3 k", for axes and tiles. */
export function compact(value: number): string {
  if (Math.abs(value) < 10_000) return number(value, Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0);
  return new Intl.NumberFormat('en', { notation: 'compact', maximumSignificantDigits: 3 }).format(value);
}

/** Milliseconds → "0.4 ms", "312 ms", "4.2 s", "3 min 20 s", "2 h 5 min", "3 d 4 h". */
export function duration(ms: number): string {
  const of = Math.abs(ms);
  if (of < 1) return of === 0 ? '0 ms' : `${significant(ms)} ms`;
  if (of < 999.5) return `${of < 10 ? number(ms, 1) : Math.round(ms)} ms`;
  if (of < 59_950) return `${number(ms / 1000, of < 10_000 ? 2 : 1)} s`;
  const seconds = Math.round(ms / 1000);
  if (of < 3_599_500) return two(Math.floor(seconds / 60), 'min', seconds % 60, 's');
  const minutes = Math.round(seconds / 60);
  if (minutes < 24 * 60) return two(Math.floor(minutes / 60), 'h', minutes % 60, 'min');
  const hours = Math.round(minutes / 60);
  return two(Math.floor(hours / 24), 'd', hours % 24, 'h');
}

function two(large: number, unit: string, small: number, smaller: string): string {
  return small === 0 ? `${large} ${unit}` : `${large} ${unit} ${small} ${smaller}`;
}

/** "$12.30"; amounts below a cent are told, not rounded to nothing. */
export function money(amount: number, currency = 'USD'): string {
  const small = amount !== 0 && Math.abs(amount) < 0.01;
  const options: Intl.NumberFormatOptions = small
    ? { maximumSignificantDigits: 2 }
    : { minimumFractionDigits: 2, maximumFractionDigits: 2 };
  try {
    return new Intl.NumberFormat('en', { style: 'currency', currency, ...options }).format(amount);
  } catch {
    // A sheet of one's own may name whatever it likes.
    return `${number(amount)} ${currency}`;
  }
}

/** 0–100 → "42 %". */
export function percent(value: number): string {
  return `${number(value, Math.abs(value) < 10 ? 1 : 0)} %`;
}

/** How a value with a unit of the statistics API is written. */
export function unitFormat(unit: string): (value: number) => string {
  switch (unit.toLowerCase()) {
    case 'percent':
    case '%':
      return percent;
    case 'bytes':
      return bytes;
    case 'milliseconds':
    case 'ms':
      return duration;
    case 'seconds':
      return (value) => duration(value * 1000);
    case 'cu':
      return (value) => `${number(value)} CU`;
    case 'usd':
    case 'usd/hour':
      return (value) => money(value);
    default:
      return compact;
  }
}
