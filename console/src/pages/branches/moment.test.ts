import { describe, expect, it } from 'vitest';
import { problem, within } from './moment';

describe('a point of the past', () => {
  it('is sent as it is shown: within what is kept', () => {
    expect([within(5, 10, 20), within(15, 10, 20), within(25, 10, 20)]).toEqual([10, 15, 20]);
  });

  it('is looked at before it is sent', () => {
    expect(problem({ kind: 'lsn', time: 0, lsn: '0/16b3748' })).toBeUndefined();
    expect(problem({ kind: 'lsn', time: 0, lsn: 'now' })).toContain('0/16B3748');
    expect(problem({ kind: 'time', time: NaN, lsn: '' })).toBe('Choose a time.');
  });
});
