import { describe, expect, it } from 'vitest';
import { hoursPerWeek, schedule, weekly, windowWords } from './cron';

describe('keep-warm windows', () => {
  it('are read and written as cron', () => {
    for (const text of ['0 8 * * 1-5', '30 22 * * *', '5 0 * * 0,6', '0 8 * * 1-3,5', '0 8 * * 1,3,5']) {
      expect(schedule(weekly(text) as NonNullable<ReturnType<typeof weekly>>)).toBe(text);
    }
    expect(weekly('0 8 * * Mon-Fri')?.days).toEqual([1, 2, 3, 4, 5]);
    expect(weekly('0 8 * * 7')?.days).toEqual([0]);
    for (const other of ['*/5 * * * *', '0 8 1 * *', '0 8 * * 5-1', '0 25 * * *', '0 8 * *', 'x', '0 8 * * 1-5 x']) expect(weekly(other)).toBeNull();
  });

  it('are told in words', () => {
    const words = (text: string, minutes: number) => windowWords({ schedule: text, minutes });
    expect(words('0 8 * * 1-5', 600)).toBe('Monday to Friday, 08:00 to 18:00 UTC');
    expect(words('30 22 * * *', 120)).toBe('Every day, 22:30 to 00:30 the next day UTC');
    expect(words('0 8 * * 0,6', 60)).toBe('Saturday, Sunday, 08:00 to 09:00 UTC');
    expect(words('*/5 * * * *', 2)).toBe('*/5 * * * * (UTC), for 2 min');
  });

  it('are added up without counting twice', () => {
    expect(hoursPerWeek([{ schedule: '0 8 * * 1-5', minutes: 600 }])).toBe(50);
    expect(hoursPerWeek([{ schedule: '0 8 * * *', minutes: 120 }, { schedule: '0 9 * * *', minutes: 120 }])).toBe(21);
    expect(hoursPerWeek([{ schedule: '0 23 * * 6', minutes: 120 }])).toBe(2);
    expect(hoursPerWeek([{ schedule: '0 0 * * *', minutes: 99_999 }])).toBe(168);
    expect(hoursPerWeek([{ schedule: '0 0 1 * *', minutes: 5 }])).toBeNull();
    expect(hoursPerWeek([])).toBe(0);
  });
});
