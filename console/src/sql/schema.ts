// What completion knows: schemas, tables and their columns. Asked for once per database, and never by waking it.
import type { Cell } from './export';

/** Schema → table → columns. */
export type Schema = Record<string, Record<string, string[]>>;

/** Columns that are offered; large databases have more than anybody types from memory. */
const MAX_COLUMNS = 8000;

export const SCHEMA_QUERY = `SELECT n.nspname, c.relname, a.attname
FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND a.attnum > 0 AND NOT a.attisdropped
  AND n.nspname NOT IN ('pg_toast') AND n.nspname !~ '^pg_(temp|toast_temp)_'
  AND (n.nspname <> 'pg_catalog' OR c.relname LIKE 'pg_stat%' OR c.relname IN ('pg_class', 'pg_namespace', 'pg_indexes', 'pg_settings', 'pg_tables', 'pg_extension', 'pg_roles', 'pg_locks'))
  AND n.nspname <> 'information_schema'
ORDER BY n.nspname = 'pg_catalog', n.nspname, c.relname, a.attnum
LIMIT ${MAX_COLUMNS}`;

export function schemaOf(rows: readonly (readonly Cell[])[]): Schema {
  const schema: Schema = {};
  for (const [namespace, table, column] of rows) {
    if (!namespace || !table || !column) continue;
    ((schema[namespace] ??= {})[table] ??= []).push(column);
  }
  return schema;
}

/** Whether a statement may change what completion should know. */
export function changesSchema(verb: string): boolean {
  return ['CREATE', 'ALTER', 'DROP', 'COMMENT', 'IMPORT'].includes(verb);
}
