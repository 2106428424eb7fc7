// What pg_stat_statements knows, asked for in two steps: whether it is there, then its rows. Pure.
import type { Cell } from '../../sql/export';

/** Where the extension is in this database. */
export type Presence = 'ready' | 'not_created' | 'not_loaded' | 'not_installed';

export interface Found {
  presence: Presence;
  /** The schema that it is in, quoted. */
  schema: string;
}

/** One row: which schema it is in, whether its library is loaded, whether it could be created. */
export const LOOK = `SELECT (SELECT quote_ident(n.nspname) FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'pg_stat_statements'),
  EXISTS (SELECT FROM pg_catalog.pg_settings WHERE name = 'pg_stat_statements.track'),
  EXISTS (SELECT FROM pg_catalog.pg_available_extensions WHERE name = 'pg_stat_statements')`;

export function found(row: readonly Cell[] | undefined): Found {
  const [schema, loaded, installed] = row ?? [];
  const presence = installed !== 't' && !schema ? 'not_installed' : loaded !== 't' ? 'not_loaded' : schema ? 'ready' : 'not_created';
  return { presence, schema: schema ?? '' };
}

export const CREATE = 'CREATE EXTENSION IF NOT EXISTS pg_stat_statements';

/** Statements that are shown; the view keeps 5,000 by default. */
export const MAX_STATEMENTS = 300;

/** The statements of this database that took the most time altogether, or that rank high in another way. */
export function ask(schema: string): string {
  return `WITH s AS (
  SELECT queryid, userid, query, calls, total_exec_time, mean_exec_time, min_exec_time, max_exec_time, stddev_exec_time, rows,
    shared_blks_hit, shared_blks_read, temp_blks_written, wal_bytes,
    rank() OVER (ORDER BY total_exec_time DESC) AS a, rank() OVER (ORDER BY mean_exec_time DESC) AS b, rank() OVER (ORDER BY calls DESC) AS c, rank() OVER (ORDER BY rows DESC) AS d
  FROM ${schema}.pg_stat_statements
  WHERE dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
SELECT s.queryid, r.rolname, s.query, s.calls, s.total_exec_time, s.mean_exec_time, s.min_exec_time, s.max_exec_time, s.stddev_exec_time, s.rows,
  s.shared_blks_hit, s.shared_blks_read, s.temp_blks_written, s.wal_bytes
FROM s LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.userid
WHERE least(a, b, c, d) <= ${MAX_STATEMENTS / 4}
ORDER BY s.total_exec_time DESC LIMIT ${MAX_STATEMENTS}`;
}

/** Since when it counts, milliseconds since 1970. */
export function askSince(schema: string): string {
  return `SELECT (extract(epoch FROM stats_reset) * 1000)::bigint FROM ${schema}.pg_stat_statements_info`;
}

export interface QueryStats {
  id: string;
  role: string;
  query: string;
  calls: number;
  /** Milliseconds. */
  total: number;
  mean: number;
  min: number;
  max: number;
  stddev: number;
  rows: number;
  /** Of 8 KiB. */
  hit: number;
  read: number;
  temp: number;
  wal: number;
}

export function statsOf(rows: readonly (readonly Cell[])[]): QueryStats[] {
  return rows.map((row, n) => {
    const figure = (index: number) => Number(row[index] ?? 0);
    return {
      // The same text of two roles has one ID; without the right to see it, there is none.
      id: `${row[0] ?? n} ${row[1] ?? ''}`, role: row[1] ?? '', query: row[2] ?? '', calls: figure(3), total: figure(4), mean: figure(5), min: figure(6), max: figure(7), stddev: figure(8), rows: figure(9), hit: figure(10), read: figure(11), temp: figure(12), wal: figure(13),
    };
  });
}

/** Of the blocks that it needed, how many were in memory: percent; `null` when it needed none. */
export function hitRatio({ hit, read }: Pick<QueryStats, 'hit' | 'read'>): number | null {
  return hit + read === 0 ? null : (100 * hit) / (hit + read);
}

/** One line of a text. */
export function oneLine(query: string): string {
  return query.replace(/\s+/g, ' ').trim();
}
