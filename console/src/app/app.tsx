// The whole: signed in or not, the shell, the page in it.
import { useEffect } from 'preact/hooks';
import { connection } from '../api/connection';
import { useStore } from '../api/store';
import { EmptyState, ErrorState, SkeletonRows } from '../ui/feedback';
import { Page } from '../ui/page';
import { Toasts } from '../ui/toast';
import { GoneBanner } from './banner';
import { ButtonLink } from '../ui/button';
import { prefetch, Router } from './router';
import { routes } from './routes';
import { begin, session } from './session';
import { Shell } from './shell';
import { SignIn, SignInAgain } from './signin';

/** The first page comes first, milliseconds. */
const PREFETCH_AFTER_MS = 1500;

export function App() {
  const state = useStore(session);
  const { epoch } = useStore(connection.store);
  // Again when the server is back, as long as nobody knows.
  useEffect(() => { if (state.at === 'unknown') begin().catch(() => {}); }, [epoch]);
  useEffect(() => {
    if (state.at !== 'in') return;
    const timer = setTimeout(() => void prefetch(routes), PREFETCH_AFTER_MS);
    return () => clearTimeout(timer);
  }, [state.at]);
  if (state.at === 'unknown') return <><div class="starting" role="status">Looking for the server…</div><GoneBanner /></>;
  const visit = state.at === 'in' ? state : state.before;
  if (!visit) return <><GoneBanner /><SignIn /></>;
  return (
    <>
      <Router
        key={visit.visit}
        routes={routes}
        loading={() => <Page title=""><SkeletonRows /></Page>}
        failed={(error, retry) => <Page title="Not loaded"><ErrorState error={error} retry={() => (navigator.onLine ? location.reload() : retry())} what="This page is not loaded: reload it, the server may have been replaced by another version" /></Page>}
        missing={() => <Page title="Not found"><EmptyState title="There is nothing at this address" action={<ButtonLink href="/">All projects</ButtonLink>}>It may have been deleted, or the link is not complete.</EmptyState></Page>}
      >
        {(page, params) => <Shell params={params} state={visit}>{page}</Shell>}
      </Router>
      <Toasts />
      {state.at === 'out' && <SignInAgain />}
    </>
  );
}
