// Which statements took the time, from pg_stat_statements; where that is not switched on, how to do so.
//
//   asleep ─ "wake and show" ─► look ─┬─► ready: a table, asked for again while somebody looks
//                                     └─► not created, not loaded, not installed: what to do
//
// Opening the page wakes nothing.
import { useEffect, useMemo, useState } from 'preact/hooks';
import { seg } from '../api/client';
import { Link, type PageProps } from '../app/router';
import { compact, fine, percent } from '../charts/format';
import { Button, ButtonLink } from '../ui/button';
import { CodeBlock } from '../ui/copy';
import { Dialog } from '../ui/dialog';
import { EmptyState, ErrorState, SkeletonRows } from '../ui/feedback';
import { TextInput } from '../ui/field';
import { bytes, number } from '../ui/format';
import { ListIcon, Moon, Play, Refresh } from '../ui/icons';
import { Card, Facts, Page } from '../ui/page';
import { Table, type Column } from '../ui/table';
import { Time } from '../ui/time';
import { done, failed } from '../ui/toast';
import { rowsOf } from '../sql/run';
import { useWhere } from '../sql/where';
import { ask, askSince, CREATE, found, hitRatio, LOOK, oneLine, statsOf, type Presence, type QueryStats } from './queries/statements';
import '../sql/sql.css';
import './queries/queries.css';

const STATE_EVERY_MS = 5000;
const PAGE = 8192;

interface Answer {
  presence: Presence;
  stats: QueryStats[];
  since: number | null;
}

export default function QueriesPage({ params }: PageProps) {
  const project = params.project ?? '';
  const where = useWhere(project, STATE_EVERY_MS);
  const { target, endpoint } = where;
  const key = target ? JSON.stringify(target) : '';
  const awake = endpoint?.state === 'active';
  const [asked, setAsked] = useState('');
  const [answer, setAnswer] = useState<Answer>();
  const [error, setError] = useState<Error>();
  const [again, setAgain] = useState(0);
  const [creating, setCreating] = useState(false);
  const wanted = key !== '' && (awake || asked === key || answer !== undefined);

  useEffect(() => {
    setAnswer(undefined);
    setError(undefined);
  }, [key]);
  useEffect(() => {
    if (!wanted || !target) return;
    const stop = new AbortController();
    const load = async () => {
      const { presence, schema } = found((await rowsOf(target, [LOOK], stop.signal)).rows[0]);
      if (presence !== 'ready') return setAnswer({ presence, stats: [], since: null });
      const stats = statsOf((await rowsOf(target, [ask(schema)], stop.signal)).rows);
      // When it began to count is nice to know; an old extension cannot tell.
      const since = await rowsOf(target, [askSince(schema)], stop.signal).then(({ rows }) => Number(rows[0]?.[0]) || null, () => null);
      setAnswer({ presence, stats, since });
      setError(undefined);
    };
    load().catch((problem: unknown) => { if (!stop.signal.aborted) setError(problem as Error); }).finally(() => void where.look());
    return () => stop.abort();
  }, [key, wanted, again]);

  const create = async () => {
    if (!target) return;
    setCreating(true);
    try {
      await rowsOf(target, [CREATE], new AbortController().signal);
      done('Switched on: statements are counted from now on');
      setAgain((n) => n + 1);
    } catch (problem) {
      failed('Not switched on', problem);
    } finally {
      setCreating(false);
    }
  };

  const reload = answer?.presence === 'ready' && <Button icon={<Refresh />} onClick={() => setAgain((n) => n + 1)}>Refresh</Button>;
  return (
    <Page title="Queries" lead={answer?.since ? <>Counted since <Time at={new Date(answer.since).toISOString()} />.</> : 'Where the time of this database goes.'} actions={reload}>
      {where.bar}
      {where.error ? <Card flush><ErrorState error={where.error} retry={() => void where.refresh()} what="The branches cannot be shown" /></Card>
        : error ? <Card flush><ErrorState error={error} retry={() => { setError(undefined); setAgain((n) => n + 1); }} what="The statistics cannot be shown" /></Card>
        : answer?.presence === 'ready' ? <List project={project} stats={answer.stats} />
        : answer ? <Missing presence={answer.presence} project={project} creating={creating} onCreate={() => void create()} />
        : wanted || !endpoint ? <Card flush><SkeletonRows rows={8} /></Card>
        : <Card flush><EmptyState icon={<Moon size={20} />} title="The branch is asleep" action={<Button kind="primary" icon={<Play />} onClick={() => setAsked(key)}>Wake it and show them</Button>}>Its statistics are inside the database.</EmptyState></Card>}
    </Page>
  );
}

function Missing({ presence, project, creating, onCreate }: { presence: Presence; project: string; creating: boolean; onCreate: () => void }) {
  if (presence === 'not_created') {
    return (
      <Card flush>
        <EmptyState icon={<ListIcon size={20} />} title="Statements are not counted yet" action={<Button kind="primary" busy={creating} onClick={onCreate}>Switch it on</Button>}>
          The extension pg_stat_statements counts them. Its library is loaded; this runs <code>CREATE EXTENSION pg_stat_statements</code> in this database.
        </EmptyState>
      </Card>
    );
  }
  if (presence === 'not_loaded') {
    return (
      <Card flush>
        <EmptyState icon={<ListIcon size={20} />} title="Statements are not counted" action={<ButtonLink href={`/projects/${seg(project)}/settings`}>Project settings</ButtonLink>}>
          Add <code>pg_stat_statements</code> to the libraries that the project preloads, restart the endpoint, and come back.
        </EmptyState>
      </Card>
    );
  }
  return <Card flush><EmptyState icon={<ListIcon size={20} />} title="Statements cannot be counted">This PostgreSQL is installed without pg_stat_statements. Install the package with its contributed modules (such as <code>postgresql-contrib</code>) and restart the endpoint.</EmptyState></Card>;
}

function List({ project, stats }: { project: string; stats: readonly QueryStats[] }) {
  const [search, setSearch] = useState('');
  const [open, setOpen] = useState<QueryStats>();
  const whole = useMemo(() => stats.reduce((sum, { total }) => sum + total, 0), [stats]);
  const rows = useMemo(() => stats.filter(({ query, role }) => `${query} ${role}`.toLowerCase().includes(search.toLowerCase())), [stats, search]);
  const columns = useMemo((): Column<QueryStats>[] => [
    { key: 'query', title: 'Statement', render: (row) => <button type="button" class="query-text" title={row.query.slice(0, 2000)} onClick={() => setOpen(row)}><code>{oneLine(row.query)}</code></button> },
    {
      key: 'total', title: 'Total time', numeric: true, width: '9rem', sort: (row) => row.total,
      render: (row) => <span class="query-total">{fine(row.total)}<span class="query-bar" aria-hidden="true"><span style={{ width: `${whole > 0 ? (100 * row.total) / whole : 0}%` }} /></span></span>,
    },
    { key: 'mean', title: 'Mean', numeric: true, width: '6rem', sort: (row) => row.mean, render: (row) => fine(row.mean) },
    { key: 'calls', title: 'Calls', numeric: true, width: '5rem', sort: (row) => row.calls, render: (row) => compact(row.calls) },
    { key: 'rows', title: 'Rows', numeric: true, wide: true, width: '5rem', sort: (row) => row.rows, render: (row) => compact(row.rows) },
    { key: 'hit', title: 'From cache', numeric: true, wide: true, width: '6rem', sort: (row) => hitRatio(row) ?? 101, render: (row) => { const ratio = hitRatio(row); return ratio === null ? '–' : percent(ratio); } },
    { key: 'role', title: 'Role', wide: true, width: '8rem', sort: (row) => row.role, render: (row) => row.role },
  ], [whole]);
  return (
    <>
      <TextInput type="search" aria-label="Search statements" placeholder="Search statements" value={search} onValue={setSearch} class="query-search" />
      <Table label="Statements" columns={columns} rows={rows} rowKey={(row) => row.id} order="-total" empty={<EmptyState title={search ? 'No statement like that' : 'Nothing has run yet'} />} />
      {open && <One project={project} stats={open} whole={whole} onClose={() => setOpen(undefined)} />}
    </>
  );
}

function One({ project, stats, whole, onClose }: { project: string; stats: QueryStats; whole: number; onClose: () => void }) {
  const ratio = hitRatio(stats);
  const text = stats.query;
  return (
    <Dialog wide title="Statement" onClose={onClose} footer={<Link class="button button-primary" href={`/projects/${seg(project)}/sql${location.search ? `${location.search}&` : '?'}text=${encodeURIComponent(text)}`}>Open in the SQL editor</Link>}>
      <CodeBlock text={text} label="statement" />
      <Facts rows={[
        ['Total time', `${fine(stats.total)}, ${percent(whole > 0 ? (100 * stats.total) / whole : 0)} of all`],
        ['Calls', number(stats.calls)],
        ['One call', `${fine(stats.mean)} on average, ${fine(stats.min)} to ${fine(stats.max)}, deviation ${fine(stats.stddev)}`],
        ['Rows', `${number(stats.rows)}, ${number(stats.calls > 0 ? stats.rows / stats.calls : 0, 1)} per call`],
        ['Read', ratio === null ? 'Nothing' : `${bytes((stats.hit + stats.read) * PAGE)}, ${percent(ratio)} of it from memory`],
        ['Temporary files', bytes(stats.temp * PAGE)],
        ['WAL', bytes(stats.wal)],
        ['Role', stats.role],
      ]} />
    </Dialog>
  );
}
