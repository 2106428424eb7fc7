// Who changed what. The newest entries are live; older ones are loaded on demand.
import { useState } from 'preact/hooks';
import { request } from '../api/client';
import { LIST_MS } from '../api/data';
import { useResource } from '../api/resource';
import type { AuditEntry, Page as Place } from '../api/types';
import { Badge } from '../ui/badge';
import { Button } from '../ui/button';
import { EmptyState, ErrorState } from '../ui/feedback';
import { Scroll } from '../ui/icons';
import { Page } from '../ui/page';
import { Table, type Column } from '../ui/table';
import { Time } from '../ui/time';
import { failed } from '../ui/toast';
import './audit/audit.css';

interface Audit {
  entries: AuditEntry[];
  pagination?: Place;
}

const PER_PAGE = 100;

/** `createProjectBranch` → "Create project branch". */
function action(id: string): string {
  const words = id.replace(/([A-Z])/g, ' $1').toLowerCase().replace(/\b(api|uri|sql|ip)\b/g, (word) => word.toUpperCase());
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function Result({ entry }: { entry: AuditEntry }) {
  if (entry.status === undefined) return <Badge tone="busy">Cut off</Badge>;
  if (entry.status < 400) return <Badge tone="ok">Done</Badge>;
  return <Badge tone="bad" title={`HTTP ${entry.status}`}>{entry.error ?? entry.status}</Badge>;
}

const COLUMNS: Column<AuditEntry>[] = [
  { key: 'what', title: 'What', render: (entry) => <div class="audit-what"><b>{action(entry.action)}</b><code class="faint audit-path" title={entry.path}>{entry.path}</code><span class="faint small narrow-only">{entry.actor.name || entry.actor.id}</span></div> },
  { key: 'who', title: 'Who', width: '12rem', wide: true, render: (entry) => <div class="audit-what"><span>{entry.actor.name || entry.actor.id}</span><span class="faint small">{entry.actor.kind === 'oidc' ? 'identity provider' : entry.from}</span></div> },
  { key: 'result', title: 'Result', width: '9rem', render: (entry) => <Result entry={entry} /> },
  { key: 'at', title: 'When', width: '7rem', numeric: true, render: (entry) => <Time at={entry.at} /> },
];

export default function Audit() {
  const live = useResource<Audit>('/audit', { every: LIST_MS, query: { limit: PER_PAGE } });
  const [older, setOlder] = useState<{ entries: AuditEntry[]; cursor: string | undefined }>();
  const [busy, setBusy] = useState(false);
  const cursor = older ? older.cursor : live.data?.pagination?.cursor;
  const more = async () => {
    setBusy(true);
    try {
      const reply = await request<Audit>('GET', '/audit', { query: { limit: PER_PAGE, cursor } });
      setOlder({ entries: [...(older?.entries ?? []), ...reply.entries], cursor: reply.pagination?.cursor });
    } catch (error) {
      failed('Not loaded', error);
    }
    setBusy(false);
  };
  const known = new Set(live.data?.entries.map((entry) => entry.id));
  const all = live.data && [...live.data.entries, ...(older?.entries ?? []).filter((entry) => !known.has(entry.id))];
  return (
    <Page title="Audit" lead="Every change, every password that was shown, and who signed in. Reading is not recorded.">
      {live.error && !live.data ? <ErrorState error={live.error} retry={() => void live.refresh()} what="The audit cannot be shown" /> : (
        <>
          <Table label="Audit" columns={COLUMNS} rows={all} rowKey={(entry) => String(entry.id)} expected={10} empty={<EmptyState icon={<Scroll size={20} />} title="Nothing was changed yet" />} />
          {all && cursor && <div class="row"><Button busy={busy} onClick={() => void more()}>Show older</Button></div>}
        </>
      )}
    </Page>
  );
}
