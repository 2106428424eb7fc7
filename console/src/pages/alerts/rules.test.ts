import { describe, expect, it } from 'vitest';
import { aboutWords, toldWords } from './scope';

describe('rules', () => {
  it('say whom they watch', () => {
    const names = new Map([['p-1', 'shop']]);
    const about = (each: 'endpoint' | 'project' | 'server', scope = {}) => aboutWords({ each, scope }, names);
    expect([about('server'), about('project'), about('endpoint')]).toEqual(['The server', 'Every project', 'Every endpoint']);
    expect([about('project', { project_id: 'p-1' }), about('endpoint', { project_id: 'p-1' })]).toEqual(['shop', 'Every endpoint of shop']);
    expect(about('endpoint', { project_id: 'p-1', endpoint_id: 'ep-1' })).toBe('shop · ep-1');
  });

  it('say that a webhook was told only when it was', () => {
    expect(toldWords([])).toBe('No webhook was told: there is none.');
    expect(toldWords([{ state: 'failed', error: 'connection refused' }])).toBe('0 of 1 webhook told; not told: connection refused.');
    expect(toldWords([{ state: 'delivered' }, { state: 'failed', error: 'it answered 500' }])).toBe('1 of 2 webhooks told; not told: it answered 500.');
  });
});
