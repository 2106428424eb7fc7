// What was done and is being done in a project, newest first. The first page is live; older ones are loaded on demand.
import { useState } from 'preact/hooks';
import { request } from '../api/client';
import { projectPath, useOperations } from '../api/data';
import type { Operation, Page as Place } from '../api/types';
import type { PageProps } from '../app/router';
import { Button } from '../ui/button';
import { EmptyState, ErrorState } from '../ui/feedback';
import { Clock } from '../ui/icons';
import { Page } from '../ui/page';
import { failed } from '../ui/toast';
import { OperationTable } from './operations/table';

const PER_PAGE = 50;

interface Older {
  operations: Operation[];
  cursor: string | undefined;
}

export default function Operations({ params }: PageProps) {
  const project = params.project ?? '';
  const live = useOperations(project, PER_PAGE);
  const [older, setOlder] = useState<Older>();
  const [busy, setBusy] = useState(false);
  const cursor = older ? older.cursor : live.data?.pagination?.cursor;
  const more = async () => {
    setBusy(true);
    try {
      const reply = await request<{ operations: Operation[]; pagination?: Place }>('GET', `${projectPath(project)}/operations`, { query: { limit: PER_PAGE, cursor } });
      setOlder({ operations: [...(older?.operations ?? []), ...reply.operations], cursor: reply.pagination?.cursor });
    } catch (error) {
      failed('Not loaded', error);
    }
    setBusy(false);
  };
  // What is on the live page may have moved over from what was loaded before.
  const first = live.data?.operations;
  const known = new Set(first?.map((operation) => operation.id));
  const all = first && [...first, ...(older?.operations ?? []).filter((operation) => !known.has(operation.id))];
  return (
    <Page title="Operations" lead="Work that outlives the request that asked for it. It goes on after a restart of the server.">
      {live.error && !first ? <ErrorState error={live.error} retry={() => void live.refresh()} what="The operations cannot be shown" /> : (
        <>
          <OperationTable operations={all} empty={<EmptyState icon={<Clock size={20} />} title="Nothing was done yet" />} />
          {all && cursor && <div class="row"><Button busy={busy} onClick={() => void more()}>Show older</Button></div>}
        </>
      )}
    </Page>
  );
}
