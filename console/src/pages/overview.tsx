// One project at a glance: what it is doing, how to connect, what happened last.
import { useState } from 'preact/hooks';
import { useBranchDetails } from '../api/details';
import { useBranches, useEndpoints, useOperations, useProject } from '../api/data';
import { ApiError } from '../api/client';
import { Link, type PageProps } from '../app/router';
import { Button } from '../ui/button';
import { Copyable } from '../ui/copy';
import { EmptyState, ErrorState, Skeleton, SkeletonRows } from '../ui/feedback';
import { bytes, number } from '../ui/format';
import { Plug } from '../ui/icons';
import { Card, Facts, Page, Section, Stat, Stats } from '../ui/page';
import { Time } from '../ui/time';
import { ConnectDialog } from './connect/dialog';
import { EndpointTable } from './endpoints/table';
import { OperationTable } from './operations/table';

const RECENT = 5;

export default function Overview({ params }: PageProps) {
  const id = params.project ?? '';
  const project = useProject(id);
  const branches = useBranches(id);
  const endpoints = useEndpoints(id);
  const operations = useOperations(id, RECENT);
  const [connecting, setConnecting] = useState(false);
  const details = useBranchDetails(id, project.data?.project.default_branch_id);
  const base = `/projects/${encodeURIComponent(id)}`;

  if (project.error && !project.data) {
    const gone = project.error instanceof ApiError && project.error.status === 404;
    return <Page title={gone ? 'No such project' : id}><ErrorState error={project.error} retry={() => void project.refresh()} what={gone ? 'This project does not exist' : 'The project cannot be shown'} /></Page>;
  }
  const it = project.data?.project;
  const all = endpoints.data?.endpoints;
  const last = all?.map((endpoint) => endpoint.last_active ?? '').sort().pop();
  const main = branches.data?.find((branch) => branch.default);
  return (
    <Page title={it?.name ?? ''} kicker="Project" actions={<Button kind="primary" icon={<Plug />} onClick={() => setConnecting(true)}>Connect</Button>}>
      <Stats>
        <Stat label="Active endpoints" note={all ? `of ${number(all.length)}` : '\u00a0'}>{all && number(all.filter((endpoint) => endpoint.state === 'active').length)}</Stat>
        <Stat label="Branches" note={branches.data ? `${number(branches.data.filter((branch) => branch.protected).length)} protected` : '\u00a0'}>{branches.data && number(branches.data.length)}</Stat>
        <Stat label="Size" note={main ? `of ${main.name}` : ' '}>{details && bytes(details.logical_size)}</Stat>
        <Stat label="Last active" note={' '}>{all && <Time at={last} />}</Stat>
      </Stats>

      <Section title="Endpoints" actions={<Link class="small" href={`${base}/endpoints`}>All endpoints</Link>}>
        {endpoints.error && !all ? <ErrorState error={endpoints.error} retry={() => void endpoints.refresh()} /> : (
          <EndpointTable project={id} endpoints={all?.slice(0, 6)} branches={branches.data} onChange={endpoints.refresh} />
        )}
      </Section>

      <div class="columns">
        <Section title="Recent operations" actions={<Link class="small" href={`${base}/operations`}>All operations</Link>}>
          {operations.error && !operations.data ? <ErrorState error={operations.error} retry={() => void operations.refresh()} />
            : operations.data ? <OperationTable operations={operations.data.operations} brief empty={<EmptyState title="Nothing was done yet" />} />
            : <div class="table-frame"><SkeletonRows rows={RECENT + 1} /></div>}
        </Section>
        <Section title="About">
          <Card>
            <Facts rows={[
              ['ID', it && <Copyable text={it.id} />],
              ['PostgreSQL', it && String(it.pg_version)],
              ['Created', it && <Time at={it.created_at} />],
              ['Default branch', branches.data ? main ? <Link href={`${base}/branches?at=${main.id}`}>{main.name}</Link> : 'none' : undefined],
              ['Own data in store', details ? bytes(details.own_size) : <Skeleton width="5rem" />],
              ['Kept for its past', details ? bytes(details.history_size) : <Skeleton width="5rem" />],
            ]} />
          </Card>
        </Section>
      </div>
      {connecting && <ConnectDialog project={id} onClose={() => setConnecting(false)} />}
    </Page>
  );
}
