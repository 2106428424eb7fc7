// A point of a branch's past: now, a time on a slider within the window that is kept, or a position of the WAL.
import { useEffect, useState } from 'preact/hooks';
import { useBranchDetails } from '../../api/details';
import type { Branch } from '../../api/types';
import { Note, Skeleton } from '../../ui/feedback';
import { Field, Segmented, TextInput } from '../../ui/field';
import { dateTime, localInput, relative } from '../../ui/format';
import { within, type Kind, type Point } from './moment';

/** Positions of the slider. */
const STEPS = 1000;

export interface PointFieldProps {
  project: string;
  branch: Branch;
  /** Branches that left it: marks on the slider. */
  children: Branch[];
  point: Point;
  onPoint: (point: Point) => void;
  /** Without "now", for what only makes sense with the past. */
  past?: boolean;
}

export function PointField({ project, branch, children, point, onPoint, past }: PointFieldProps) {
  const details = useBranchDetails(project, branch.id);
  const history = details?.history;
  const start = Date.parse(history?.start_at ?? details?.created_at ?? branch.created_at);
  const end = Date.now();
  const kinds: { value: Kind; label: string }[] = [...(past ? [] : [{ value: 'now' as const, label: 'Now' }]), { value: 'time', label: 'Time' }, { value: 'lsn', label: 'WAL position' }];
  // Known only when the branch is: what was proposed before may be too far back.
  const fits = point.kind !== 'time' || !details || point.time === within(point.time, start, end);
  useEffect(() => {
    if (!fits) onPoint({ ...point, time: within(point.time, start, end) });
  }, [fits]);
  const choose = (kind: Kind) => onPoint({ ...point, kind, time: point.time || end, lsn: point.lsn || (history?.stored ?? '') });
  return (
    <div class="stack-s point-choice">
      <Segmented label="Point of its past" value={point.kind} onValue={choose} options={kinds} />
      {point.kind === 'now' && <p class="small muted">The newest data of <b>{branch.name}</b>.</p>}
      {point.kind === 'time' && (details ? <Slider start={start} end={end} marks={children} time={point.time} onTime={(time) => onPoint({ ...point, time })} /> : <Skeleton height="7rem" />)}
      {point.kind === 'lsn' && (
        <Field label="Position" hint={history ? <>From <code>{history.start}</code>; the store has all before <code>{history.stored}</code>.</> : 'As pg_current_wal_lsn() shows it.'}>
          <TextInput value={point.lsn} onValue={(lsn) => onPoint({ ...point, lsn })} mono placeholder="0/16B3748" />
        </Field>
      )}
      {point.kind !== 'now' && details && !history && <Note kind="warn">How far back this branch goes cannot be told now; the server says so when it is too far.</Note>}
    </div>
  );
}

function Slider({ start, end, marks, time, onTime }: { start: number; end: number; marks: Branch[]; time: number; onTime: (time: number) => void }) {
  const length = Math.max(end - start, 1000);
  const at = Math.round(((within(time, start, end) - start) / length) * STEPS);
  const shown = new Date(within(time, start, end));
  // A year is typed digit by digit, and none of them is a time that is kept.
  const [typed, setTyped] = useState<string>();
  const times = marks.flatMap((branch) => (branch.parent_timestamp ? [{ branch, at: Date.parse(branch.parent_timestamp) }] : [])).filter((mark) => mark.at >= start && mark.at <= end);
  return (
    <div class="point-slider">
      <input
        type="range"
        min={0}
        max={STEPS}
        value={at}
        aria-label="Time"
        aria-valuetext={dateTime(shown)}
        onInput={(event) => onTime(start + (Number(event.currentTarget.value) / STEPS) * length)}
      />
      <div class="point-track" aria-hidden="true">
        {times.map((mark) => <span key={mark.branch.id} class="point-mark" style={{ left: `${((mark.at - start) / length) * 100}%` }} title={`${mark.branch.name} left here`} />)}
      </div>
      <div class="point-ends"><span>{relative(new Date(start), end)}</span><span>now</span></div>
      <Field label="Exactly" hint={`${relative(shown, end)}, in your time zone`}>
        <TextInput type="datetime-local" step="1" min={localInput(new Date(start))} max={localInput(new Date(end))} value={typed ?? localInput(shown)} onBlur={() => setTyped(undefined)} onValue={(text) => { setTyped(text); const chosen = new Date(text).getTime(); if (chosen >= start - 1000 && chosen <= end) onTime(within(chosen, start, end)); }} />
      </Field>
    </div>
  );
}
