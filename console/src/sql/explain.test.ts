import { describe, expect, it } from 'vitest';
import { explaining, flatten, NotAPlan, readPlan } from './explain';

// Shaped as PostgreSQL 16 writes it; figures are made so that the arithmetic can be done by hand.
const join = [{
  Plan: {
    'Node Type': 'Hash Join', 'Join Type': 'Left', 'Startup Cost': 1, 'Total Cost': 100, 'Plan Rows': 10, 'Plan Width': 8,
    'Actual Startup Time': 1, 'Actual Total Time': 20, 'Actual Rows': 1000, 'Actual Loops': 1, 'Hash Cond': '(o.user_id = u.id)',
    'Shared Hit Blocks': 90, 'Shared Read Blocks': 10, 'Shared Dirtied Blocks': 0, 'Shared Written Blocks': 0,
    'Temp Read Blocks': 2, 'Temp Written Blocks': 3,
    Plans: [
      { 'Node Type': 'Seq Scan', 'Relation Name': 'orders', Alias: 'o', 'Total Cost': 50, 'Startup Cost': 0, 'Plan Rows': 1000,
        'Actual Total Time': 5, 'Actual Rows': 1000, 'Actual Loops': 1, Filter: '(total > 5)', 'Rows Removed by Filter': 7 },
      { 'Node Type': 'Index Scan', 'Relation Name': 'users', Alias: 'users', 'Index Name': 'users_pkey', 'Scan Direction': 'Forward',
        'Total Cost': 1, 'Startup Cost': 0, 'Plan Rows': 1, 'Actual Total Time': 0.01, 'Actual Rows': 0.4, 'Actual Loops': 1000 },
      { 'Node Type': 'Result', 'Subplan Name': 'SubPlan 1', 'Total Cost': 1, 'Startup Cost': 0, 'Plan Rows': 1,
        'Actual Total Time': 0, 'Actual Rows': 0, 'Actual Loops': 0 },
    ],
  },
  'Planning Time': 0.5, 'Execution Time': 21,
  Triggers: [{ 'Trigger Name': 't', Relation: 'orders', Time: 1.5, Calls: 3 }],
  JIT: { Functions: 4, Timing: { Total: 12.34 } },
}];

describe('a plan', () => {
  it('shows times of nodes by themselves', () => {
    const plan = readPlan(join);
    const [top, seq, index, sub] = flatten(plan.root);
    expect(top).toMatchObject({ type: 'Hash Left Join', id: 0, misestimate: { factor: 100, direction: 'under' } });
    expect(top?.actual?.self).toBe(20 - 5 - 10);
    expect(seq).toMatchObject({ subject: 'on orders o', misestimate: { factor: 1 } });
    expect(index).toMatchObject({ subject: 'on users using users_pkey', actual: { total: 10, loops: 1000 }, misestimate: { factor: 1 } });
    expect(sub).toMatchObject({ role: 'SubPlan 1', neverRan: true, actual: null });
    expect(plan.slowest).toBe(2);
    expect(plan).toMatchObject({ planningTime: 0.5, executionTime: 21, analyzed: true, triggers: [{ name: 't', time: 1.5, calls: 3 }] });
    expect(plan.notes).toEqual(['JIT compiled 4 functions in 12.3 ms']);
  });

  it('shows buffers and conditions', () => {
    const { root } = readPlan(JSON.stringify(join));
    expect(root.buffers).toEqual({ hit: 90, read: 10, dirtied: 0, written: 0, temp: 5 });
    expect(root.details).toEqual([{ name: 'Hash Cond', value: '(o.user_id = u.id)' }]);
    expect(root.children[0]?.details.map(({ name }) => name)).toEqual(['Filter', 'Rows Removed by Filter']);
    expect(root.children[0]?.buffers).toBeNull();
  });

  it('divides the time of workers by their number', () => {
    const plan = readPlan([{ Plan: {
      'Node Type': 'Gather', 'Workers Planned': 2, 'Workers Launched': 1, 'Plan Rows': 100, 'Actual Total Time': 12, 'Actual Rows': 100, 'Actual Loops': 1,
      Plans: [{ 'Node Type': 'Seq Scan', 'Parallel Aware': true, 'Plan Rows': 50, 'Actual Total Time': 10, 'Actual Rows': 50, 'Actual Loops': 2 }],
    } }]);
    expect(plan.root.children[0]).toMatchObject({ type: 'Parallel Seq Scan', actual: { total: 10 } });
    expect(plan.root.actual?.self).toBe(2);
  });

  it('works without ANALYZE', () => {
    const plan = readPlan([{ Plan: { 'Node Type': 'ModifyTable', Operation: 'Insert', 'Startup Cost': 0, 'Total Cost': 3.5, 'Plan Rows': 0 } }]);
    expect(plan).toMatchObject({ analyzed: false, slowest: null, executionTime: null });
    expect(plan.root).toMatchObject({ type: 'Insert', actual: null, neverRan: false, misestimate: null, cost: { total: 3.5 } });
  });

  it('refuses what is none', () => {
    for (const bad of [null, 'x', '{', [], [{}], [{ Plan: 1 }]]) expect(() => readPlan(bad)).toThrow(NotAPlan);
    expect(explaining('select 1', true)).toBe('EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) select 1');
  });
});
