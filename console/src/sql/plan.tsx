// A plan as a tree: how long each node took by itself, how many rows it gave, and where the planner was wrong.
import { useMemo, useState } from 'preact/hooks';
import { fine } from '../charts/format';
import { Badge } from '../ui/badge';
import { CodeBlock } from '../ui/copy';
import { Segmented } from '../ui/field';
import { bytes, number } from '../ui/format';
import { Chevron } from '../ui/icons';
import { Stat, Stats } from '../ui/page';
import { flatten, readPlan, type Plan, type PlanNode } from './explain';

const PAGE = 8192;
/** Off by more than this is told. */
const OFF = 10;
const FAR_OFF = 100;

export function PlanView({ text }: { text: string }) {
  const [view, setView] = useState<'tree' | 'json'>('tree');
  const plan = useMemo(() => readPlan(text), [text]);
  return (
    <div class="stack plan">
      <div class="row between wrap">
        <Segmented label="View" value={view} onValue={setView} options={[{ value: 'tree', label: 'Tree' }, { value: 'json', label: 'JSON' }]} />
        {plan.notes.map((note) => <span key={note} class="muted small">{note}</span>)}
      </div>
      {view === 'json' ? <CodeBlock text={text} label="plan" /> : <Tree plan={plan} />}
    </div>
  );
}

function Tree({ plan }: { plan: Plan }) {
  const nodes = useMemo(() => flatten(plan.root), [plan]);
  const whole = plan.executionTime ?? plan.root.actual?.total ?? 0;
  const worst = nodes.reduce<PlanNode | null>((best, node) => ((node.misestimate?.factor ?? 0) > (best?.misestimate?.factor ?? OFF) ? node : best), null);
  const slowest = nodes.find(({ id }) => id === plan.slowest);
  const { buffers } = plan.root;
  return (
    <>
      <Stats>
        {plan.analyzed ? <Stat label="Execution" note={plan.planningTime !== null ? `planned in ${fine(plan.planningTime)}` : '\u00a0'}>{fine(whole)}</Stat>
          : <Stat label="Cost" note="in the planner's units">{number(plan.root.cost.total, 1)}</Stat>}
        {slowest && <Stat label="Slowest node" note={`${fine(slowest.actual?.self ?? 0)} by itself`}>{slowest.type}</Stat>}
        {buffers && <Stat label="Read from cache" note={`${bytes((buffers.hit + buffers.read) * PAGE)} in all`}>{buffers.hit + buffers.read === 0 ? '–' : `${number((100 * buffers.hit) / (buffers.hit + buffers.read), 1)} %`}</Stat>}
        {plan.analyzed && <Stat label="Worst estimate" note={worst ? `${worst.type} ${worst.subject}` : 'all within ten times'}>{worst?.misestimate ? factor(worst.misestimate.factor) : 'Good'}</Stat>}
      </Stats>
      <ul class="plan-tree" role="tree" aria-label="Plan">
        <Node node={plan.root} whole={plan.analyzed ? whole : plan.root.cost.total} plan={plan} level={1} />
      </ul>
      {plan.triggers.map((trigger) => <p key={trigger.name} class="small muted">Trigger {trigger.name}: {fine(trigger.time)} in {trigger.calls} calls</p>)}
    </>
  );
}

const factor = (value: number) => `${number(value, value < 10 ? 1 : 0)}×`;

function Node({ node, whole, plan, level }: { node: PlanNode; whole: number; plan: Plan; level: number }) {
  const [closed, setClosed] = useState(false);
  const [more, setMore] = useState(false);
  const { actual, misestimate } = node;
  const own = actual ? actual.self : plan.analyzed ? 0 : Math.max(0, node.cost.total - node.children.reduce((sum, child) => sum + child.cost.total, 0));
  const share = whole > 0 ? Math.min(1, own / whole) : 0;
  const off = misestimate && misestimate.factor >= OFF ? misestimate : null;
  const key = (event: KeyboardEvent) => {
    if (event.target !== event.currentTarget) return;
    const items = () => [...((event.currentTarget as HTMLElement).closest('[role=tree]')?.querySelectorAll<HTMLElement>('[role=treeitem]') ?? [])];
    const at = items().indexOf(event.currentTarget as HTMLElement);
    if (event.key === 'ArrowDown') items()[at + 1]?.focus();
    else if (event.key === 'ArrowUp') items()[at - 1]?.focus();
    else if (event.key === 'ArrowLeft') setClosed(true);
    else if (event.key === 'ArrowRight') setClosed(false);
    else if (event.key === 'Enter' || event.key === ' ') setMore(!more);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return (
    <li role="treeitem" aria-level={level} aria-expanded={node.children.length > 0 ? !closed : undefined} tabIndex={node.id === 0 ? 0 : -1} class="plan-node" onKeyDown={key}>
      <div class={`plan-line${node.id === plan.slowest ? ' plan-slowest' : ''}${node.neverRan ? ' plan-never' : ''}`}>
        {node.children.length > 0
          ? <button type="button" class="plan-fold" tabIndex={-1} aria-label={closed ? 'Show children' : 'Hide children'} onClick={() => setClosed(!closed)}><Chevron size={12} class={closed ? '' : 'plan-open'} /></button>
          : <span class="plan-fold" />}
        <button type="button" class="plan-name" tabIndex={-1} aria-expanded={more} onClick={() => setMore(!more)}>
          {node.role && <span class="faint">{node.role}: </span>}
          <b>{node.type}</b> <span class="muted">{node.subject}</span>
        </button>
        <span class="plan-badges">
          {node.id === plan.slowest && <Badge tone="busy">slowest</Badge>}
          {node.neverRan && <Badge tone="idle">never ran</Badge>}
          {off && <Badge tone={off.factor >= FAR_OFF ? 'bad' : 'busy'} title={`planned ${number(node.plannedRows)}, got ${number(actual?.rows ?? 0)} rows per loop`}>{off.direction === 'under' ? `${factor(off.factor)} more rows` : `${factor(off.factor)} fewer rows`} than planned</Badge>}
        </span>
        <span class="plan-rows num">{actual ? `${number(actual.rows * actual.loops)} rows` : `≈ ${number(node.plannedRows)} rows`}</span>
        <span class="plan-time num">{actual ? fine(actual.self) : plan.analyzed ? '–' : `cost ${number(own, 1)}`}</span>
        <span class="plan-bar" aria-hidden="true"><span style={{ width: `${(share * 100).toFixed(1)}%` }} /></span>
      </div>
      {more && <Details node={node} />}
      {!closed && node.children.length > 0 && <ul role="group">{node.children.map((child) => <Node key={child.id} node={child} whole={whole} plan={plan} level={level + 1} />)}</ul>}
    </li>
  );
}

function Details({ node }: { node: PlanNode }) {
  const { actual, buffers } = node;
  const rows: [string, string][] = [
    ['Planned', `${number(node.plannedRows)} rows, cost ${number(node.cost.startup, 2)} to ${number(node.cost.total, 2)}`],
    ...(actual ? [['Actual', `${number(actual.rows, 2)} rows × ${number(actual.loops)} loops, ${fine(actual.total)} with its children`] as [string, string]] : []),
    ...(buffers ? [['Buffers', [`${number(buffers.hit)} hit`, `${number(buffers.read)} read`, buffers.dirtied && `${number(buffers.dirtied)} dirtied`, buffers.written && `${number(buffers.written)} written`, buffers.temp && `${number(buffers.temp)} temporary`].filter(Boolean).join(', ')] as [string, string]] : []),
    ...node.details.map(({ name, value }): [string, string] => [name, value]),
  ];
  return <dl class="plan-details">{rows.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>;
}
