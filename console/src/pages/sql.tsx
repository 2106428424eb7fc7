// The SQL editor: write, run, see the rows, the plan, or what went wrong and where.
//
//   Ctrl+Enter: the statement at the cursor, or what is selected · Ctrl+Shift+Enter: everything
//
// Several statements are one session, run in order until one fails. An endpoint that sleeps is woken by the first of them,
// and the page says so and how long it took. Opening the page wakes nothing.
import { useEffect, useRef, useState } from 'preact/hooks';
import { useQuery, type PageProps } from '../app/router';
import { fine } from '../charts/format';
import { Button } from '../ui/button';
import { EmptyState, ErrorState, Skeleton } from '../ui/feedback';
import { Select } from '../ui/field';
import { Clock, Close, Play, Terminal } from '../ui/icons';
import { Menu } from '../ui/menu';
import { Card, Page } from '../ui/page';
import type { Editor } from '../sql/editor';
import { explaining } from '../sql/explain';
import { remember } from '../sql/history';
import { Past } from '../sql/past';
import { Results, type Place } from '../sql/results';
import { begin, rowsOf, send, type Outcome, type Run } from '../sql/run';
import { changesSchema, SCHEMA_QUERY, schemaOf } from '../sql/schema';
import { place, split, statementAt, verb, type Statement } from '../sql/split';
import { loadDraft, loadHistory, saveDraft, saveHistory } from '../sql/storage';
import { useWhere } from '../sql/where';
import '../sql/sql.css';

const LIMITS = [100, 1000, 10_000, 100_000];
const DEFAULT_LIMIT = 1000;
const STATE_EVERY_MS = 5000;
/** A clock on the page while something runs, milliseconds. */
const TICK_MS = 100;

/** What is run, and where each statement stands in the editor. */
interface Sent {
  run: Run;
  statements: Statement[];
  /** Characters before each statement that are not the person's. */
  prefix: number;
  /** Which of the outcomes belongs to which statement: EXPLAIN ANALYZE has some around it. */
  offset: number;
  start: number;
}

export default function SqlPage({ params }: PageProps) {
  const project = params.project ?? '';
  const [query, setQuery] = useQuery();
  const where = useWhere(project, STATE_EVERY_MS);
  const host = useRef<HTMLDivElement>(null);
  const editor = useRef<Editor>(undefined);
  const [ready, setReady] = useState(false);
  const [broken, setBroken] = useState<Error>();
  const [limit, setLimit] = useState(DEFAULT_LIMIT);
  const [sent, setSent] = useState<Sent>();
  const [version, setVersion] = useState(0);
  const [entries, setEntries] = useState(() => loadHistory(project));
  const [past, setPast] = useState(false);
  const abort = useRef<AbortController>(undefined);
  const running = sent !== undefined && sent.run.phase !== 'ended';
  const start = useRef<(all: boolean) => void>(() => {});

  useEffect(() => {
    let gone = false;
    const box = host.current;
    if (!box) return;
    import('../sql/editor').then(({ createEditor }) => {
      if (gone) return;
      const given = query.get('text');
      editor.current = createEditor(box, { text: joined(loadDraft(project), given), onRun: (all) => start.current(all), onChange: (text) => saveDraft(project, text) });
      if (given !== null) setQuery({ text: null });
      setReady(true);
      editor.current.focus();
    }, setBroken);
    return () => {
      gone = true;
      editor.current?.destroy();
      abort.current?.abort();
    };
  }, []);

  const awake = where.endpoint?.state === 'active';
  const { target } = where;
  const key = target ? JSON.stringify(target) : '';
  const [schemaAge, setSchemaAge] = useState(0);
  useEffect(() => {
    if (!ready || !target || !awake) return;
    const stop = new AbortController();
    // Completion is a help, not a promise: without it everything else works.
    rowsOf(target, [SCHEMA_QUERY], stop.signal).then(({ rows }) => editor.current?.setSchema(schemaOf(rows)), () => {});
    return () => stop.abort();
  }, [ready, key, awake, schemaAge]);

  const launch = async (statements: Statement[], texts: string[], prefix: number, offset: number) => {
    if (!target || running || texts.length === 0) return;
    const run = begin(texts);
    const stop = new AbortController();
    abort.current = stop;
    editor.current?.mark(null);
    const now: Sent = { run, statements, prefix, offset, start: performance.now() };
    setSent(now);
    let due = false;
    const changed = () => {
      if (due) return;
      due = true;
      requestAnimationFrame(() => { due = false; setVersion((n) => n + 1); });
    };
    await send(run, target, limit, stop.signal, changed);
    setVersion((n) => n + 1);
    const failing = run.outcomes.findIndex(({ error }) => error !== null);
    const range = failing >= 0 ? rangeOf(now, failing, editor.current?.text() ?? '') : null;
    if (range) editor.current?.mark(range);
    const shown = run.outcomes[run.outcomes.length - 1];
    const entry = { at: Date.now(), text: statements.map(({ text }) => text).join(';\n'), branch: where.branch?.name ?? '', database: target.database, took: run.tookMs ?? 0, ok: failing < 0 && !run.error && !run.stopped, ...(shown?.columns && { rows: shown.rows.length }) };
    const next = remember(loadHistory(project), entry);
    setEntries(next);
    saveHistory(project, next);
    void where.look();
    if (run.outcomes.some(({ state, text }) => state === 'done' && changesSchema(verb(text)))) setSchemaAge((n) => n + 1);
  };

  /** What Ctrl+Enter means now. */
  const chosen = (all: boolean): Statement[] => {
    const text = editor.current?.text() ?? '';
    const { from, to } = editor.current?.selection() ?? { from: 0, to: 0 };
    if (!all && from !== to) return split(text.slice(from, to)).map((one) => ({ ...one, from: one.from + from, to: one.to + from }));
    const statements = split(text);
    if (all) return statements;
    const one = statementAt(statements, from);
    return one ? [one] : [];
  };
  const runNow = (all: boolean) => {
    const statements = chosen(all);
    void launch(statements, statements.map(({ text }) => text), 0, 0);
  };
  start.current = runNow;
  const explain = (analyze: boolean) => {
    const statements = chosen(false).slice(0, 1);
    const one = statements[0];
    if (!one) return;
    const prefix = explaining('', analyze).length;
    // ANALYZE runs the statement: whatever it writes is undone.
    const texts = analyze ? ['BEGIN', explaining(one.text, true), 'ROLLBACK'] : [explaining(one.text, false)];
    void launch(statements, texts, prefix, analyze ? 1 : 0);
  };

  const placeOf = (outcome: Outcome): Place | null => {
    if (!sent) return null;
    const range = rangeOf(sent, sent.run.outcomes.indexOf(outcome), editor.current?.text() ?? '');
    if (!range) return null;
    const before = (editor.current?.text() ?? '').slice(0, range.from).split('\n');
    return { line: before.length, column: (before[before.length - 1]?.length ?? 0) + 1, go: () => editor.current?.goTo(range.from) };
  };

  if (where.error) return <Page title="SQL editor"><Card flush><ErrorState error={where.error} retry={() => void where.refresh()} what="The branches cannot be shown" /></Card></Page>;
  return (
    <Page title="SQL editor" actions={<Button icon={<Clock />} onClick={() => setPast(true)}>History</Button>}>
      {where.bar}
      <div class="editor">
        <div class="editor-host" ref={host} data-testid="sql-editor">
          {!ready && !broken && <div class="card"><Skeleton width="40%" /></div>}
        </div>
        {broken && <ErrorState error={broken} what="The editor cannot be loaded" retry={() => location.reload()} />}
        <div class="editor-bar">
          {running ? <Button kind="danger" icon={<Close />} onClick={() => abort.current?.abort()}>Cancel</Button>
            : <Button kind="primary" icon={<Play />} disabled={!ready || !target} onClick={() => runNow(false)}>Run</Button>}
          <Button disabled={!ready || !target || running} onClick={() => runNow(true)}>Run all</Button>
          <Menu kind="plain" label="Explain" items={[
            { label: 'Plan only', disabled: (!target || running) && 'Something runs', onSelect: () => explain(false) },
            { label: 'Run and measure, then roll back', disabled: (!target || running) && 'Something runs', onSelect: () => explain(true) },
          ]}>Explain</Menu>
          <span class="grow"><kbd class="wide-only">Ctrl ↵ runs the statement at the cursor</kbd></span>
          <label class="editor-limit">At most <Select value={String(limit)} onValue={(text) => setLimit(Number(text))} options={LIMITS.map((rows) => ({ value: String(rows), label: `${rows.toLocaleString('en')} rows` }))} /></label>
        </div>
      </div>
      <section class="results stack-s" aria-label="Results">
        {sent ? <><RunState sent={sent} branch={where.branch?.name ?? ''} /><Results key={sent.start} run={sent.run} version={version} place={placeOf} only={sent.offset > 0 ? sent.offset : undefined} /></> : (
          <Card flush><EmptyState icon={<Terminal size={20} />} title="Results appear here">{where.endpoint && where.endpoint.state !== 'active' ? 'The branch is asleep: the first statement wakes it, and this page says how long that took.' : 'Write a statement and press Ctrl+Enter.'}</EmptyState></Card>
        )}
      </section>
      {past && <Past entries={entries} onClose={() => setPast(false)} onForget={() => { saveHistory(project, []); setEntries([]); }} onChoose={(entry) => { editor.current?.setText(entry.text); setPast(false); setTimeout(() => editor.current?.focus()); }} />}
    </Page>
  );
}

/** What somebody was writing, and below it what they came with: nothing of it is lost, and the cursor is at the end. */
function joined(draft: string, given: string | null): string {
  if (given === null || draft.trim() === given.trim()) return draft;
  const before = draft.trimEnd();
  // On a line of its own: the last one may be a comment.
  return before === '' ? given : `${before}${before.endsWith(';') ? '' : '\n;'}\n\n${given}`;
}

/** Where in the editor an error is; `null` when nobody knows, or the text has changed meanwhile. */
function rangeOf(sent: Sent, index: number, text: string): { from: number; to: number } | null {
  const outcome = sent.run.outcomes[index];
  const statement = sent.statements[index - sent.offset];
  if (!outcome?.error?.position || !statement || text.slice(statement.from, statement.to) !== statement.text) return null;
  const at = statement.from + place(outcome.text, Number(outcome.error.position)) - sent.prefix;
  if (at < statement.from) return null;
  const word = /^(?:[\p{L}\p{N}_$.]+|"[^"]*"|.)/u.exec(text.slice(at))?.[0] ?? '';
  // At the end of the input there is nothing to underline but what stands before it.
  return at >= statement.to ? { from: Math.max(statement.from, statement.to - 1), to: statement.to } : { from: at, to: at + Math.max(1, word.length) };
}

/** One line: waking, running, done; with a clock. */
function RunState({ sent, branch }: { sent: Sent; branch: string }) {
  const { run } = sent;
  const [now, setNow] = useState(() => performance.now());
  const ended = run.phase === 'ended';
  useEffect(() => {
    if (ended) return;
    const timer = setInterval(() => setNow(performance.now()), TICK_MS);
    return () => clearInterval(timer);
  }, [ended, sent]);
  const clock = fine(Math.max(0, now - sent.start));
  const woke = run.wakeMs ? <span class="run-woke">Woke {branch} in <b>{fine(run.wakeMs)}</b></span> : null;
  const waking = run.phase === 'waking';
  return (
    <div class="run-state" role="status">
      {waking && <><span class="spinner run-waking" aria-hidden="true" /><span class="run-waking">Waking {branch}…</span> <b aria-hidden="true">{clock}</b></>}
      {!ended && !waking && <><span class="spinner" aria-hidden="true" />{woke} Running… <b aria-hidden="true">{clock}</b></>}
      {ended && <>{woke}{run.tookMs !== null && <span>{run.stopped === 'person' ? 'Cancelled after' : 'Took'} <b>{fine(run.tookMs)}</b> in all</span>}</>}
    </div>
  );
}
