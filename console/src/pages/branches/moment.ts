// A point of a branch's past, and whether it can be one. Pure; how it is chosen is point.tsx.

export type Kind = 'now' | 'time' | 'lsn';

export interface Point {
  kind: Kind;
  /** Milliseconds since the epoch. */
  time: number;
  lsn: string;
}

export const NOW: Point = { kind: 'now', time: 0, lsn: '' };

const LSN = /^[0-9A-Fa-f]{1,8}\/[0-9A-Fa-f]{1,8}$/;

/** Why this point cannot be used, as far as can be said here. */
export function problem(point: Point): string | undefined {
  if (point.kind === 'lsn' && !LSN.test(point.lsn.trim())) return 'A position looks like 0/16B3748.';
  if (point.kind === 'time' && !Number.isFinite(point.time)) return 'Choose a time.';
  return undefined;
}

/** A time within what is kept: what stands on the slider is what is sent. */
export function within(time: number, start: number, end: number): number {
  return Math.min(Math.max(time, start), end);
}
