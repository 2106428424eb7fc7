import { describe, expect, it } from 'vitest';
import { countedHours, months, shortName, spanOf } from './span';

const now = new Date('2026-03-01T05:40:12Z');
const iso = (name: Parameters<typeof spanOf>[0]) => {
  const { from, to, granularity } = spanOf(name, now);
  return [from.toISOString(), to.toISOString(), granularity];
};

describe('spans', () => {
  it('begin at whole hours, days and months in UTC', () => {
    expect(iso('day')).toEqual(['2026-02-28T06:00:00.000Z', now.toISOString(), 'hour']);
    expect(iso('week')).toEqual(['2026-02-23T00:00:00.000Z', now.toISOString(), 'day']);
    expect(iso('month')).toEqual(['2026-03-01T00:00:00.000Z', now.toISOString(), 'day']);
    expect(iso('last_month')).toEqual(['2026-02-01T00:00:00.000Z', '2026-03-01T00:00:00.000Z', 'day']);
    expect(iso('year')).toEqual(['2025-04-01T00:00:00.000Z', now.toISOString(), 'month']);
  });

  it('count the hours that were counted, for averages', () => {
    const day = { start: '2026-03-01T00:00:00Z', end: '2026-03-02T00:00:00Z' };
    expect(countedHours(day, { to: '2026-03-05T00:00:00Z' })).toBe(24);
    expect(countedHours(day, { to: '2026-03-01T06:00:00Z', known_since: '2026-01-01T00:00:00Z' })).toBe(6);
    expect(countedHours(day, { to: '2026-03-01T06:00:00Z', known_since: '2026-03-01T04:00:00Z' })).toBe(2);
    expect(countedHours(day, { to: '2026-03-05T00:00:00Z', known_since: '2026-03-04T00:00:00Z' })).toBe(24);
    expect(countedHours(day, { to: '2026-03-01T00:00:00Z' })).toBeGreaterThan(0);
  });

  it('have names', () => {
    expect([shortName(Date.UTC(2026, 1, 28, 6), 'hour'), shortName(Date.UTC(2026, 1, 28), 'day'), shortName(Date.UTC(2026, 1, 1), 'month')]).toEqual(['06:00', '28 Feb', 'Feb 26']);
    expect(months(now, 3).map(({ value }) => value)).toEqual(['2026-03', '2026-02', '2026-01']);
    expect(months(now, 1)[0]?.label).toBe('March 2026');
  });
});
