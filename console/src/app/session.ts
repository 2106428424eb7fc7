// Who is signed in. The cookie is out of this code's sight; the server says whether there is a session.
//
//   unknown ─► GET /console/session ─┬─► in ── 401 of any request, or sign out ─► out
//                                    └─► out ── POST with a key or a code ─► in
//
// A session that ends by itself leaves the page where it is, covered by the form to sign in: whoever comes back with the
// same key finds what they had typed. Anybody else finds a page that was loaded for them.
import { forgetAll } from '../api/resource';
import { onSignedOut, send } from '../api/client';
import { connection } from '../api/connection';
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
  | { at: 'out'; ended: boolean; before?: SignedIn }
  | SignedIn;

export interface SignedIn {
  at: 'in';
  version: string;
  session: Session;
  /** Another one for everybody who must not see what the one before had on the screen. */
  visit: number;
}

const PATH = '/console/session';

export const session = createStore<State>({ at: 'unknown' });

let visits = 0;

function accept(reply: Reply): void {
  const old = session.get();
  const before = old.at === 'out' ? old.before : undefined;
  if (!reply.session) {
    if (!before) session.set({ at: 'out', ended: false });
    return;
  }
  const same = before && before.session.name === reply.session.name && before.session.project_id === reply.session.project_id;
  if (!same) forgetAll();
  session.set({ at: 'in', version: reply.version ?? '', session: reply.session, visit: same ? before.visit : ++visits });
  if (same) connection.anew();
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
  if (!ended) forgetAll();
  session.set({ at: 'out', ended, ...(ended && { before: state }) });
}

onSignedOut(() => end(true));
