// Statements that were run in this browser, per project, newest first, within limits. Pure; `storage.ts` keeps them.

/** One run. */
export interface Entry {
  /** Milliseconds since 1970. */
  at: number;
  text: string;
  branch: string;
  database: string;
  /** Milliseconds from start to end. */
  took: number;
  ok: boolean;
  /** Rows of the last statement; absent when it had none. */
  rows?: number;
}

/** Entries of one project. */
export const MAX_ENTRIES = 100;

/** Characters of one entry that are kept; longer texts are scripts that live elsewhere. */
export const MAX_TEXT = 20_000;

/** Characters of all of them: browsers give a page about five million. */
export const MAX_ALL = 400_000;

/** With a new entry; the same text again moves to the front. */
export function remember(entries: readonly Entry[], entry: Entry): Entry[] {
  if (entry.text.length > MAX_TEXT) return [...entries];
  const others = entries.filter(
    (old) => old.text !== entry.text || old.branch !== entry.branch || old.database !== entry.database);
  const all = [entry, ...others].slice(0, MAX_ENTRIES);
  let size = 0;
  return all.filter((one) => (size += one.text.length) <= MAX_ALL);
}

/** What a browser had stored; whatever is not as it should be is left out. */
export function restore(stored: string | null): Entry[] {
  if (stored === null) return [];
  try {
    const list: unknown = JSON.parse(stored);
    return Array.isArray(list) ? list.filter(isEntry).slice(0, MAX_ENTRIES) : [];
  } catch {
    return [];
  }
}

function isEntry(value: unknown): value is Entry {
  const entry = value as Entry | null;
  return typeof entry === 'object' && entry !== null && typeof entry.text === 'string'
    && typeof entry.at === 'number' && typeof entry.branch === 'string' && typeof entry.database === 'string'
    && typeof entry.took === 'number' && typeof entry.ok === 'boolean';
}
