// Who is signed in. The cookie is out of this code's sight; the server says whether there is a session.
//
//   unknown ─► GET /console/session ─┬─► in ── 401 of any request, or sign out ─► out
//                                    └─► out ── POST with a key or a code ─► in
import { forgetAll } from '../api/resource';
import { onSignedOut, send } from '../api/client';
import { createStore } from '../api/store';

export interface Session {
  /** The name of the API key that it was opened with. */
  name: string;
  /** The only project that it may use, when it is bound to one. */
  project_id?: string;
  expires_at: string;
}

interface Reply {
  session: Session | null;
  /** Only for those who are signed in. */
  version?: string;
}

export type State =
  | { at: 'unknown' }
  | { at: 'out'; ended: boolean }
  | { at: 'in'; version: string; session: Session };

const PATH = '/console/session';

export const session = createStore<State>({ at: 'unknown' });

function accept(reply: Reply): void {
  if (reply.session) session.set({ at: 'in', version: reply.version ?? '', session: reply.session });
  else session.set({ at: 'out', ended: false });
}

/** Asks the server. A link from the terminal carries a code that is good once. */
export async function begin(): Promise<void> {
  const code = /^#code=([\w-]+)$/.exec(location.hash)?.[1];
  if (code) {
    // Out of the address, the history and every bookmark at once.
    history.replaceState(null, '', location.pathname + location.search);
    try {
      return accept(await send<Reply>('POST', PATH, { body: { code } }));
    } catch {
      // Used already, or too old: a session may still be there.
    }
  }
  accept(await send<Reply>('GET', PATH));
}

export async function signIn(key: string): Promise<void> {
  accept(await send<Reply>('POST', PATH, { body: { key } }));
}

export async function signOut(): Promise<void> {
  await send('DELETE', PATH);
  end(false);
}

function end(ended: boolean): void {
  const state = session.get();
  if (state.at !== 'in') return;
  forgetAll();
  session.set({ at: 'out', ended });
}

onSignedOut(() => end(true));
