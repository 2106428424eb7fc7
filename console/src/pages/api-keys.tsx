// Keys for programs. A new key is shown once; afterwards only its first characters are known.
import { useState } from 'preact/hooks';
import { request, seg } from '../api/client';
import { LIST_MS, useProjects } from '../api/data';
import { useResource } from '../api/resource';
import type { ApiKey } from '../api/types';
import { Button } from '../ui/button';
import { Confirm } from '../ui/confirm';
import { EmptyState, ErrorState } from '../ui/feedback';
import { Key, Plus } from '../ui/icons';
import { Page } from '../ui/page';
import { Table, type Column } from '../ui/table';
import { Time } from '../ui/time';
import { done } from '../ui/toast';
import { CreateKey } from './api-keys/create';
import './api-keys/keys.css';

export default function ApiKeys() {
  const keys = useResource<ApiKey[]>('/api_keys', { every: LIST_MS });
  const projects = useProjects();
  const [creating, setCreating] = useState(false);
  const [revoking, setRevoking] = useState<ApiKey>();
  const projectName = (id: string) => projects.data?.find((project) => project.id === id)?.name ?? id;

  const may = (key: ApiKey) => (key.project_id ? projectName(key.project_id) : 'Everything');
  const columns: Column<ApiKey>[] = [
    { key: 'name', title: 'Name', sort: (key) => key.name.toLowerCase(), render: (key) => <div class="key-name"><b>{key.name}</b><span class="faint small narrow-only">{may(key)}</span></div> },
    { key: 'prefix', title: 'Key', width: '9rem', wide: true, render: (key) => <code>{key.prefix}…</code> },
    { key: 'for', title: 'May use', wide: true, render: may },
    { key: 'used', title: 'Last used', width: '8rem', numeric: true, sort: (key) => Date.parse(key.last_used_at ?? '') || 0, render: (key) => (key.last_used_at ? <span title={key.last_used_from_addr && `From ${key.last_used_from_addr}`}><Time at={key.last_used_at} /></span> : <span class="faint">never</span>) },
    { key: 'created', title: 'Created', width: '8rem', numeric: true, wide: true, sort: (key) => Date.parse(key.created_at), render: (key) => <Time at={key.created_at} /> },
    { key: 'do', title: '', render: (key) => <Button small kind="danger" aria-label={`Revoke ${key.name}`} onClick={() => setRevoking(key)}>Revoke</Button> },
  ];
  return (
    <Page title="API keys" lead="For programs and for signing in here." actions={<Button kind="primary" icon={<Plus />} onClick={() => setCreating(true)}>New key</Button>}>
      {keys.error && !keys.data ? <ErrorState error={keys.error} retry={() => void keys.refresh()} what="The API keys cannot be shown" /> : (
        <Table label="API keys" columns={columns} rows={keys.data} rowKey={(key) => key.id} order="-used" empty={<EmptyState icon={<Key size={20} />} title="No API keys" action={<Button onClick={() => setCreating(true)}>New key</Button>} />} />
      )}
      {creating && <CreateKey projects={projects.data ?? []} onClose={() => setCreating(false)} onCreated={() => void keys.refresh()} />}
      {revoking && (
        <Confirm
          title="Revoke API key"
          action="Revoke key"
          typed={revoking.name}
          onClose={() => setRevoking(undefined)}
          onConfirm={async () => {
            await request('DELETE', `/api_keys/${seg(revoking.id)}`);
            done(`The key ${revoking.name} is revoked.`);
            await keys.refresh();
          }}
        >
          <p>Programs that use <b>{revoking.name}</b> are refused from now on, and browsers that signed in with it are signed out. This cannot be undone.</p>
        </Confirm>
      )}
    </Page>
  );
}
