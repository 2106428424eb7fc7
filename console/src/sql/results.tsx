// What a run brought: one tab per statement when there are several, then rows, a plan, a message or an error.
import { useMemo, useState } from 'preact/hooks';
import { fine } from '../charts/format';
import { Button } from '../ui/button';
import { copyText } from '../ui/copy';
import { ErrorText } from '../ui/feedback';
import { count, number } from '../ui/format';
import { Copy, Warn } from '../ui/icons';
import { Menu } from '../ui/menu';
import { Tabs } from '../ui/tabs';
import { done, failed } from '../ui/toast';
import { NotAPlan, readPlan } from './explain';
import { csv, json, tsv } from './export';
import { ResultGrid } from './grid';
import { PlanView } from './plan';
import type { Outcome, PgProblem, Run } from './run';
import { MAX_SIZE } from './run';

export interface Place {
  line: number;
  column: number;
  go: () => void;
}

/** `version` grows with what comes: the run itself is the same object all the time. `only`: the one statement that a person asked for. */
export function Results({ run, version, place, only }: { run: Run; version: number; place: (outcome: Outcome) => Place | null; only?: number | undefined }) {
  const [chosen, setChosen] = useState<string>();
  // What stands around a measured statement is nobody's concern, unless it went wrong.
  const outcomes = only === undefined || run.outcomes.some(({ error }, n) => error && n !== only) ? run.outcomes : run.outcomes.slice(only, only + 1);
  const first = outcomes.findIndex(({ error }) => error !== null);
  const last = outcomes.reduce((found, outcome, n) => (outcome.columns && outcome.state !== 'waiting' ? n : found), -1);
  const at = chosen !== undefined ? Number(chosen) : first >= 0 ? first : last >= 0 ? last : 0;
  const outcome = outcomes[at];
  if (run.error) return <div class="result-error" role="alert"><Warn /><div class="grow"><ErrorText error={run.error} /></div></div>;
  return (
    <div class="stack-s" data-version={version}>
      {run.rolledBack && only === undefined && <p class="note note-warn">The transaction was left open, so it has been rolled back: nothing of it is kept.</p>}
      {run.stopped === 'size' && <p class="note note-warn">Stopped: the result is larger than {number(MAX_SIZE / 2 ** 20)} MiB. Ask for fewer rows or columns, or fetch it with psql.</p>}
      {outcomes.length > 1 ? (
        <Tabs label="Statements" value={String(at)} onValue={setChosen} tabs={outcomes.map((one, n) => ({ value: String(n), label: <TabLabel outcome={one} index={n} /> }))}>
          {outcome && <One key={at} outcome={outcome} place={place} />}
        </Tabs>
      ) : outcome && <One outcome={outcome} place={place} />}
    </div>
  );
}

function TabLabel({ outcome, index }: { outcome: Outcome; index: number }) {
  const verb = outcome.command || /^\s*(\w+)/.exec(outcome.text)?.[1]?.toUpperCase() || '…';
  const mark = { failed: ' ✕', skipped: ' · not run', cancelled: ' · cancelled', running: ' …', waiting: '', done: '' }[outcome.state];
  return <span class={outcome.state === 'failed' ? 'bad-text' : outcome.state === 'skipped' ? 'faint' : ''}>{index + 1} {verb}{outcome.rowCount !== null && ` ${number(outcome.rowCount)}`}{mark}</span>;
}

/** The plan that a result is, if it is one. */
function planOf(outcome: Outcome): string | null {
  const { columns, rows } = outcome;
  const text = rows[0]?.[0];
  if (columns?.length !== 1 || columns[0]?.name !== 'QUERY PLAN' || !text || outcome.state !== 'done') return null;
  if (columns[0].type !== 'json') return null;
  try {
    readPlan(text);
    return text;
  } catch (error) {
    if (error instanceof NotAPlan) return null;
    throw error;
  }
}

function One({ outcome, place }: { outcome: Outcome; place: (outcome: Outcome) => Place | null }) {
  const plan = useMemo(() => planOf(outcome), [outcome, outcome.state]);
  const { columns, rows } = outcome;
  const isText = columns?.length === 1 && columns[0]?.name === 'QUERY PLAN' && columns[0].type === 'text';
  return (
    <div class="stack-s">
      {outcome.error && <Problem problem={outcome.error} place={place(outcome)} />}
      {outcome.notices.length > 0 && <Notices notices={outcome.notices} />}
      {plan ? <PlanView text={plan} /> : columns && (
        <>
          <Head outcome={outcome} />
          {isText ? <pre class="plan-text" tabIndex={0}>{rows.map(([line]) => line).join('\n')}</pre> : <ResultGrid columns={columns} rows={rows} label="Result" />}
        </>
      )}
      {!columns && outcome.state === 'done' && <p class="result-done">{doneWords(outcome)}</p>}
      {outcome.state === 'skipped' && <p class="muted">Not run, because a statement before it failed or was stopped.</p>}
      {outcome.state === 'cancelled' && <p class="note note-warn">Cancelled. PostgreSQL has been told to stop; what it had done is rolled back.</p>}
    </div>
  );
}

function doneWords({ command, rowCount, ms }: Outcome): string {
  const what = command === '' ? 'The statement was empty' : rowCount === null ? `${command} done` : `${command}: ${count(rowCount, 'row')}`;
  return ms === null ? what : `${what}, in ${fine(ms)}`;
}

function Head({ outcome }: { outcome: Outcome }) {
  const { columns, rows, more, state, ms } = outcome;
  const table = { columns: columns ?? [], rows };
  const copy = () => copyText(tsv(table)).then(() => done(`Copied ${count(rows.length, 'row')}`), (error: unknown) => failed('Not copied', error));
  return (
    <div class="result-head">
      <p class="grow" aria-live="polite">
        <b>{count(rows.length, 'row')}</b>
        {state === 'running' && <span class="muted"> so far…</span>}
        {more && <span class="cut"> the first ones only: the limit was reached, there may be more</span>}
        {state === 'done' && ms !== null && <span class="muted"> · {fine(ms)}</span>}
      </p>
      <Button small kind="quiet" icon={<Copy />} disabled={rows.length === 0} onClick={() => void copy()}>Copy</Button>
      <Menu small label="Download" items={[
        { label: 'CSV', onSelect: () => download('result.csv', 'text/csv', csv(table)) },
        { label: 'JSON', onSelect: () => download('result.json', 'application/json', json(table)) },
      ]}>Download</Menu>
    </div>
  );
}

function download(name: string, type: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  link.click();
  // The browser needs it until the download has begun.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

function Problem({ problem, place }: { problem: PgProblem; place: Place | null }) {
  return (
    <div class="result-error" role="alert">
      <Warn />
      <div class="grow">
        <p><b>{problem.severity === 'ERROR' ? '' : `${problem.severity}: `}{problem.message}</b> <code class="faint">{problem.code}</code></p>
        {place && <p><button type="button" class="text-button" onClick={place.go}>Line {place.line}, column {place.column}</button></p>}
        {problem.detail && <p>{problem.detail}</p>}
        {problem.hint && <p>Hint: {problem.hint}</p>}
        {problem.where && <pre class="result-where">{problem.where}</pre>}
      </div>
    </div>
  );
}

function Notices({ notices }: { notices: readonly PgProblem[] }) {
  return (
    <ul class="notices" aria-label="Notices">
      {notices.map((notice, n) => <li key={n}><span class="faint">{notice.severity}</span> {notice.message}{notice.detail && <span class="muted"> {notice.detail}</span>}</li>)}
    </ul>
  );
}
