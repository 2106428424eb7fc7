// Data that a page shows: asked for, kept, asked for again while somebody looks.
//
//   useResource(path, { every }) ─► { data, error, loading, refresh }
//
// What was seen before is shown at once when a page is opened again, and replaced when the answer comes. Polling pauses
// in hidden tabs and while the server is gone, and slows down after errors. Leaving a page aborts what it waits for.
// Whoever shows the same is told the same at once: a new name is in the navigation as soon as it is saved.
//
// What does not exist any more, or may not be seen any more, is not shown any more. What only cannot be had now stays, and
// `unrefreshed` says so.
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { ApiError, isAbort, request, ServerGone, type Options } from './client';
import { connection } from './connection';
import { createStore, useStore } from './store';

export interface Resource<T> {
  data: T | undefined;
  error: Error | undefined;
  /** Nothing to show yet. */
  loading: boolean;
  /** Asks again now; resolves when the answer is there. */
  refresh: () => Promise<void>;
  /** Shows this until the next answer: what a change just returned. */
  set: (data: T) => void;
}

export interface Polling {
  /** Milliseconds between an answer and the next question; absent: asked once. */
  every?: number | undefined;
  query?: Options['query'];
  /** How to ask, when one GET is not enough (lists in pages). The path is still the name in the cache. */
  load?: (signal: AbortSignal) => Promise<unknown>;
}

/** Answers that are kept for the next visit. */
const MAX_KEPT = 64;
const LONGEST_PAUSE_MS = 60_000;

const kept = new Map<string, unknown>();

function keep(key: string, data: unknown): void {
  kept.delete(key);
  kept.set(key, data);
  for (const oldest of kept.keys()) {
    if (kept.size <= MAX_KEPT) break;
    kept.delete(oldest);
  }
}

/** Who shows an answer, by its name in the cache. */
const watchers = new Map<string, Set<(data: unknown) => void>>();

function tell(key: string, data: unknown, but: (data: unknown) => void): void {
  for (const watcher of watchers.get(key) ?? []) if (watcher !== but) watcher(data);
}

/** What is shown although it could not be had again: why, by its name in the cache. */
export const unrefreshed = createStore<ReadonlyMap<string, Error>>(new Map());

function note(key: string, error: Error | undefined): void {
  const before = unrefreshed.get();
  if (!error && !before.has(key)) return;
  const after = new Map(before);
  if (error) after.set(key, error);
  else after.delete(key);
  unrefreshed.set(after);
}

/** It is not there, or not for this person. */
const isOver = (error: unknown): boolean => error instanceof ApiError && [403, 404].includes(error.status);

/** Another person may sign in next. */
export function forgetAll(): void {
  kept.clear();
}

/** Asks the API for `path`; `null` asks for nothing. */
export function useResource<T>(path: string | null, options: Polling = {}): Resource<T> {
  const { every, load } = options;
  const query = JSON.stringify(options.query ?? {});
  const key = path === null ? null : path + query;
  const [state, setState] = useState<{ key: string | null; data: T | undefined; error: Error | undefined }>({ key: null, data: undefined, error: undefined });
  const { epoch, up } = useStore(connection.store);
  const again = useRef<() => Promise<void>>(async () => {});
  const seen = useRef<string | undefined>(undefined);
  const hear = useRef<(data: unknown) => void>(() => {});
  const how = useRef(load);
  how.current = load;

  useEffect(() => {
    if (key === null || path === null) return;
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let failures = 0;
    seen.current = undefined;
    let asking: Promise<void> | undefined;
    const heard = (data: unknown) => {
      seen.current = undefined;
      setState({ key, data: data as T, error: undefined });
    };
    hear.current = heard;
    if (!watchers.has(key)) watchers.set(key, new Set());
    watchers.get(key)?.add(heard);
    const ask = async () => {
      clearTimeout(timer);
      try {
        const data = (await (how.current ? how.current(abort.signal) : request('GET', path, { query: JSON.parse(query), signal: abort.signal }))) as T;
        if (abort.signal.aborted) return;
        failures = 0;
        note(key, undefined);
        // The same again is no news: nothing is drawn anew.
        const text = JSON.stringify(data);
        const before = seen.current;
        seen.current = text;
        if (before === text) setState((old) => (old.key === key && old.error === undefined ? old : { key, data, error: undefined }));
        else {
          keep(key, data);
          setState({ key, data, error: undefined });
          tell(key, data, heard);
        }
      } catch (error) {
        if (isAbort(error) || abort.signal.aborted) return;
        failures += 1;
        seen.current = undefined;
        if (isOver(error)) kept.delete(key);
        const shown = kept.get(key) as T | undefined;
        setState((old) => ({ key, data: isOver(error) ? undefined : old.key === key ? old.data : shown, error: error as Error }));
        // The connection says when to ask again; what does not exist, or is not allowed, is not asked for again.
        if (error instanceof ServerGone || isOver(error) || (error instanceof ApiError && error.status === 401)) return note(key, undefined);
        if (shown !== undefined) note(key, error as Error);
      }
      if (every) timer = setTimeout(tick, Math.min(every * 2 ** failures, LONGEST_PAUSE_MS));
    };
    const start = () => (asking ??= ask().finally(() => (asking = undefined)));
    const tick = () => {
      // `visible` asks at once when the tab is shown again.
      if (!document.hidden) void start();
    };
    const visible = () => {
      if (!document.hidden && every) void start();
    };
    // What was under way may have been answered before the change that somebody wants to see.
    again.current = async () => {
      await asking;
      await start();
    };
    void start();
    document.addEventListener('visibilitychange', visible);
    return () => {
      abort.abort();
      clearTimeout(timer);
      note(key, undefined);
      const all = watchers.get(key);
      all?.delete(heard);
      if (all?.size === 0) watchers.delete(key);
      document.removeEventListener('visibilitychange', visible);
    };
  }, [key, every, epoch]);

  const refresh = useCallback(() => again.current(), []);
  const set = useCallback((data: T) => {
    if (key === null) return;
    seen.current = undefined;
    keep(key, data);
    setState({ key, data, error: undefined });
    tell(key, data, hear.current);
  }, [key]);
  const mine = state.key === key;
  const data = mine ? state.data : key === null ? undefined : (kept.get(key) as T | undefined);
  const error = mine ? state.error : undefined;
  // Whoever has nothing to show waits, also for a server that is gone: the banner says why.
  const loading = data === undefined && (error === undefined || (!up && error instanceof ServerGone));
  return { data, error: loading ? undefined : error, loading, refresh, set };
}
