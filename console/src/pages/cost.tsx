// What the real use of a month would have cost elsewhere, and what sleep has saved; and a calculator.
import { useMemo } from 'preact/hooks';
import { useProjects } from '../api/data';
import { useResource } from '../api/resource';
import type { CostReport } from '../api/usage';
import { Link, useQuery, type PageProps } from '../app/router';
import { activity, amount, money, percent, roundBytes } from '../charts/format';
import { Badge } from '../ui/badge';
import { EmptyState, ErrorState } from '../ui/feedback';
import { Select } from '../ui/field';
import { duration } from '../ui/format';
import { Coins } from '../ui/icons';
import { Card, Page, Section, Stat, Stats } from '../ui/page';
import { Table, type Column } from '../ui/table';
import { Bills, BillsSkeleton } from './cost/bills';
import { WhatIf } from './cost/estimate';
import { countedHours, months } from './usage/span';

const EVERY_MS = 60_000;
const MONTHS = 12;
const HOUR = 3600;

export default function CostPage({ params }: PageProps) {
  const project = params.project;
  const [query, setQuery] = useQuery();
  const choices = months(new Date(), MONTHS);
  const month = choices.find(({ value }) => value === query.get('month'))?.value ?? choices[0]?.value ?? '';
  const reply = useResource<CostReport>('/cost', { query: { month, project_id: project }, every: EVERY_MS });
  const data = reply.data;
  const hours = data ? countedHours({ start: data.from, end: data.to }, data) : 1;
  const best = data && [...data.sheets].sort((a, b) => b.saving - a.saving)[0];
  return (
    <Page
      title="Cost"
      lead={project ? "What this project's use would have cost on each price sheet." : "What this server's use would have cost on each price sheet."}
      actions={<Select aria-label="Month" value={month} options={choices} onValue={(value) => setQuery({ month: value === choices[0]?.value ? null : value })} />}
    >
      {reply.error && !data ? <Card flush><ErrorState error={reply.error} retry={() => void reply.refresh()} what="The cost cannot be shown" /></Card> : (
        <>
          <Stats>
            <Stat label="Compute" note="CU-hours">{data && amount(data.usage.cu_seconds / HOUR)}</Stat>
            <Stat label="Active" note={data ? activity(data.usage.active_seconds, hours * HOUR) : '\u00a0'}>{data && duration(data.usage.active_seconds)}</Stat>
            <Stat label="Storage" note="on average">{data && roundBytes(data.usage.storage_byte_hours / hours)}</Stat>
            <Stat label="Egress" note={'\u00a0'}>{data && roundBytes(data.usage.egress_bytes)}</Stat>
            <Stat label="Largest saving by sleep" note={best && best.saving > 0 ? `${percent(best.saving_percent)}, ${best.provider} ${best.plan}` : '\u00a0'}>{data && (best && best.saving > 0 ? money(best.saving, best.currency) : '–')}</Stat>
          </Stats>
          <Section title="On each price sheet" lead="Real use of the month so far. Open one for its arithmetic.">
            {data ? <Bills bills={data.sheets} /> : <BillsSkeleton />}
          </Section>
          {!project && data && <ByProject data={data} />}
        </>
      )}
      {/* How many sheets there are is not known before: what is below them comes with them. */}
      {(data ?? reply.error) && <WhatIf />}
    </Page>
  );
}

function ByProject({ data }: { data: CostReport | undefined }) {
  const [query, setQuery] = useQuery();
  // A project that is gone has cost something and has no page.
  const there = useProjects().data;
  const gone = (row: CostReport['projects'][number]) => there !== undefined && !there.some(({ id }) => id === row.project_id);
  type Row = CostReport['projects'][number];
  const sheet = data?.sheets.find(({ id }) => id === query.get('sheet')) ?? data?.sheets.find(({ id }) => id === data.default_sheet) ?? data?.sheets[0];
  const columns = useMemo((): Column<Row>[] => [
    { key: 'name', title: 'Project', sort: (row) => row.name, render: (row) => <span class="row cell-name" title={row.name}>{gone(row) ? <><span class="truncate">{row.name}</span><Badge tone="idle">deleted</Badge></> : <Link class="truncate" href={`/projects/${encodeURIComponent(row.project_id)}/cost`}>{row.name}</Link>}</span> },
    { key: 'cu', title: 'CU-hours', numeric: true, sort: (row) => row.totals.cu_seconds, render: (row) => amount(row.totals.cu_seconds / HOUR) },
    { key: 'active', title: 'Active', numeric: true, wide: true, sort: (row) => row.totals.active_seconds, render: (row) => duration(row.totals.active_seconds) },
    { key: 'cost', title: 'Cost', numeric: true, sort: (row) => row.costs[sheet?.id ?? ''] ?? 0, render: (row) => money(row.costs[sheet?.id ?? ''] ?? 0, sheet?.currency) },
  ], [sheet, there]);
  return (
    <Section title="By project" lead="Each as if it were the only one on its account, so these do not add up." actions={sheet && <Select aria-label="Price sheet" value={sheet.id} options={(data?.sheets ?? []).map((one) => ({ value: one.id, label: `${one.provider} ${one.plan}` }))} onValue={(value) => setQuery({ sheet: value })} />}>
      <Table label="Cost by project" columns={columns} rows={data?.projects} rowKey={(row) => row.project_id} order="-cost" empty={<EmptyState icon={<Coins size={20} />} title="Nothing was used in this month" />} />
    </Section>
  );
}
