import { describe, expect, it } from 'vitest';
import { activity, amount, compact, fine, money, percent, roundBytes, timeUnit, unitFormat, unitPrice } from './format';
import { linear, valueAxis } from './scale';
import { extent, largest, nearest, segments, stack, thin, times, usualGap } from './series';
import { periodName, timeTicks } from './time';

describe('scales', () => {
  it('goes there and back', () => {
    const x = linear([10, 20], [0, 100]);
    expect([x(10), x(15), x(20)]).toEqual([0, 50, 100]);
    expect(x.invert(25)).toBe(12.5);
    expect(linear([5, 5], [0, 100])(5)).toBe(50);
  });

  it('has round ticks that cover everything', () => {
    expect(valueAxis(0, 93, { count: 4 }).ticks).toEqual([0, 25, 50, 75, 100]);
    expect(valueAxis(0, 0.3, { count: 3 }).ticks).toEqual([0, 0.1, 0.2, 0.3]);
    expect(valueAxis(-3, 7, { count: 4 }).domain).toEqual([-5, 7.5]);
    expect(valueAxis(Infinity, -Infinity).ticks[0]).toBe(0);
    expect(valueAxis(0, 0).domain).toEqual([0, 1]);
    expect(valueAxis(0, 2, { least: 100 }).domain).toEqual([0, 100]);
    for (const high of [1e-9, 0.7, 3, 17, 999, 1e6, 1.5e15]) {
      const { domain, ticks } = valueAxis(0, high);
      expect(domain[1]).toBeGreaterThanOrEqual(high);
      expect(domain[1]).toBeLessThanOrEqual(high * 2.01);
      expect(ticks.length).toBeLessThanOrEqual(7);
    }
  });

  it('counts memory in powers of two', () => {
    expect(valueAxis(0, 3 * 2 ** 30, { count: 4, binary: true }).ticks.map(roundBytes)).toEqual(['0 B', '1 GiB', '2 GiB', '3 GiB']);
  });
});

describe('time', () => {
  const at = (text: string) => new Date(text).getTime();

  it('has ticks at round times, in bounds', () => {
    const ticks = timeTicks(at('2026-11-26T05:41:07'), at('2026-11-26T06:12:00'), 7, 'en-GB');
    expect(ticks.map(({ label }) => label)).toEqual(['05:45', '05:50', '05:55', '06:00', '06:05', '06:10']);
  });

  it('names the day at midnight', () => {
    const ticks = timeTicks(at('2026-11-25T20:00:00'), at('2026-11-26T05:00:00'), 4, 'en-GB');
    expect(ticks.map(({ label, major }) => (major ? `*${label}` : label))).toEqual(['21:00', '*26 Nov', '03:00']);
  });

  it('counts weeks from Mondays, and months', () => {
    const weeks = timeTicks(at('2026-11-01T00:00:00'), at('2026-11-30T00:00:00'), 5, 'en-GB');
    expect(weeks.map(({ label }) => label)).toEqual(['2 Nov', '9 Nov', '16 Nov', '23 Nov', '30 Nov']);
    const months = timeTicks(at('2026-01-15T00:00:00'), at('2027-02-15T00:00:00'), 13, 'en-GB');
    expect(months.map(({ label }) => label).slice(-3)).toEqual(['Dec', '2027', 'Feb']);
  });

  it('never gives many more than asked, whatever the span', () => {
    for (const span of [1e3, 6e4, 36e5, 86_400e3, 30 * 86_400e3, 366 * 86_400e3, 4000 * 86_400e3]) {
      const { length } = timeTicks(at('2026-03-07T13:13:13'), at('2026-03-07T13:13:13') + span, 6);
      expect(length).toBeLessThanOrEqual(8);
      expect(length).toBeGreaterThanOrEqual(1);
    }
  });

  it('names periods in UTC, in which they are counted', () => {
    expect(periodName(Date.UTC(2026, 10, 26), 'day', 'en-GB')).toBe('26 Nov 2026');
    expect(periodName(Date.UTC(2026, 10, 1), 'month', 'en-GB')).toBe('November 2026');
  });
});

describe('words for numbers', () => {
  it('writes them as people do', () => {
    expect([0, 1023, 1024, 1536, 5 * 2 ** 30].map(roundBytes)).toEqual(['0 B', '1023 B', '1 KiB', '1.5 KiB', '5 GiB']);
    expect([0, 0.42, 7.25, 42.4, 312.4, 4200, 200_000].map(fine)).toEqual(['0 ms', '0.42 ms', '7.3 ms', '42 ms', '312 ms', '4.2 s', '3 min 20 s']);
    expect([0, 12.3, 0.0042, 1234.5].map((n) => money(n))).toEqual(['$0.00', '$12.30', '$0.0042', '$1,234.50']);
    expect([0.068, 12, 0.00015].map((n) => unitPrice(n))).toEqual(['$0.068', '$12.00', '$0.00015']);
    expect(money(3, 'not a currency')).toBe('3 not a currency');
    expect([0.25, 42.4, 99.96, 0.0123, 0].map(percent)).toEqual(['0.3 %', '42 %', '100 %', '0.012 %', '0 %']);
    expect([activity(0, 3600), activity(1800, 3600), activity(3600 * 2.34, 3600)]).toEqual(['0 % of the time', '50 % of the time', '2.3 at a time, on average']);
    expect([3, 12_345, 9_999, 0.00213, 0].map(compact)).toEqual(['3', '12.3K', '9,999', '0.0021', '0']);
    expect([0, 0.00213, 1.234].map(amount)).toEqual(['0', '0.0021', '1.23']);
    expect([29, 600, 90_000].map((seconds) => timeUnit(seconds).name)).toEqual(['s', 'min', 'h']);
    expect(unitFormat('bytes')(2048)).toBe('2 KiB');
    expect(unitFormat('usd_per_hour')(0.5)).toBe('$0.50/h');
  });
});

describe('series', () => {
  const p = (...values: (number | null)[]) => values.map((v, t) => ({ t, v }));

  it('breaks lines at gaps', () => {
    expect(segments(p(1, 2, null, 3, NaN, 4), 10).map((run) => run.map(({ v }) => v))).toEqual([[1, 2], [3], [4]]);
    expect(segments([{ t: 0, v: 1 }, { t: 5, v: 2 }, { t: 50, v: 3 }], 10).length).toBe(2);
    expect(segments([], 10)).toEqual([]);
    expect(usualGap([{ t: 0 }, { t: 60 }, { t: 120 }, { t: 900 }])).toBe(150);
    expect(usualGap([])).toBe(Infinity);
  });

  it('thins without losing a spike', () => {
    const many = Array.from({ length: 10_000 }, (_, t) => ({ t, v: t === 7_777 ? 100 : Math.sin(t) }));
    const few = thin(many, 200);
    expect(few.length).toBeLessThanOrEqual(402);
    expect(few.some(({ v }) => v === 100)).toBe(true);
    expect([...few].sort((a, b) => a.t - b.t)).toEqual(few);
    expect(thin([], 10)).toEqual([]);
  });

  it('finds the nearest point', () => {
    const points = [{ t: 0 }, { t: 10 }, { t: 20 }];
    expect([-5, 4, 6, 15.1, 99].map((t) => nearest(points, t))).toEqual([0, 0, 1, 2, 2]);
    expect(nearest([], 1)).toBe(-1);
  });

  it('stacks, measures and groups', () => {
    expect(stack([1, null, -2, 3])).toEqual([{ from: 0, to: 1 }, { from: 1, to: 1 }, { from: 1, to: 1 }, { from: 1, to: 4 }]);
    expect(extent([{ name: 'a', points: p(3, null, -1) }])).toEqual([-1, 3]);
    expect(extent([{ name: 'a', points: p(null) }])).toBeNull();
    expect(times([{ name: 'a', points: p(1, 2) }, { name: 'b', points: [{ t: 1, v: 1 }, { t: 7, v: 1 }] }])).toEqual([0, 1, 7]);
    expect(largest([1, 9, 5, 7], (n) => n, 3)).toEqual({ kept: [9, 7], rest: [5, 1] });
    expect(largest([1, 2], (n) => n, 3).rest).toEqual([]);
  });
});
