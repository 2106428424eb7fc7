// How much a project may use in a period, how much of it is gone, and what happens then.
import { useState } from 'preact/hooks';
import { request, seg } from '../../api/client';
import { useResource } from '../../api/resource';
import type { Quota, QuotaMeasure, Quotas as Reply } from '../../api/usage';
import { percent } from '../../charts/format';
import { Badge, type Tone } from '../../ui/badge';
import { Button } from '../../ui/button';
import { Dialog } from '../../ui/dialog';
import { EmptyState, ErrorState, FormError, SkeletonRows } from '../../ui/feedback';
import { Field, Select, TextInput } from '../../ui/field';
import { Close, Gauge, Plus } from '../../ui/icons';
import { Card, Section } from '../../ui/page';
import { Time } from '../../ui/time';
import { done } from '../../ui/toast';
import { MEASURES } from './measures';

const ALL = Object.keys(MEASURES) as QuotaMeasure[];

const PERIODS: Record<Reply['period'], string> = { month: 'per month', day: 'per day', none: 'for all time' };
const STATES: Record<NonNullable<Quota['state']>, [string, Tone]> = { ok: ['Within', 'ok'], soft: ['Nearly used up', 'busy'], exceeded: ['Exceeded', 'bad'] };

export function Quotas({ project }: { project: string }) {
  const path = `/projects/${seg(project)}/quotas`;
  const reply = useResource<Reply>(path, { every: 15_000 });
  const [editing, setEditing] = useState(false);
  const data = reply.data;
  return (
    <Section title="Quotas" lead={data ? `Counted ${PERIODS[data.period]}.` : 'How much may be used, and what happens then.'} actions={<Button small disabled={!data} onClick={() => setEditing(true)}>Change quotas</Button>}>
      <Card flush>
        {reply.error && !data ? <ErrorState error={reply.error} retry={() => void reply.refresh()} what="The quotas cannot be shown" />
          : !data ? <SkeletonRows rows={2} />
          : data.quotas.length === 0 ? <EmptyState icon={<Gauge size={20} />} title="No quotas">A quota tells you, or suspends the endpoints, when the project has used so much.</EmptyState>
          : <ul class="list">{data.quotas.map((quota) => <Line key={quota.measure} quota={quota} />)}</ul>}
      </Card>
      {editing && data && <Edit given={data} onClose={() => setEditing(false)} onSave={async (wish) => { reply.set(await request<Reply>('PUT', path, { body: wish })); done('Quotas changed'); }} />}
    </Section>
  );
}

function Line({ quota }: { quota: Quota }) {
  const kind = MEASURES[quota.measure];
  const used = quota.used ?? 0;
  const share = quota.limit > 0 ? (100 * used) / quota.limit : 100;
  const [words, tone] = STATES[quota.state ?? 'ok'];
  return (
    <li class="list-row quota">
      <span class="quota-name"><b>{kind.label}</b><span class="small muted">{quota.action === 'suspend' ? 'suspends when used up' : 'only warns'}, first at {percent(quota.soft_percent)}</span></span>
      <span class="quota-bar"><span class={`meter meter-${tone}`} role="meter" aria-label={`${kind.label} used`} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.min(100, Math.round(share))}><span style={{ width: `${Math.min(100, share)}%` }} /></span>
        <span class="small">{kind.words(used)} of {kind.words(quota.limit)}</span></span>
      <Badge tone={tone}>{words}</Badge>
      <span class="small muted nowrap wide-only">{quota.resets_at ? <>starts anew <Time at={quota.resets_at} /></> : ''}</span>
    </li>
  );
}

interface Row {
  measure: QuotaMeasure;
  amount: string;
  soft: string;
  action: Quota['action'];
}

function Edit({ given, onClose, onSave }: { given: Reply; onClose: () => void; onSave: (wish: Reply) => Promise<void> }) {
  const [period, setPeriod] = useState(given.period);
  const [rows, setRows] = useState<Row[]>(() => given.quotas.map((quota) => ({ measure: quota.measure, amount: String(Number((quota.limit / MEASURES[quota.measure].factor).toPrecision(9))), soft: String(quota.soft_percent), action: quota.action })));
  const [error, setError] = useState<Error>();
  const [busy, setBusy] = useState(false);
  const free = ALL.filter((measure) => !rows.some((row) => row.measure === measure));
  const set = (index: number, changes: Partial<Row>) => setRows(rows.map((row, n) => (n === index ? { ...row, ...changes } : row)));
  const save = async () => {
    setBusy(true);
    setError(undefined);
    try {
      await onSave({ period, quotas: rows.map((row) => {
        const limit = Number(row.amount) * MEASURES[row.measure].factor;
        return { measure: row.measure, limit: row.measure === 'spend' ? limit : Math.round(limit), soft_percent: Number(row.soft), action: row.action };
      }) });
      onClose();
    } catch (problem) {
      setError(problem as Error);
      setBusy(false);
    }
  };
  return (
    <Dialog wide title="Quotas" onClose={onClose} onSubmit={() => void save()} footer={<><Button onClick={onClose}>Cancel</Button><Button kind="primary" type="submit" busy={busy}>Save</Button></>}>
      <FormError error={error} />
      <Field label="Counted"><Select value={period} onValue={(value) => setPeriod(value as Reply['period'])} options={Object.entries(PERIODS).map(([value, label]) => ({ value, label }))} /></Field>
      {rows.map((row, n) => (
        <fieldset key={row.measure} class="quota-edit">
          <legend>{MEASURES[row.measure].label}</legend>
          <Field label={`Limit, ${MEASURES[row.measure].unit}`}><TextInput type="number" min={0} step="any" required value={row.amount} onValue={(amount) => set(n, { amount })} /></Field>
          <Field label="Warn at, %"><TextInput type="number" min={1} max={100} required value={row.soft} onValue={(soft) => set(n, { soft })} /></Field>
          <Field label="When used up"><Select value={row.action} onValue={(action) => set(n, { action: action as Quota['action'] })} options={[{ value: 'alert', label: 'Only warn' }, { value: 'suspend', label: 'Suspend and refuse' }]} /></Field>
          <Button kind="quiet" icon={<Close />} aria-label={`Remove the quota of ${MEASURES[row.measure].label}`} onClick={() => setRows(rows.filter((_, m) => m !== n))} />
        </fieldset>
      ))}
      {free.length > 0 && <div class="row wrap">{free.map((measure) => <Button key={measure} small icon={<Plus />} onClick={() => setRows([...rows, { measure, amount: '', soft: '80', action: 'alert' }])}>{MEASURES[measure].label}</Button>)}</div>}
    </Dialog>
  );
}
