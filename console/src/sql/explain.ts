// `EXPLAIN (FORMAT JSON)` as a tree that shows where the time went, and where the planner was wrong. Pure.
//
// PostgreSQL gives times per loop, and includes the children's. Here `total` is wall time of all loops, and `self`
// is what the children do not account for. Below a Gather, loops run side by side in the workers, so their sum is
// divided by the number of processes.

type Json = Record<string, unknown>;

/** One node of a plan. */
export interface PlanNode {
  /** Numbered in reading order. */
  id: number;
  /** `Hash Join`, `Parallel Seq Scan`. */
  type: string;
  /** `on users u using users_pkey`. */
  subject: string;
  /** `SubPlan 1`, `InitPlan 2 (returns $0)`, `CTE totals`; empty for an ordinary child. */
  role: string;
  cost: { startup: number; total: number };
  /** Rows per loop as planned. */
  plannedRows: number;
  /** What happened; `null` without ANALYZE, or when the node never ran. */
  actual: {
    /** Rows per loop. */
    rows: number;
    loops: number;
    /** Milliseconds, all loops; 0 with `TIMING off`. */
    total: number;
    self: number;
  } | null;
  /** ANALYZE was on, and the node was never executed. */
  neverRan: boolean;
  /** How far off the planner was: ≥ 1, `null` when unknown. */
  misestimate: { factor: number; direction: 'under' | 'over' } | null;
  /** Of 8 KiB; all loops, children included, as PostgreSQL counts. */
  buffers: { hit: number; read: number; dirtied: number; written: number; temp: number } | null;
  /** Conditions and other properties, in PostgreSQL's words. */
  details: { name: string; value: string }[];
  children: PlanNode[];
}

/** A whole plan. */
export interface Plan {
  root: PlanNode;
  /** ANALYZE was on. */
  analyzed: boolean;
  /** Milliseconds. */
  planningTime: number | null;
  executionTime: number | null;
  triggers: { name: string; time: number; calls: number }[];
  /** What took longest by itself, for the eye to go to first. */
  slowest: number | null;
  /** JIT and other things worth a line. */
  notes: string[];
}

const SHOWN_APART = new Set([
  'Node Type', 'Parallel Aware', 'Async Capable', 'Parent Relationship', 'Subplan Name', 'Relation Name', 'Schema',
  'Alias', 'Index Name', 'CTE Name', 'Function Name', 'Join Type', 'Strategy', 'Partial Mode', 'Operation', 'Command',
  'Scan Direction', 'Startup Cost', 'Total Cost', 'Plan Rows', 'Plan Width', 'Actual Startup Time',
  'Actual Total Time', 'Actual Rows', 'Actual Loops', 'Plans', 'Workers', 'Disabled',
]);

const BUFFERS = /(Blocks|I\/O (Read|Write) Time)$/;

function num(json: Json, key: string): number | null {
  const value = json[key];
  return typeof value === 'number' ? value : null;
}

function str(json: Json, key: string): string {
  const value = json[key];
  return typeof value === 'string' ? value : '';
}

/** What is wrong with a text that should be a plan. */
export class NotAPlan extends Error {}

/** Reads what `EXPLAIN (FORMAT JSON)` gave, as text or as JSON. */
export function readPlan(input: unknown): Plan {
  let json = input;
  if (typeof json === 'string') {
    try {
      json = JSON.parse(json);
    } catch {
      throw new NotAPlan('this is no JSON');
    }
  }
  if (Array.isArray(json)) json = json[0];
  const top = json as Json | undefined;
  const plan = top?.['Plan'] as Json | undefined;
  if (!top || typeof plan !== 'object') throw new NotAPlan('there is no "Plan" in it');
  const count = { next: 0 };
  const root = node(plan, 1, count);
  const all = flatten(root);
  const analyzed = all.some((one) => one.actual !== null || one.neverRan);
  const slowest = all.reduce<PlanNode | null>(
    (best, one) => ((one.actual?.self ?? 0) > (best?.actual?.self ?? 0) ? one : best), null);
  const triggers = (Array.isArray(top['Triggers']) ? (top['Triggers'] as Json[]) : []).map((trigger) => ({
    name: str(trigger, 'Trigger Name') || str(trigger, 'Constraint Name'),
    time: num(trigger, 'Time') ?? 0,
    calls: num(trigger, 'Calls') ?? 0,
  }));
  return {
    root, analyzed, triggers,
    planningTime: num(top, 'Planning Time'),
    executionTime: num(top, 'Execution Time'),
    slowest: slowest?.id ?? null,
    notes: notesOf(top),
  };
}

function notesOf(top: Json): string[] {
  const jit = top['JIT'] as Json | undefined;
  const time = jit && num((jit['Timing'] ?? {}) as Json, 'Total');
  return typeof time === 'number' ? [`JIT compiled ${num(jit as Json, 'Functions') ?? 0} functions in ${time.toFixed(1)} ms`] : [];
}

/** `side`: how many processes run this part side by side. */
function node(json: Json, side: number, count: { next: number }): PlanNode {
  const id = count.next++;
  const plans = Array.isArray(json['Plans']) ? (json['Plans'] as Json[]) : [];
  const gathers = str(json, 'Node Type').startsWith('Gather');
  const below = gathers ? (num(json, 'Workers Launched') ?? num(json, 'Workers Planned') ?? 0) + 1 : side;
  const children = plans.map((plan) => node(plan, below, count));
  const loops = num(json, 'Actual Loops');
  const rows = num(json, 'Actual Rows');
  const ran = loops !== null && loops > 0 && rows !== null;
  const total = ran ? ((num(json, 'Actual Total Time') ?? 0) * loops) / Math.max(1, Math.min(side, loops)) : 0;
  const spent = children.reduce((sum, child) => sum + (child.actual?.total ?? 0), 0);
  const plannedRows = num(json, 'Plan Rows') ?? 0;
  return {
    id,
    type: typeOf(json),
    subject: subjectOf(json),
    role: str(json, 'Subplan Name'),
    cost: { startup: num(json, 'Startup Cost') ?? 0, total: num(json, 'Total Cost') ?? 0 },
    plannedRows,
    actual: ran ? { rows, loops, total, self: Math.max(0, total - spent) } : null,
    neverRan: loops === 0,
    misestimate: ran ? misestimate(plannedRows, rows) : null,
    buffers: buffersOf(json),
    details: detailsOf(json),
    children,
  };
}

function typeOf(json: Json): string {
  const type = str(json, 'Node Type');
  const strategy = str(json, 'Strategy');
  const join = str(json, 'Join Type');
  let name = type;
  if (type === 'Aggregate' && strategy === 'Hashed') name = 'HashAggregate';
  else if (type === 'Aggregate' && strategy === 'Sorted') name = 'GroupAggregate';
  else if (type === 'Aggregate' && strategy === 'Mixed') name = 'MixedAggregate';
  else if (type === 'ModifyTable') name = str(json, 'Operation') || type;
  else if (join && join !== 'Inner') {
    name = type === 'Nested Loop' ? `Nested Loop ${join} Join` : type.replace(/ Join$/, ` ${join} Join`);
  }
  const partial = str(json, 'Partial Mode');
  if (partial && partial !== 'Simple') name = `${partial} ${name}`;
  if (str(json, 'Scan Direction') === 'Backward') name += ' Backward';
  return json['Parallel Aware'] === true ? `Parallel ${name}` : name;
}

function subjectOf(json: Json): string {
  const schema = str(json, 'Schema');
  const relation = str(json, 'Relation Name');
  const alias = str(json, 'Alias');
  const name = relation || str(json, 'CTE Name') || str(json, 'Function Name');
  const index = str(json, 'Index Name');
  const parts: string[] = [];
  const full = schema && relation && schema !== 'public' ? `${schema}.${name}` : name;
  if (full) parts.push(`on ${full}`);
  if (alias && alias !== name) parts.push(alias);
  if (index) parts.push(`using ${index}`);
  return parts.join(' ');
}

function misestimate(planned: number, actual: number): PlanNode['misestimate'] {
  // Fractions of a row per loop are no mistake of the planner.
  const [p, a] = [Math.max(1, planned), Math.max(1, actual)];
  return a >= p ? { factor: a / p, direction: 'under' } : { factor: p / a, direction: 'over' };
}

function buffersOf(json: Json): PlanNode['buffers'] {
  if (num(json, 'Shared Hit Blocks') === null) return null;
  const sum = (what: string) => (num(json, `Shared ${what} Blocks`) ?? 0) + (num(json, `Local ${what} Blocks`) ?? 0);
  const temp = (num(json, 'Temp Read Blocks') ?? 0) + (num(json, 'Temp Written Blocks') ?? 0);
  return { hit: sum('Hit'), read: sum('Read'), dirtied: sum('Dirtied'), written: sum('Written'), temp };
}

function detailsOf(json: Json): PlanNode['details'] {
  const details: PlanNode['details'] = [];
  for (const [name, value] of Object.entries(json)) {
    if (SHOWN_APART.has(name) || BUFFERS.test(name) || value === null) continue;
    if (Array.isArray(value)) {
      if (value.every((one) => typeof one !== 'object')) details.push({ name, value: value.join(', ') });
    } else if (typeof value !== 'object') details.push({ name, value: String(value) });
  }
  return details;
}

/** All nodes, in reading order. */
export function flatten(root: PlanNode): PlanNode[] {
  return [root, ...root.children.flatMap(flatten)];
}

/** The statement that explains another one. */
export function explaining(statement: string, analyze: boolean): string {
  const options = analyze ? 'ANALYZE, BUFFERS, FORMAT JSON' : 'FORMAT JSON';
  return `EXPLAIN (${options}) ${statement}`;
}
