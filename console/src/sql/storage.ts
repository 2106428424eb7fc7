// What a browser keeps of the editor: the history and the text of each project. A browser that keeps nothing is no error.
import { restore, type Entry } from './history';

const HISTORY = 'dormouse.sql.history.';
const DRAFT = 'dormouse.sql.draft.';
/** Characters of a draft that are kept. */
const MAX_DRAFT = 200_000;

function read(key: string): string | null {
  try { return localStorage.getItem(key); } catch { return null; }
}

function write(key: string, value: string): void {
  // Full or forbidden: the page works on without it.
  try { localStorage.setItem(key, value); } catch { /* nothing to do */ }
}

export const loadHistory = (project: string): Entry[] => restore(read(HISTORY + project));
export const saveHistory = (project: string, entries: readonly Entry[]): void => write(HISTORY + project, JSON.stringify(entries));
export const loadDraft = (project: string): string => read(DRAFT + project) ?? '';
export const saveDraft = (project: string, text: string): void => { if (text.length <= MAX_DRAFT) write(DRAFT + project, text); };
