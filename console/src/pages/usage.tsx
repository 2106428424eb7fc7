// What was used, of one project or of the whole server: sums, plots over time, and who used it.
import { useMemo } from 'preact/hooks';
import { useResource } from '../api/resource';
import type { Granularity, Totals, UsageReport } from '../api/usage';
import { Link, useQuery, type PageProps } from '../app/router';
import { BarChart, type BarChartProps } from '../charts/bars';
import { activity, amount, compact, roundBytes, timeUnit } from '../charts/format';
import { periodName } from '../charts/time';
import { Badge } from '../ui/badge';
import { EmptyState, ErrorState } from '../ui/feedback';
import { Segmented } from '../ui/field';
import { dateTime, duration } from '../ui/format';
import { Gauge } from '../ui/icons';
import { Card, Page, Section, Stat, Stats } from '../ui/page';
import { Table, type Column } from '../ui/table';
import { Quotas } from './usage/quotas';
import { countedHours, shortName, SPANS, spanOf, type SpanName } from './usage/span';
import './usage/usage.css';

const EVERY_MS = 30_000;
const HOUR = 3600;
/** What is told as "on average" needs hours. */
const hoursOf = (data: UsageReport | undefined) => (data ? countedHours({ start: data.from, end: data.to }, data) : 1);

export default function UsagePage({ params }: PageProps) {
  const project = params.project;
  const [query, setQuery] = useQuery();
  const name = (SPANS.find(({ value }) => value === query.get('span'))?.value ?? 'month') as SpanName;
  const span = spanOf(name, new Date());
  const reply = useResource<UsageReport>('/usage', {
    every: EVERY_MS,
    // Without a time for "now": the name in the cache stays, and the server knows the time best.
    query: { from: span.from.toISOString(), ...(name === 'last_month' && { to: span.to.toISOString() }), granularity: span.granularity, project_id: project },
  });
  const data = reply.data;
  const error = reply.error && !data ? reply.error : undefined;
  return (
    <Page title="Usage" lead={project ? 'Of this project.' : 'Of all projects on this server.'} actions={<Segmented label="Time" value={name} options={SPANS} onValue={(value) => setQuery({ span: value === 'month' ? null : value })} />}>
      {error ? <Card flush><ErrorState error={error} retry={() => void reply.refresh()} what="The usage cannot be shown" /></Card> : (
        <>
          <Sums totals={data?.totals} hours={hoursOf(data)} />
          <Plots data={data} granularity={span.granularity} />
          {!project && <ByProject data={data} />}
          <ByBranch data={data} withProject={!project} />
          {project && <Quotas project={project} />}
          {/* At the end, where it moves nothing. */}
          {data && Date.parse(data.known_since) > Date.parse(data.from) && <p class="small muted">Counted since {dateTime(new Date(data.known_since))}; nothing before is known.</p>}
        </>
      )}
    </Page>
  );
}

function Sums({ totals, hours }: { totals: Totals | undefined; hours: number }) {
  const t = (words: (of: Totals) => string) => (totals ? words(totals) : undefined);
  return (
    <Stats four>
      <Stat label="Compute" note="CU-hours">{t((of) => amount(of.cu_seconds / HOUR))}</Stat>
      <Stat label="Active" note={t((of) => activity(of.active_seconds, hours * HOUR)) ?? '\u00a0'}>{t((of) => duration(of.active_seconds))}</Stat>
      <Stat label="Paused" note="memory kept, no CPU">{t((of) => duration(of.paused_seconds))}</Stat>
      <Stat label="Storage" note="on average">{t((of) => roundBytes(of.storage_byte_hours / hours))}</Stat>
      <Stat label="History" note="on average">{t((of) => roundBytes(of.history_byte_hours / hours))}</Stat>
      <Stat label="Egress" note={t((of) => `${roundBytes(of.ingress_bytes)} in`) ?? '\u00a0'}>{t((of) => roundBytes(of.egress_bytes))}</Stat>
      <Stat label="Wakes" note={'\u00a0'}>{t((of) => compact(of.wakes))}</Stat>
      <Stat label="Queries" note={'\u00a0'}>{t((of) => compact(of.queries))}</Stat>
    </Stats>
  );
}

function Plots({ data, granularity }: { data: UsageReport | undefined; granularity: Granularity }) {
  const charts = useMemo((): Omit<BarChartProps, 'bars'>[] => {
    const of = (value: (totals: Totals, hours: number) => number) => (data?.periods ?? []).map((period) => value(period.totals, data ? countedHours(period, data) : 1));
    const cu = timeUnit(Math.max(0, ...of((t) => t.cu_seconds)));
    const awake = timeUnit(Math.max(0, ...of((t) => t.active_seconds + t.paused_seconds)));
    return [
      { title: 'Compute', format: (value) => `${compact(value)} CU-${cu.name}`, parts: [{ name: 'Compute', values: of((t) => t.cu_seconds / cu.seconds) }] },
      { title: 'Time awake', format: (value) => `${compact(value)} ${awake.name}`, parts: [{ name: 'Active', values: of((t) => t.active_seconds / awake.seconds), colour: 3 }, { name: 'Paused', values: of((t) => t.paused_seconds / awake.seconds), colour: 2 }] },
      { title: 'Storage, on average', binary: true, format: roundBytes, parts: [{ name: 'Data', values: of((t, h) => t.storage_byte_hours / h) }, { name: 'History', values: of((t, h) => t.history_byte_hours / h), colour: 5 }] },
      { title: 'Traffic', binary: true, format: roundBytes, parts: [{ name: 'Egress', values: of((t) => t.egress_bytes) }, { name: 'Ingress', values: of((t) => t.ingress_bytes), colour: 6 }] },
      { title: 'Wakes', parts: [{ name: 'Wakes', values: of((t) => t.wakes), colour: 4 }] },
      { title: 'Queries', parts: [{ name: 'Queries', values: of((t) => t.queries), colour: 2 }] },
    ];
  }, [data]);
  const bars = (data?.periods ?? []).map(({ start }) => ({ name: shortName(Date.parse(start), granularity), long: periodName(Date.parse(start), granularity, 'en-GB') }));
  return (
    <Section title={`Per ${granularity}`} lead="Periods are in UTC, as they are counted.">
      <div class="chart-grid">{charts.map((chart) => <Card key={chart.title}><BarChart {...chart} bars={bars} height={152} loading={!data} /></Card>)}</div>
    </Section>
  );
}

/** The columns that projects and branches have in common. */
function columnsOf<T extends { totals: Totals }>(hours: number): Column<T>[] {
  return [
    { key: 'cu', title: 'CU-hours', numeric: true, sort: (row) => row.totals.cu_seconds, render: (row) => amount(row.totals.cu_seconds / HOUR) },
    { key: 'active', title: 'Active', numeric: true, sort: (row) => row.totals.active_seconds, render: (row) => duration(row.totals.active_seconds) },
    { key: 'paused', title: 'Paused', numeric: true, wide: true, sort: (row) => row.totals.paused_seconds, render: (row) => duration(row.totals.paused_seconds) },
    { key: 'storage', title: 'Storage', numeric: true, wide: true, sort: (row) => row.totals.storage_byte_hours, render: (row) => roundBytes(row.totals.storage_byte_hours / hours) },
    { key: 'egress', title: 'Egress', numeric: true, wide: true, sort: (row) => row.totals.egress_bytes, render: (row) => roundBytes(row.totals.egress_bytes) },
    { key: 'wakes', title: 'Wakes', numeric: true, wide: true, sort: (row) => row.totals.wakes, render: (row) => compact(row.totals.wakes) },
    { key: 'queries', title: 'Queries', numeric: true, wide: true, sort: (row) => row.totals.queries, render: (row) => compact(row.totals.queries) },
  ];
}

function Name({ name, deleted, href }: { name: string; deleted: boolean; href: string }) {
  return <span class="row cell-name" title={name}>{deleted ? <span class="truncate">{name}</span> : <Link href={href} class="truncate">{name}</Link>}{deleted && <Badge tone="idle">deleted</Badge>}</span>;
}

const nothing = <EmptyState icon={<Gauge size={20} />} title="Nothing was used in this time" />;

function ByProject({ data }: { data: UsageReport | undefined }) {
  type Row = UsageReport['projects'][number];
  const columns = useMemo((): Column<Row>[] => [
    { key: 'name', title: 'Project', sort: (row) => row.name, render: (row) => <Name name={row.name} deleted={row.deleted} href={`/projects/${encodeURIComponent(row.project_id)}/usage`} /> },
    ...columnsOf<Row>(hoursOf(data)),
  ], [data]);
  return <Section title="By project"><Table label="Usage by project" columns={columns} rows={data?.projects} rowKey={(row) => row.project_id} empty={nothing} order="-cu" /></Section>;
}

function ByBranch({ data, withProject }: { data: UsageReport | undefined; withProject: boolean }) {
  type Row = UsageReport['branches'][number];
  const projects = useMemo(() => new Map(data?.projects.map((one) => [one.project_id, one.name])), [data]);
  const columns = useMemo((): Column<Row>[] => [
    { key: 'name', title: 'Branch', sort: (row) => row.name, render: (row) => <Name name={row.name} deleted={row.deleted} href={`/projects/${encodeURIComponent(row.project_id)}/branches`} /> },
    ...(withProject ? [{ key: 'project', title: 'Project', sort: (row: Row) => projects.get(row.project_id) ?? '', render: (row: Row) => <span class="cell-name cell-second truncate" title={projects.get(row.project_id)}>{projects.get(row.project_id) ?? row.project_id}</span> }] : []),
    ...columnsOf<Row>(hoursOf(data)),
  ], [data, projects, withProject]);
  return <Section title="By branch"><Table label="Usage by branch" columns={columns} rows={data?.branches} rowKey={(row) => row.branch_id} empty={nothing} order="-cu" /></Section>;
}
