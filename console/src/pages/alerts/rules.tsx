// The rules: what is watched, from which value on it is told, and a form to change that.
import { useState } from 'preact/hooks';
import { request, seg } from '../../api/client';
import { useResource } from '../../api/resource';
import { STATISTICS, type MetricInfo, type Rule, type Statistic } from '../../api/statistics';
import { unitFormat } from '../../charts/format';
import { Badge } from '../../ui/badge';
import { Button } from '../../ui/button';
import { Confirm } from '../../ui/confirm';
import { Dialog } from '../../ui/dialog';
import { EmptyState, ErrorState, FormError } from '../../ui/feedback';
import { Checkbox, Field, Select, TextInput } from '../../ui/field';
import { duration } from '../../ui/format';
import { Bell, More, Plus } from '../../ui/icons';
import { Menu } from '../../ui/menu';
import { Card } from '../../ui/page';
import { Table, type Column } from '../../ui/table';
import { done, failed } from '../../ui/toast';
import { AlertBadge } from './now';
import { aboutWords, metricWords, ruleWords, scopeWords, statisticWords, toldWords } from './scope';
import type { AlertState, Scope, Delivery } from '../../api/statistics';

const PERIODS = [10, 60, 300, 3600];

interface Tested {
  subjects: { scope: Scope; value?: number; state: AlertState }[];
  deliveries: Delivery[];
}

export function Rules({ names }: { names: Map<string, string> }) {
  const reply = useResource<{ rules: Rule[] }>('/alerts/rules');
  const metrics = useResource<{ metrics: MetricInfo[] }>('/statistics/metrics').data?.metrics;
  const [edited, setEdited] = useState<Rule | 'new'>();
  const [tested, setTested] = useState<{ rule: Rule; result: Tested }>();
  const [removing, setRemoving] = useState<Rule>();
  const path = (rule: Rule) => `/alerts/rules/${seg(rule.id)}`;
  const change = async (what: string, work: () => Promise<unknown>, words: string) => {
    try {
      await work();
      done(words);
      await reply.refresh();
    } catch (error) {
      failed(what, error);
    }
  };
  const test = (rule: Rule) => request<Tested>('POST', `${path(rule)}/test`).then((result) => setTested({ rule, result }), (error: unknown) => failed('Not tested', error));
  const columns: Column<Rule>[] = [
    { key: 'name', title: 'Rule', sort: (row) => row.name, render: (row) => <span class="rule"><b>{row.name}</b> <span class="muted small">{metricWords(row.metric)}, {ruleWords(row)}</span></span> },
    { key: 'scope', title: 'About', wide: true, sort: (row) => aboutWords(row, names), render: (row) => aboutWords(row, names) },
    { key: 'on', title: 'State', width: '8rem', render: (row) => (row.enabled ? <Badge tone="ok">On</Badge> : <Badge tone="idle">Off</Badge>) },
    {
      key: 'more', title: '', width: '3rem', render: (row) => (
        <Menu label={`More about ${row.name}`} icon={<More />} small items={[
          { label: 'Edit', onSelect: () => setEdited(row) },
          { label: 'Test', onSelect: () => void test(row) },
          { label: row.enabled ? 'Switch off' : 'Switch on', onSelect: () => void change('Not changed', () => request('PATCH', path(row), { body: { enabled: !row.enabled } }), row.enabled ? 'Switched off' : 'Switched on') },
          { label: row.default ? 'Back to how it came…' : 'Delete…', danger: !row.default, separated: true, onSelect: () => setRemoving(row) },
        ]} />
      ),
    },
  ];
  if (reply.error && !reply.data) return <Card flush><ErrorState error={reply.error} retry={() => void reply.refresh()} what="The rules cannot be shown" /></Card>;
  return (
    <>
      <div class="row between"><p class="muted small">A state changes after so many periods in a row, and back a little below the threshold.</p><Button small icon={<Plus />} disabled={!metrics} onClick={() => setEdited('new')}>New rule</Button></div>
      <Table label="Rules" columns={columns} rows={reply.data?.rules} rowKey={(row) => row.id} empty={<EmptyState icon={<Bell size={20} />} title="There are no rules" />} />
      {edited && <Edit rule={edited === 'new' ? undefined : edited} metrics={metrics ?? []} names={names} onClose={() => setEdited(undefined)} onSaved={() => { setEdited(undefined); done('Saved'); void reply.refresh(); }} />}
      {removing && (
        <Confirm
          title={removing.default ? `${removing.name}, as it came` : `Delete ${removing.name}`}
          action={removing.default ? 'Undo my changes' : 'Delete rule'}
          onClose={() => setRemoving(undefined)}
          onConfirm={async () => {
            await request('DELETE', path(removing));
            done(removing.default ? `${removing.name} is as it came.` : `${removing.name} is deleted.`);
            await reply.refresh();
          }}
        >
          <p>{removing.default ? 'Its thresholds, and whether it is on, are as on a new server.' : 'Its alerts end, and nobody is told by it any more. What it told stays in the history.'}</p>
        </Confirm>
      )}
      {tested && <Result {...tested} names={names} onClose={() => setTested(undefined)} />}
    </>
  );
}

function Result({ rule, result, names, onClose }: { rule: Rule; result: Tested; names: Map<string, string>; onClose: () => void }) {
  return (
    <Dialog title={`Test of ${rule.name}`} onClose={onClose} footer={<Button kind="primary" onClick={onClose}>Close</Button>}>
      {result.subjects.length === 0 ? <p class="muted">Nothing was measured in the last period.</p> : (
        <ul class="list">{result.subjects.map((subject, n) => <li key={n} class="list-row"><AlertBadge state={subject.state} /><span class="grow truncate">{scopeWords(subject.scope, names)}</span><b>{subject.value === undefined ? '–' : unitFormat(rule.unit)(subject.value)}</b></li>)}</ul>
      )}
      <p class="small muted">{toldWords(result.deliveries)}</p>
    </Dialog>
  );
}

interface Wish {
  name: string;
  metric: string;
  statistic: string;
  period: string;
  datapoints: string;
  comparison: string;
  warning: string;
  critical: string;
  project: string;
  enabled: boolean;
}

function Edit({ rule, metrics, names, onClose, onSaved }: { rule: Rule | undefined; metrics: MetricInfo[]; names: Map<string, string>; onClose: () => void; onSaved: () => void }) {
  const [wish, setWish] = useState<Wish>({
    name: rule?.name ?? '', metric: rule?.metric ?? metrics[0]?.name ?? 'cpu_utilization', statistic: rule?.statistic ?? 'average', period: String(rule?.period_seconds ?? 60),
    datapoints: String(rule?.datapoints ?? 3), comparison: rule?.comparison ?? '>', warning: rule?.warning?.toString() ?? '', critical: rule?.critical?.toString() ?? '',
    project: rule?.scope.project_id ?? '', enabled: rule?.enabled ?? true,
  });
  const [error, setError] = useState<Error>();
  const [busy, setBusy] = useState(false);
  const set = (changes: Partial<Wish>) => setWish({ ...wish, ...changes });
  const metric = metrics.find(({ name }) => name === wish.metric);
  const limit = (text: string) => (text.trim() === '' ? null : Number(text));
  const save = async () => {
    setBusy(true);
    setError(undefined);
    const common = { name: wish.name, statistic: wish.statistic, period_seconds: Number(wish.period), datapoints: Number(wish.datapoints), comparison: wish.comparison, enabled: wish.enabled };
    const [warning, critical] = [limit(wish.warning), limit(wish.critical)];
    try {
      if (rule) await request('PATCH', `/alerts/rules/${seg(rule.id)}`, { body: { ...common, warning, critical } });
      else await request('POST', '/alerts/rules', { body: { ...common, metric: wish.metric, ...(warning !== null && { warning }), ...(critical !== null && { critical }), ...(wish.project && { scope: { project_id: wish.project } }) } });
      onSaved();
    } catch (problem) {
      setError(problem as Error);
      setBusy(false);
    }
  };
  const unit = metric?.unit.replaceAll('_', ' ') ?? '';
  return (
    <Dialog wide title={rule ? `Rule ${rule.name}` : 'New rule'} onClose={onClose} onSubmit={() => void save()} footer={<><Button onClick={onClose}>Cancel</Button><Button kind="primary" type="submit" busy={busy}>Save</Button></>}>
      <FormError error={error} />
      <div class="form-grid">
        <Field label="Name"><TextInput required maxLength={100} value={wish.name} onValue={(name) => set({ name })} /></Field>
        <Field label="Metric" hint={metric?.description ?? '\u00a0'}><Select disabled={rule !== undefined} value={wish.metric} onValue={(value) => set({ metric: value })} options={metrics.map(({ name }) => ({ value: name, label: metricWords(name) }))} /></Field>
        <Field label="Statistic"><Select value={wish.statistic} onValue={(statistic) => set({ statistic: statistic as Statistic })} options={STATISTICS.map((value) => ({ value, label: statisticWords(value) }))} /></Field>
        <Field label="Of"><Select value={wish.period} onValue={(period) => set({ period })} options={PERIODS.map((value) => ({ value: String(value), label: duration(value) }))} /></Field>
        <Field label="Broken when it is"><Select value={wish.comparison} onValue={(comparison) => set({ comparison })} options={[{ value: '>', label: 'above' }, { value: '<', label: 'below' }]} /></Field>
        <Field label="Periods in a row"><TextInput type="number" min={1} max={60} required value={wish.datapoints} onValue={(datapoints) => set({ datapoints })} /></Field>
        <Field label={`Warning, ${unit}`} hint="Empty: none"><TextInput type="number" step="any" value={wish.warning} onValue={(warning) => set({ warning })} /></Field>
        <Field label={`Critical, ${unit}`} hint="Empty: none"><TextInput type="number" step="any" value={wish.critical} onValue={(critical) => set({ critical })} /></Field>
        {!rule && <Field label="About"><Select value={wish.project} onValue={(project) => set({ project })} options={[{ value: '', label: 'Everything' }, ...[...names].map(([value, label]) => ({ value, label }))]} /></Field>}
      </div>
      <Checkbox checked={wish.enabled} onValue={(enabled) => set({ enabled })}>On</Checkbox>
    </Dialog>
  );
}
