// What the rules say now, and what they said before.
import type { Alert, AlertChange, Alerts, AlertState } from '../../api/statistics';
import { Link } from '../../app/router';
import { unitFormat } from '../../charts/format';
import { Badge, type Tone } from '../../ui/badge';
import { EmptyState } from '../../ui/feedback';
import { Bell, Check } from '../../ui/icons';
import { Table, type Column } from '../../ui/table';
import { Time } from '../../ui/time';
import { metricWords, scopeHref, scopeWords, unitOf } from './scope';

const STATES: Record<AlertState, [string, Tone]> = { ok: ['OK', 'ok'], warning: ['Warning', 'busy'], critical: ['Critical', 'bad'], no_data: ['No data', 'idle'] };
const RANK: Record<AlertState, number> = { critical: 0, warning: 1, ok: 2, no_data: 3 };

export function AlertBadge({ state }: { state: AlertState }) {
  const [words, tone] = STATES[state];
  return <Badge tone={tone}>{words}</Badge>;
}

function About({ scope, names }: { scope: Alert['scope']; names: Map<string, string> }) {
  const href = scopeHref(scope);
  const words = scopeWords(scope, names);
  return href ? <Link href={href} class="truncate">{words}</Link> : <>{words}</>;
}

export function Now({ alerts, names }: { alerts: Alert[] | undefined; names: Map<string, string> }) {
  const columns: Column<Alert>[] = [
    { key: 'state', title: 'State', width: '7rem', sort: (row) => RANK[row.state], render: (row) => <AlertBadge state={row.state} /> },
    { key: 'name', title: 'Alert', sort: (row) => row.name, render: (row) => <span class="alert-name"><span title={metricWords(row.metric)}>{row.name}</span><span class="narrow-only small"><About scope={row.scope} names={names} /></span></span> },
    { key: 'about', title: 'About', wide: true, sort: (row) => scopeWords(row.scope, names), render: (row) => <About scope={row.scope} names={names} /> },
    { key: 'value', title: 'Value', numeric: true, render: (row) => (row.value === undefined ? '–' : unitFormat(row.unit)(row.value)) },
    { key: 'threshold', title: 'Threshold', numeric: true, wide: true, render: (row) => (row.threshold === undefined ? '–' : unitFormat(row.unit)(row.threshold)) },
    { key: 'since', title: 'Since', wide: true, sort: (row) => -Date.parse(row.since), render: (row) => <Time at={row.since} /> },
  ];
  return <Table label="Alerts" columns={columns} rows={alerts} rowKey={(row) => `${row.rule_id} ${row.scope.project_id ?? ''} ${row.scope.endpoint_id ?? ''}`} order="state" empty={<EmptyState icon={<Check size={20} />} title="Nothing is watched yet">Rules look at what is measured. As soon as an endpoint runs, its alerts are here.</EmptyState>} />;
}

export function History({ history, names }: { history: Alerts['history'] | undefined; names: Map<string, string> }) {
  const columns: Column<AlertChange>[] = [
    { key: 'at', title: 'When', width: '9rem', render: (row) => <Time at={row.at} /> },
    { key: 'change', title: 'Change', width: '13rem', render: (row) => <span class="row"><AlertBadge state={row.from} /><span aria-label="to">→</span><AlertBadge state={row.to} /></span> },
    { key: 'name', title: 'Alert', render: (row) => <span class="alert-name"><span>{row.name}</span><span class="narrow-only small"><About scope={row.scope} names={names} /></span></span> },
    { key: 'value', title: 'Value', numeric: true, render: (row) => (row.value === undefined ? '–' : unitFormat(unitOf(row.metric))(row.value)) },
    { key: 'about', title: 'About', wide: true, render: (row) => <About scope={row.scope} names={names} /> },
  ];
  return <Table label="Changes of alerts" columns={columns} rows={history} rowKey={(row) => String(row.id)} empty={<EmptyState icon={<Bell size={20} />} title="No alert has changed yet" />} />;
}
