// A moment as people say it; the exact time is its title. All of them tick together.
import { useEffect } from 'preact/hooks';
import { createStore, useStore } from '../api/store';
import { dateTime, relative } from './format';

const TICK_MS = 5000;

const now = createStore(Date.now());
let shown = 0;
let timer: ReturnType<typeof setInterval> | undefined;

/** The time, for whoever shows how long something is ago; milliseconds since the epoch. */
export function useNow(): number {
  useEffect(() => {
    if (shown++ === 0) {
      now.set(Date.now());
      timer = setInterval(() => { if (!document.hidden) now.set(Date.now()); }, TICK_MS);
    }
    return () => { if (--shown === 0) clearInterval(timer); };
  }, []);
  return useStore(now);
}

export function Time({ at }: { at: string | undefined | null }) {
  const current = useNow();
  if (!at) return <span class="faint">–</span>;
  const moment = new Date(at);
  // A reply may be younger than the last tick.
  return <time dateTime={at} title={dateTime(moment)} class="nowrap">{relative(moment, Math.max(current, Date.now()))}</time>;
}
