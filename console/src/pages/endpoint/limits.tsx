// How large an endpoint may become, and when it goes to sleep.
import { useState } from 'preact/hooks';
import { patchEndpoint, type FullEndpoint } from '../../api/endpoint';
import { Button } from '../../ui/button';
import { FormError } from '../../ui/feedback';
import { useDraft } from '../../ui/draft';
import { Checkbox, Field, NumberInput, Select } from '../../ui/field';
import { duration, number } from '../../ui/format';
import { Card, Section } from '../../ui/page';
import { done } from '../../ui/toast';

const SIZES = [0.25, 0.5, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 56];
const IDLE = [10, 30, 60, 300, 900, 3600, 14_400, 86_400];

/** A choice of common values, and any other. */
function Seconds({ label, hint, value, onValue, special }: { label: string; hint: string; value: number; onValue: (value: number) => void; special: { value: number; label: string }[] }) {
  const known = IDLE.includes(value) || special.some((one) => one.value === value);
  const [other, setOther] = useState(!known);
  const options = [
    ...special.filter((one) => one.value === 0).map((one) => ({ value: String(one.value), label: one.label })),
    ...IDLE.map((seconds) => ({ value: String(seconds), label: duration(seconds) })),
    ...special.filter((one) => one.value !== 0).map((one) => ({ value: String(one.value), label: one.label })),
    { value: 'other', label: 'Other…' },
  ];
  return (
    <div class="stack-s">
      <Field label={label} hint={hint}>
        <Select value={other ? 'other' : String(value)} options={options} onValue={(text) => { setOther(text === 'other'); if (text !== 'other') onValue(Number(text)); }} />
      </Field>
      {other && <Field label={`${label}, in seconds`}><NumberInput min={1} step={1} value={value} onValue={onValue} /></Field>}
    </div>
  );
}

export function Limits({ project, endpoint, onChange }: { project: string; endpoint: FullEndpoint; onChange: (endpoint: FullEndpoint) => void }) {
  const given = {
    autoscaling_limit_min_cu: endpoint.autoscaling_limit_min_cu,
    autoscaling_limit_max_cu: endpoint.autoscaling_limit_max_cu,
    suspend_timeout_seconds: endpoint.suspend_timeout_seconds,
    pause_timeout_seconds: endpoint.pause_timeout_seconds,
    ...(endpoint.prewarm !== undefined && { prewarm: endpoint.prewarm }),
  };
  const { value: wish, set: setWish, changed: dirty, reset } = useDraft(given);
  const [error, setError] = useState<Error>();
  const [busy, setBusy] = useState(false);
  const set = (changes: Partial<typeof wish>) => setWish({ ...wish, ...changes });
  const sizes = [...new Set([...SIZES, wish.autoscaling_limit_min_cu, wish.autoscaling_limit_max_cu])].sort((a, b) => a - b);
  const options = sizes.map((cu) => ({ value: String(cu), label: `${number(cu, 2)} CU · ${number(cu, 2)} CPU, ${number(cu * 4, 1)} GiB` }));
  const save = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    try {
      onChange(await patchEndpoint(project, endpoint.id, wish));
      done('Saved');
    } catch (problem) {
      setError(problem as Error);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Section title="Size and sleep" lead="One CU is one CPU and 4 GiB of memory. Within the bounds the size follows the load by itself.">
      <Card>
        <form class="stack" onSubmit={(event) => void save(event)}>
          <FormError error={error} />
          <div class="form-grid">
            <Field label="Smallest size" hint="What it wakes with and never falls below.">
              <Select value={String(wish.autoscaling_limit_min_cu)} options={options} onValue={(text) => set({ autoscaling_limit_min_cu: Number(text), autoscaling_limit_max_cu: Math.max(Number(text), wish.autoscaling_limit_max_cu) })} />
            </Field>
            <Field label="Largest size" hint="What a burst of work may take.">
              <Select value={String(wish.autoscaling_limit_max_cu)} options={options} onValue={(text) => set({ autoscaling_limit_max_cu: Number(text), autoscaling_limit_min_cu: Math.min(Number(text), wish.autoscaling_limit_min_cu) })} />
            </Field>
            <Seconds label="Idle before sleep" hint="Without work for so long, it is paused or stopped." value={wish.suspend_timeout_seconds} onValue={(suspend_timeout_seconds) => set({ suspend_timeout_seconds })} special={[{ value: 0, label: 'As the server has it' }, { value: -1, label: 'Never sleeps' }]} />
            <Seconds label="Paused before stop" hint="Paused, it keeps its memory, uses no CPU and is back within milliseconds." value={wish.pause_timeout_seconds} onValue={(pause_timeout_seconds) => set({ pause_timeout_seconds })} special={[{ value: 0, label: 'Never paused: stops at once' }, { value: -1, label: 'Stays paused' }]} />
          </div>
          {wish.prewarm !== undefined && <Checkbox checked={wish.prewarm} onValue={(prewarm) => set({ prewarm })} hint="Reads what was in memory at the last stop, so the first queries find it there.">Prewarm when it wakes</Checkbox>}
          <div class="row">
            <Button kind="primary" type="submit" busy={busy} disabled={!dirty}>Save</Button>
            {dirty && <Button kind="quiet" onClick={() => { reset(); setError(undefined); }}>Discard changes</Button>}
          </div>
        </form>
      </Card>
    </Section>
  );
}
