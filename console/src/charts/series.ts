// Series of points in time: gaps, thinning, the nearest point, stacking. Pure.

/** One value at one time; `null` is known to be missing. */
export interface Point {
  /** Milliseconds since 1970. */
  t: number;
  v: number | null;
}

/** A named line. */
export interface Series {
  name: string;
  points: readonly Point[];
  /** Which colour, 0 to 7; by position when absent. */
  colour?: number;
}

/** A point that has a value. */
export interface Known {
  t: number;
  v: number;
}

/** Runs of points without a gap: a missing value, or more than `gap` milliseconds between two, breaks the line. */
export function segments(points: readonly Point[], gap: number): Known[][] {
  const out: Known[][] = [];
  let run: Known[] = [];
  for (const { t, v } of points) {
    const last = run[run.length - 1];
    if (v === null || !Number.isFinite(v) || (last && t - last.t > gap)) {
      if (run.length > 0) out.push(run);
      run = [];
    }
    if (v !== null && Number.isFinite(v)) run.push({ t, v });
  }
  if (run.length > 0) out.push(run);
  return out;
}

/** Keeps the lowest and the highest point of each of `buckets` stretches: a spike of one point stays visible. */
export function thin(points: readonly Known[], buckets: number): readonly Known[] {
  const first = points[0];
  const last = points[points.length - 1];
  if (!first || !last || points.length <= buckets * 2) return points;
  const width = (last.t - first.t) / buckets || 1;
  const out: Known[] = [];
  let at = 0;
  while (at < points.length) {
    const start = points[at] as Known;
    const bucket = Math.floor((start.t - first.t) / width);
    let low = start;
    let high = start;
    let next: Known | undefined = start;
    while (next && Math.floor((next.t - first.t) / width) === bucket) {
      if (next.v < low.v) low = next;
      if (next.v > high.v) high = next;
      next = points[++at];
    }
    if (low === high) out.push(low);
    else if (low.t < high.t) out.push(low, high);
    else out.push(high, low);
  }
  return out;
}

/** The index of the point nearest to `t`; −1 when there is none. Points are in order of time. */
export function nearest(points: readonly { t: number }[], t: number): number {
  let low = 0;
  let high = points.length - 1;
  if (high < 0) return -1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((points[middle] as { t: number }).t < t) low = middle + 1;
    else high = middle;
  }
  const before = points[low - 1];
  return before && t - before.t <= (points[low] as { t: number }).t - t ? low - 1 : low;
}

/** All times of all series, once each, in order. */
export function times(series: readonly Series[]): number[] {
  const all = new Set<number>();
  for (const { points } of series) for (const { t } of points) all.add(t);
  return [...all].sort((a, b) => a - b);
}

/** Lowest and highest value of all series; `null` when there is no value at all. */
export function extent(series: readonly Series[]): [number, number] | null {
  let low = Infinity;
  let high = -Infinity;
  for (const { points } of series) {
    for (const { v } of points) {
      if (v === null || !Number.isFinite(v)) continue;
      low = Math.min(low, v);
      high = Math.max(high, v);
    }
  }
  return low > high ? null : [low, high];
}

/** The gap that breaks a line: two and a half times the usual distance of two points. */
export function usualGap(points: readonly { t: number }[]): number {
  const steps: number[] = [];
  for (let n = 1; n < points.length; n++) {
    steps.push((points[n] as { t: number }).t - (points[n - 1] as { t: number }).t);
  }
  steps.sort((a, b) => a - b);
  const median = steps[steps.length >> 1];
  return median === undefined ? Infinity : median * 2.5;
}

/** Where one part of a stacked bar lies. */
export interface Slab {
  from: number;
  to: number;
}

/** Puts the parts of one bar on top of each other; negative and unknown ones take no room. */
export function stack(parts: readonly (number | null)[]): Slab[] {
  let top = 0;
  return parts.map((part) => {
    const from = top;
    top += part !== null && part > 0 ? part : 0;
    return { from, to: top };
  });
}

/** The `most` largest groups by their sum, and the rest as one. */
export function largest<T>(
  groups: readonly T[],
  sum: (group: T) => number,
  most: number,
): { kept: T[]; rest: T[] } {
  const sorted = [...groups].sort((a, b) => sum(b) - sum(a));
  return sorted.length <= most
    ? { kept: sorted, rest: [] }
    : { kept: sorted.slice(0, most - 1), rest: sorted.slice(most - 1) };
}
