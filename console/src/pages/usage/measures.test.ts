import { describe, expect, it } from 'vitest';
import { quotaWords } from './measures';

describe('events about quotas', () => {
  it('say which one, and how much of it', () => {
    expect(quotaWords({ measure: 'cu_seconds', used: 29_520, limit: 36_000 })).toBe('compute: 8.2 CU-hours of 10 CU-hours');
    expect(quotaWords({ measure: 'spend', used: 40.7, limit: 5 })).toBe('spend: $40.70 of $5.00');
    expect([quotaWords({ measure: 'egress_bytes' }), quotaWords({})]).toEqual(['egress', '']);
  });
});
