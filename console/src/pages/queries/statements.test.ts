import { describe, expect, it } from 'vitest';
import { found, hitRatio, oneLine, statsOf } from './statements';

describe('pg_stat_statements', () => {
  it('is there, or one is told what is missing', () => {
    expect(found(['public', 't', 't'])).toEqual({ presence: 'ready', schema: 'public' });
    expect(found([null, 't', 't']).presence).toBe('not_created');
    expect(found(['x', 'f', 't']).presence).toBe('not_loaded');
    expect(found([null, 'f', 't']).presence).toBe('not_loaded');
    expect(found([null, 'f', 'f']).presence).toBe('not_installed');
    expect(found(undefined).presence).toBe('not_installed');
  });

  it('is read from text', () => {
    const [one] = statsOf([['-77', 'app', 'select\n 1', '3', '1.5', '0.5', '0.1', '1', '0.2', '3', '9', '1', '0', '0']]);
    expect(one).toMatchObject({ id: '-77 app', calls: 3, total: 1.5, rows: 3, hit: 9, read: 1 });
    expect([hitRatio({ hit: 9, read: 1 }), hitRatio({ hit: 0, read: 0 })]).toEqual([90, null]);
    expect(oneLine(' select\n   1 ')).toBe('select 1');
  });
});
