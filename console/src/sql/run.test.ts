import { describe, expect, it } from 'vitest';
import { changesSchema, schemaOf } from './schema';
import { begin, finish, follow } from './run';

const feed = (run: ReturnType<typeof begin>, ...events: [string, unknown][]) => {
  for (const [name, data] of events) follow(run, { name, data: JSON.stringify(data) });
};

describe('a run', () => {
  it('keeps what each statement brought', () => {
    const run = begin(['select 1', 'do $$…$$', 'select 2']);
    feed(run, ['waking', {}], ['statement', { index: 0 }], ['started', { wakeMs: 120 }], ['fields', [{ name: 'n', type: 'int4' }, { name: 'n', type: null }]],
      ['rows', [['1', null]]], ['rows', [['2', 'x']]], ['done', { command: 'SELECT', rowCount: 2, more: true, timing: { totalMs: 125, wakeMs: 120 } }],
      ['statement', { index: 1 }], ['notice', { message: 'hi' }], ['done', { command: 'DO', rowCount: null, timing: { totalMs: 1, wakeMs: 0 } }],
      ['statement', { index: 2 }], ['error', { message: 'no', code: '42601' }], ['end', { rolledBack: true }]);
    finish(run, null, null);
    const [first, second, third] = run.outcomes;
    expect(first).toMatchObject({ state: 'done', rows: [['1', null], ['2', 'x']], more: true, ms: 5, columns: [{ name: 'n', type: 'int4' }, { name: 'n', type: '' }] });
    expect(second).toMatchObject({ state: 'done', columns: null, command: 'DO', notices: [{ message: 'hi' }] });
    expect(third).toMatchObject({ state: 'failed', error: { code: '42601' } });
    expect(run).toMatchObject({ phase: 'ended', wakeMs: 120, rolledBack: true, error: null });
  });

  it('tells what was not run, and what was cancelled', () => {
    const run = begin(['a', 'b']);
    feed(run, ['statement', { index: 0 }]);
    finish(run, 'person', null);
    expect(run.outcomes.map(({ state }) => state)).toEqual(['cancelled', 'skipped']);
    const early = begin(['a']);
    feed(early, ['error', { message: 'no such branch', code: '08001' }]);
    expect(early.error?.message).toBe('no such branch');
  });
});

describe('the schema', () => {
  it('is read from rows', () => {
    expect(schemaOf([['public', 't', 'a'], ['public', 't', 'b'], ['x', 'u', 'c'], [null, 'u', 'c']])).toEqual({ public: { t: ['a', 'b'] }, x: { u: ['c'] } });
    expect([changesSchema('CREATE'), changesSchema('SELECT')]).toEqual([true, false]);
  });
});
