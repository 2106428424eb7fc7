// Browsers that are signed in, and their end.
import { useState } from 'preact/hooks';
import { request, seg } from '../../api/client';
import { LIST_MS } from '../../api/data';
import { useResource } from '../../api/resource';
import type { SignedInBrowser } from '../../api/types';
import { Badge } from '../../ui/badge';
import { Button } from '../../ui/button';
import { Confirm } from '../../ui/confirm';
import { EmptyState, ErrorState } from '../../ui/feedback';
import { Key } from '../../ui/icons';
import { Section } from '../../ui/page';
import { Table, type Column } from '../../ui/table';
import { Time } from '../../ui/time';
import { done } from '../../ui/toast';
import { browserName } from './browser';

export function Sessions() {
  const reply = useResource<{ sessions: SignedInBrowser[] }>('/console_sessions', { every: LIST_MS });
  const [ending, setEnding] = useState<SignedInBrowser>();
  const columns: Column<SignedInBrowser>[] = [
    { key: 'browser', title: 'Browser', sort: (row) => browserName(row.user_agent), render: (row) => (
      <div class="setting-name"><span class="row wrap" title={row.user_agent}><b>{browserName(row.user_agent)}</b>{row.current && <Badge tone="ok">This one</Badge>}</span><span class="small faint">{row.last_used_from_addr || 'address not known'}<span class="narrow-only"> · {row.name}</span></span></div>
    ) },
    { key: 'key', title: 'API key', wide: true, sort: (row) => row.name, render: (row) => row.name },
    { key: 'used', title: 'Last used', width: '7rem', numeric: true, sort: (row) => Date.parse(row.last_used_at), render: (row) => <Time at={row.last_used_at} /> },
    { key: 'since', title: 'Signed in', width: '8rem', numeric: true, wide: true, sort: (row) => Date.parse(row.created_at), render: (row) => <Time at={row.created_at} /> },
    { key: 'ends', title: 'Ends', width: '7rem', numeric: true, wide: true, sort: (row) => Date.parse(row.expires_at), render: (row) => <Time at={row.expires_at} /> },
    { key: 'do', title: '', render: (row) => (row.current ? null : <Button small kind="danger" aria-label={`Sign out ${browserName(row.user_agent)} of ${row.name}`} onClick={() => setEnding(row)}>Sign out</Button>) },
  ];
  return (
    <Section title="Signed-in browsers" lead="A session ends after 7 days, after 12 hours without use, and with its API key.">
      {reply.error && !reply.data ? <ErrorState error={reply.error} retry={() => void reply.refresh()} what="The sessions cannot be shown" /> : (
        <Table label="Signed-in browsers" columns={columns} rows={reply.data?.sessions} rowKey={(row) => row.id} order="-used" expected={1} empty={<EmptyState icon={<Key size={20} />} title="No browser is signed in" />} />
      )}
      {ending && (
        <Confirm
          title="Sign a browser out"
          action="Sign out"
          onClose={() => setEnding(undefined)}
          onConfirm={async () => {
            await request('DELETE', `/console_sessions/${seg(ending.id)}`);
            done('It is signed out.');
            await reply.refresh();
          }}
        >
          <p><b>{browserName(ending.user_agent)}</b> at {ending.last_used_from_addr || 'an address that is not known'}, signed in with the key <b>{ending.name}</b>, has to sign in again.</p>
        </Confirm>
      )}
    </Section>
  );
}
