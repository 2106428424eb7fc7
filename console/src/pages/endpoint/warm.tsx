// Times in which an endpoint is kept awake.
import { useState } from 'preact/hooks';
import { patchEndpoint, type FullEndpoint, type KeepWarm } from '../../api/endpoint';
import { Button } from '../../ui/button';
import { Dialog } from '../../ui/dialog';
import { EmptyState, FormError } from '../../ui/feedback';
import { Field, TextInput } from '../../ui/field';
import { number } from '../../ui/format';
import { Close, Plus, Sun } from '../../ui/icons';
import { Card, Section } from '../../ui/page';
import { done, failed } from '../../ui/toast';
import { dayName, hoursPerWeek, schedule, WEEK, windowWords } from './cron';

export function Warm({ project, endpoint, onChange }: { project: string; endpoint: FullEndpoint; onChange: (endpoint: FullEndpoint) => void }) {
  const [adding, setAdding] = useState(false);
  const [busy, setBusy] = useState(-1);
  const windows = endpoint.keep_warm;
  if (windows === undefined) return null;
  const replace = async (all: KeepWarm[]) => onChange(await patchEndpoint(project, endpoint.id, { keep_warm: all }));
  const remove = async (index: number) => {
    setBusy(index);
    try {
      await replace(windows.filter((_, n) => n !== index));
      done('Removed');
    } catch (error) {
      failed('Not removed', error);
    } finally {
      setBusy(-1);
    }
  };
  const hours = hoursPerWeek(windows);
  const lead = windows.length > 0 && hours !== null ? `It stays awake ${number(hours, 1)} of the 168 hours of a week.` : 'In these times it wakes by itself and does not sleep.';
  return (
    <Section title="Keep warm" lead={lead} actions={<Button small icon={<Plus />} onClick={() => setAdding(true)}>Add a window</Button>}>
      <Card flush>
        {windows.length === 0 ? <EmptyState icon={<Sun />} title="It sleeps whenever there is nothing to do">Add a window, such as office hours, in which the first query should never wait for a wake.</EmptyState> : (
          <ul class="list">
            {windows.map((window, n) => (
              <li key={`${window.schedule} ${window.minutes}`} class="list-row">
                <span class="grow">{windowWords(window)}</span>
                <code class="faint small wide-only">{window.schedule}</code>
                <Button kind="quiet" small icon={<Close />} busy={busy === n} aria-label={`Remove ${windowWords(window)}`} onClick={() => void remove(n)} />
              </li>
            ))}
          </ul>
        )}
      </Card>
      {adding && <AddWindow onClose={() => setAdding(false)} onAdd={async (window) => { await replace([...windows, window]); done('Added'); }} />}
    </Section>
  );
}

function AddWindow({ onClose, onAdd }: { onClose: () => void; onAdd: (window: KeepWarm) => Promise<void> }) {
  const [from, setFrom] = useState('08:00');
  const [to, setTo] = useState('18:00');
  const [days, setDays] = useState([1, 2, 3, 4, 5]);
  const [error, setError] = useState<Error>();
  const [busy, setBusy] = useState(false);
  const minutesOf = (text: string) => {
    const [hour, minute] = text.split(':').map(Number);
    return (hour ?? 0) * 60 + (minute ?? 0);
  };
  // The same time twice is a whole day.
  const minutes = (minutesOf(to) - minutesOf(from) + 1440) % 1440 || 1440;
  const window: KeepWarm = { schedule: schedule({ hour: Math.floor(minutesOf(from) / 60), minute: minutesOf(from) % 60, days }), minutes };
  const add = async () => {
    if (days.length === 0) return setError(new Error('Choose at least one day.'));
    setBusy(true);
    setError(undefined);
    try {
      await onAdd(window);
      onClose();
    } catch (problem) {
      setError(problem as Error);
      setBusy(false);
    }
  };
  return (
    <Dialog title="Add a window" onClose={onClose} onSubmit={() => void add()} footer={<><Button onClick={onClose}>Cancel</Button><Button kind="primary" type="submit" busy={busy}>Add</Button></>}>
      <FormError error={error} />
      <fieldset class="days">
        <legend>Days</legend>
        {WEEK.map((day) => (
          <label key={day} class={days.includes(day) ? 'day on' : 'day'}>
            <input class="sr" type="checkbox" checked={days.includes(day)} onChange={(event) => setDays(event.currentTarget.checked ? [...days, day] : days.filter((one) => one !== day))} />
            <span aria-hidden="true">{dayName(day).slice(0, 2)}</span><span class="sr">{dayName(day)}</span>
          </label>
        ))}
      </fieldset>
      <div class="form-grid">
        <Field label="From (UTC)"><TextInput type={'time' as 'text'} value={from} onValue={setFrom} required /></Field>
        <Field label="To (UTC)"><TextInput type={'time' as 'text'} value={to} onValue={setTo} required /></Field>
      </div>
      {days.length > 0 && <p class="muted small">{windowWords(window)}</p>}
    </Dialog>
  );
}
