// Runs a script through `POST /v1/queries` and keeps what comes: `follow` is pure, `send` talks.
//
//   send ─► fetch ─► chunks ─► EventReader ─► follow(run, event) ─► the page draws
//
// All statements of a run are one session, so BEGIN and COMMIT, settings and temporary tables work. Whoever aborts closes
// the connection, and the server cancels the statement.
import { ApiError, ServerGone, sentence } from '../api/client';
import { connection } from '../api/connection';
import { EventReader, type ServerEvent } from './events';
import type { Cell } from './export';

/** Where a run goes. */
export interface Target {
  project: string;
  branch: string;
  database: string;
  /** The owner of the database when absent. */
  role?: string | undefined;
}

/** An error or a notice of PostgreSQL, as the gateway tells it. */
export interface PgProblem {
  message: string;
  code: string;
  severity: string;
  detail: string | null;
  hint: string | null;
  position: string | null;
  where: string | null;
}

export interface Column {
  name: string;
  /** `int4`, or nothing for types of extensions and one's own. */
  type: string;
}

/** What became of one statement. */
export interface Outcome {
  /** As it was sent. */
  text: string;
  state: 'waiting' | 'running' | 'done' | 'failed' | 'skipped' | 'cancelled';
  /** `null`: it has no rows. */
  columns: Column[] | null;
  rows: Cell[][];
  command: string;
  rowCount: number | null;
  /** There are more rows than were asked for. */
  more: boolean;
  ms: number | null;
  error: PgProblem | null;
  notices: PgProblem[];
}

export interface Run {
  outcomes: Outcome[];
  phase: 'sent' | 'waking' | 'running' | 'ended';
  /** How long the wake took, milliseconds; 0: it was awake; `null`: not known yet. */
  wakeMs: number | null;
  /** A transaction was left open, so what it did is undone. */
  rolledBack: boolean;
  /** What went wrong that is not about a statement. */
  error: Error | null;
  /** It was stopped here, by somebody or because it was too much. */
  stopped: 'person' | 'size' | null;
  /** Bytes of rows that came. */
  size: number;
  /** Milliseconds, when it has ended. */
  tookMs: number | null;
}

/** Rows of one run, as text; above it the browser would suffer. */
export const MAX_SIZE = 48 << 20;

/** Notices of one statement that are kept. */
const MAX_NOTICES = 200;

export function begin(statements: readonly string[]): Run {
  const outcomes = statements.map((text): Outcome => ({ text, state: 'waiting', columns: null, rows: [], command: '', rowCount: null, more: false, ms: null, error: null, notices: [] }));
  return { outcomes, phase: 'sent', wakeMs: null, rolledBack: false, error: null, stopped: null, size: 0, tookMs: null };
}

function current(run: Run): Outcome | undefined {
  return run.outcomes.find(({ state }) => state === 'running');
}

/** Takes one event into the run. */
export function follow(run: Run, { name, data }: ServerEvent): void {
  const outcome = current(run);
  const json = (): unknown => JSON.parse(data);
  switch (name) {
    case 'waking':
      run.phase = 'waking';
      return;
    case 'started':
      run.phase = 'running';
      run.wakeMs = (json() as { wakeMs: number }).wakeMs;
      return;
    case 'statement': {
      const next = run.outcomes[(json() as { index: number }).index];
      if (next) next.state = 'running';
      return;
    }
    case 'fields':
      if (outcome) outcome.columns = (json() as { name: string; type: string | null }[]).map((field) => ({ name: field.name, type: field.type ?? '' }));
      return;
    case 'rows':
      run.size += data.length;
      if (outcome) for (const row of json() as Cell[][]) outcome.rows.push(row);
      return;
    case 'notice':
      if (outcome && outcome.notices.length < MAX_NOTICES) outcome.notices.push(json() as PgProblem);
      return;
    case 'done': {
      if (!outcome) return;
      const done = json() as { command: string; rowCount: number | null; more?: boolean; timing: { totalMs: number; wakeMs: number } };
      outcome.state = 'done';
      outcome.command = done.command;
      outcome.rowCount = done.rowCount;
      outcome.more = done.more ?? false;
      // The first statement of a run also waited for the wake.
      outcome.ms = Math.max(0, done.timing.totalMs - done.timing.wakeMs);
      return;
    }
    case 'error': {
      const problem = json() as PgProblem;
      if (outcome) {
        outcome.state = 'failed';
        outcome.error = problem;
      } else run.error = new Error(problem.message);
      return;
    }
    case 'end':
      run.rolledBack = (json() as { rolledBack: boolean }).rolledBack;
      return;
    default:
  }
}

/** Nothing more comes. */
export function finish(run: Run, stopped: Run['stopped'], error: Error | null): void {
  run.phase = 'ended';
  run.stopped = stopped;
  if (error) run.error = error;
  for (const outcome of run.outcomes) {
    if (outcome.state === 'running') outcome.state = stopped ? 'cancelled' : 'failed';
    else if (outcome.state === 'waiting') outcome.state = 'skipped';
  }
}

/** Runs statements; `changed` is called when there is something new, at most once per chunk. */
export async function send(run: Run, target: Target, maxRows: number, signal: AbortSignal, changed: () => void): Promise<void> {
  const start = performance.now();
  const stop = new AbortController();
  let stopped: Run['stopped'] = null;
  let problem: Error | null = null;
  try {
    const response = await fetch('/v1/queries', {
      method: 'POST',
      headers: { 'X-Dormouse-Console': '1', 'Content-Type': 'application/json', Accept: 'text/event-stream' },
      credentials: 'same-origin',
      cache: 'no-store',
      signal: AbortSignal.any([signal, stop.signal]),
      body: JSON.stringify({ script: run.outcomes.map(({ text }) => text), ...target, maxRows, arrayMode: true, rawText: true }),
    });
    connection.answered();
    if (!response.ok || !response.body) throw await refusal(response);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const events = new EventReader();
    let read = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      read += value.length;
      for (const event of events.push(value)) follow(run, event);
      // A single value may be too much as well, before the line with it is whole.
      if (run.size > MAX_SIZE || read > MAX_SIZE * 2) {
        stopped = 'size';
        stop.abort();
        break;
      }
      changed();
    }
    if (!stopped && run.outcomes.some(({ state }) => state === 'running')) problem = new Error('The answer broke off. The statement may have run to its end all the same.');
  } catch (error) {
    if (signal.aborted) stopped = 'person';
    else if (error instanceof ApiError) problem = error;
    else {
      connection.lost();
      problem = new ServerGone();
    }
  }
  run.tookMs = performance.now() - start;
  finish(run, stopped, problem);
  changed();
}

async function refusal(response: Response): Promise<ApiError> {
  try {
    const body = (await response.json()) as PgProblem;
    return new ApiError(response.status, body.code, sentence(body.message), body.hint ? sentence(body.hint) : undefined);
  } catch {
    return new ApiError(response.status, 'unknown', `The server answered ${response.status}.`);
  }
}

/** Runs statements whose rows are wanted as a whole, such as catalogue queries; throws what went wrong. */
export async function rowsOf(target: Target, statements: readonly string[], signal: AbortSignal, maxRows = 10_000): Promise<Outcome> {
  const run = begin(statements);
  await send(run, target, maxRows, signal, () => {});
  if (run.stopped) throw new DOMException('aborted', 'AbortError');
  if (run.error) throw run.error;
  const failed = run.outcomes.find(({ error }) => error !== null)?.error;
  if (failed) throw new ApiError(400, failed.code, sentence(failed.message), failed.hint ? sentence(failed.hint) : undefined);
  return run.outcomes[run.outcomes.length - 1] as Outcome;
}
