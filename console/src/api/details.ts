// What only the reply for one branch tells (sizes, history), for the rows of a long list that can be seen. A few at a
// time, so that scrolling through a thousand branches does not queue a thousand requests.
import { useEffect, useState } from 'preact/hooks';
import { isAbort, request } from './client';
import { branchPath } from './data';
import type { Branch } from './types';

const AT_ONCE = 3;
/** A size is good for so long, milliseconds. */
const FRESH_MS = 60_000;
/** A row that was scrolled past asks for nothing. */
const SETTLE_MS = 120;
const MAX_KEPT = 2000;

const kept = new Map<string, { at: number; branch: Branch }>();
const waiting: { path: string; signal: AbortSignal; tell: (branch: Branch) => void }[] = [];
let running = 0;

async function work(): Promise<void> {
  if (running >= AT_ONCE) return;
  running += 1;
  for (let next = waiting.shift(); next; next = waiting.shift()) {
    if (next.signal.aborted) continue;
    try {
      const { branch } = await request<{ branch: Branch }>('GET', next.path, { signal: next.signal });
      if (kept.size >= MAX_KEPT) kept.clear();
      kept.set(next.path, { at: Date.now(), branch });
      next.tell(branch);
    } catch (error) {
      // The row shows no size; the list itself says what is wrong.
      if (!isAbort(error)) continue;
    }
  }
  running -= 1;
}

export function useBranchDetails(project: string, branch: string | undefined): Branch | undefined {
  const path = branch ? branchPath(project, branch) : undefined;
  const [, renderAgain] = useState(0);
  useEffect(() => {
    if (!path) return;
    const before = kept.get(path);
    if (before && Date.now() - before.at < FRESH_MS) return;
    const abort = new AbortController();
    const timer = setTimeout(() => {
      waiting.push({ path, signal: abort.signal, tell: () => renderAgain((n) => n + 1) });
      void work();
    }, SETTLE_MS);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [path]);
  return path ? kept.get(path)?.branch : undefined;
}
