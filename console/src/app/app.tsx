// The whole: signed in or not, the shell, the page in it.
import { useEffect } from 'preact/hooks';
import { connection } from '../api/connection';
import { useStore } from '../api/store';
import { EmptyState, ErrorState, SkeletonRows } from '../ui/feedback';
import { Page } from '../ui/page';
import { Toasts } from '../ui/toast';
import { GoneBanner } from './banner';
import { ButtonLink } from '../ui/button';
import { Router } from './router';
import { routes } from './routes';
import { begin, session } from './session';
import { Shell } from './shell';
import { SignIn } from './signin';

export function App() {
  const state = useStore(session);
  const { epoch } = useStore(connection.store);
  // Again when the server is back, as long as nobody knows.
  useEffect(() => { if (state.at === 'unknown') begin().catch(() => {}); }, [epoch]);
  if (state.at === 'unknown') return <><div class="starting" role="status">Looking for the server…</div><GoneBanner /></>;
  if (state.at === 'out') return <><GoneBanner /><SignIn ended={state.ended} /></>;
  return (
    <>
      <Router
        routes={routes}
        loading={() => <Page title=""><SkeletonRows /></Page>}
        failed={(error, retry) => <Page title="Not loaded"><ErrorState error={error} retry={() => (navigator.onLine ? location.reload() : retry())} what="This page cannot be loaded" /></Page>}
        missing={() => <Page title="Not found"><EmptyState title="There is nothing at this address" action={<ButtonLink href="/">All projects</ButtonLink>}>It may have been deleted, or the link is not complete.</EmptyState></Page>}
      >
        {(page, params) => <Shell params={params} state={state}>{page}</Shell>}
      </Router>
      <Toasts />
    </>
  );
}
