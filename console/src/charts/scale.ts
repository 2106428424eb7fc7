// From values to places on the screen, and round numbers for axes. Pure.
//
// What is about time is in `time.ts`; how numbers are written, in `format.ts`.

/** A straight line from values to pixels. */
export interface Scale {
  (value: number): number;
  /** From pixels back to a value. */
  invert(pixel: number): number;
  domain: readonly [number, number];
}

/** A scale; a domain without width leads to the middle of the range. */
export function linear(domain: readonly [number, number], range: readonly [number, number]): Scale {
  const [d0, d1] = domain;
  const [r0, r1] = range;
  const span = d1 - d0;
  const at = (value: number) => (span === 0 ? (r0 + r1) / 2 : r0 + ((value - d0) / span) * (r1 - r0));
  const invert = (pixel: number) => (r1 === r0 ? d0 : d0 + ((pixel - r0) / (r1 - r0)) * span);
  return Object.assign(at, { invert, domain });
}

/** The smallest of 1, 2, 2.5, 5, 10 (times a power of ten) that is not below `rough`. */
function roundStep(rough: number): number {
  const power = 10 ** Math.floor(Math.log10(rough));
  const digit = rough / power;
  const nice = [1, 2, 2.5, 5, 10].find((step) => digit <= step * (1 + 1e-9)) ?? 10;
  return nice * power;
}

/** The smallest power of two, or of 1024 times one of 1, 2, 5 …, as memory is counted. */
function binaryStep(rough: number): number {
  if (rough <= 1) return 1;
  return 2 ** Math.ceil(Math.log2(rough));
}

/** Which numbers an axis has. */
export interface Axis {
  /** What the axis covers; its ends are ticks. */
  domain: [number, number];
  ticks: number[];
}

/**
 * An axis from zero (or from the lowest value below it) to a round number above the highest.
 * `least`: the axis reaches at least so far, so that noise around nothing does not fill the picture.
 */
export function valueAxis(
  low: number,
  high: number,
  options: { count?: number; binary?: boolean; least?: number } = {},
): Axis {
  const count = options.count ?? 4;
  const from = Math.min(0, Number.isFinite(low) ? low : 0);
  let to = Math.max(Number.isFinite(high) ? high : 0, options.least ?? 0, 0);
  if (to <= from) to = from + 1;
  const rough = (to - from) / count;
  const step = options.binary ? binaryStep(rough) : roundStep(rough);
  const first = Math.floor(from / step + 1e-9);
  const last = Math.ceil(to / step - 1e-9);
  const ticks: number[] = [];
  for (let n = first; n <= last; n++) ticks.push(clean(n * step));
  return { domain: [clean(first * step), clean(last * step)], ticks };
}

/** Without the dust of binary fractions: 0.30000000000000004 is 0.3. */
function clean(value: number): number {
  return Number.parseFloat(value.toPrecision(12));
}
