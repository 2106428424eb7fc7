// Whether the server answers. One place knows, so that twenty polling lists do not each find out for themselves.
//
//   up ── a request gets no answer ─► gone: ask /healthz after 0.5, 1, 2, 4, … 15 s ── an answer ─► up, and pages ask anew
import { createStore } from './store';

export interface Connection {
  up: boolean;
  /** It answers late. */
  slow?: boolean;
  /** When the next try is due, milliseconds since the epoch; only while gone. */
  nextTry?: number;
  /** Grows when the server comes back: what was asked before may be stale. */
  epoch: number;
}

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;
const PROBE_WITHIN_MS = 5000;

const store = createStore<Connection>({ up: true, epoch: 0 });
let pause = FIRST_PAUSE_MS;
let timer: ReturnType<typeof setTimeout> | undefined;

async function probe(): Promise<void> {
  timer = undefined;
  try {
    const response = await fetch('/healthz', { cache: 'no-store', signal: AbortSignal.timeout(PROBE_WITHIN_MS) });
    if (response.ok) return connection.answered();
  } catch {
    // Still gone.
  }
  pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
  schedule();
}

function schedule(): void {
  clearTimeout(timer);
  store.set({ ...store.get(), up: false, nextTry: Date.now() + pause });
  timer = setTimeout(() => void probe(), pause);
}

export const connection = {
  store,
  lost(): void {
    if (!store.get().up) return;
    pause = FIRST_PAUSE_MS;
    schedule();
  },
  /** Somebody waits longer than usual. */
  slow(): void {
    if (store.get().up && !store.get().slow) store.set({ ...store.get(), slow: true });
  },
  answered(): void {
    const { up, slow } = store.get();
    if (up && slow) store.set({ ...store.get(), slow: false });
    if (up) return;
    clearTimeout(timer);
    store.set({ up: true, epoch: store.get().epoch + 1 });
  },
  /** Everything is to be asked for anew: somebody has signed in again. */
  anew(): void {
    store.set({ ...store.get(), epoch: store.get().epoch + 1 });
  },
  /** Whether it answers now; when it does not, everybody knows. */
  async answers(): Promise<boolean> {
    try {
      if ((await fetch('/healthz', { cache: 'no-store', signal: AbortSignal.timeout(PROBE_WITHIN_MS) })).ok) return true;
    } catch {
      // It does not.
    }
    connection.lost();
    return false;
  },
  /** Somebody is impatient. */
  tryNow(): void {
    clearTimeout(timer);
    void probe();
  },
};
