// Results as text: CSV as PostgreSQL's COPY writes it, JSON, and tab-separated for the clipboard. Pure.

/** A value as PostgreSQL's text; `null` is NULL. */
export type Cell = string | null;

/** A result that can be written. */
export interface Table {
  columns: readonly { name: string; type: string }[];
  rows: readonly (readonly Cell[])[];
}

/** NULL is nothing, an empty text is `""`: reading it back with COPY gives the same. */
function csvCell(value: Cell): string {
  if (value === null) return '';
  return value === '' || /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
}

/** With a header line. */
export function csv({ columns, rows }: Table): string {
  const lines = [columns.map(({ name }) => csvCell(name)).join(',')];
  for (const row of rows) {
    // A line without any character would be skipped by many readers.
    lines.push(row.length === 1 && row[0] === null ? '' : row.map(csvCell).join(','));
  }
  return lines.join('\r\n') + '\r\n';
}

/** One value as JSON: what JSON can hold without losing digits is a number, `json` is itself, the rest is text. */
export function jsonCell(value: Cell, type: string): string {
  if (value === null) return 'null';
  switch (type) {
    case 'int2':
    case 'int4':
    case 'oid':
      return value;
    case 'float4':
    case 'float8':
    case 'int8':
    case 'numeric':
      // Also NaN and Infinity stay texts.
      return isExact(value) ? value : JSON.stringify(value);
    case 'bool':
      return value === 't' || value === 'true' ? 'true' : 'false';
    case 'json':
    case 'jsonb':
      return value;
    default:
      return JSON.stringify(value);
  }
}

/** JSON readers make the same number of it. */
function isExact(value: string): boolean {
  return /^-?\d{1,15}$/.test(value) ? !/^-?0\d/.test(value) : /^-?\d+(\.\d+)?(e[+-]?\d+)?$/.test(value) && String(Number(value)) === value;
}

/** Names of columns may repeat; keys of an object may not. */
export function uniqueNames(names: readonly string[]): string[] {
  const seen = new Set<string>();
  return names.map((name) => {
    let unique = name;
    for (let n = 2; seen.has(unique); n++) unique = `${name}_${n}`;
    seen.add(unique);
    return unique;
  });
}

/** A list of objects, one a line. */
export function json({ columns, rows }: Table): string {
  const keys = uniqueNames(columns.map(({ name }) => name)).map((name) => JSON.stringify(name));
  const lines = rows.map((row) => {
    const parts = row.map((value, n) => `${keys[n]}: ${jsonCell(value, columns[n]?.type ?? '')}`);
    return `  {${parts.join(', ')}}`;
  });
  return lines.length === 0 ? '[]\n' : `[\n${lines.join(',\n')}\n]\n`;
}

/** For the clipboard, as spreadsheets take it. */
export function tsv({ columns, rows }: Table, header = true): string {
  const cell = (value: Cell) => (value ?? '').replace(/[\t\r\n]+/g, ' ');
  const lines = rows.map((row) => row.map(cell).join('\t'));
  if (header) lines.unshift(columns.map(({ name }) => cell(name)).join('\t'));
  return lines.join('\n');
}
