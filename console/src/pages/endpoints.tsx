import { useState } from 'preact/hooks';
import { useBranches, useEndpoints } from '../api/data';
import { navigate, type PageProps } from '../app/router';
import { Button } from '../ui/button';
import { ErrorState } from '../ui/feedback';
import { Plus } from '../ui/icons';
import { Page } from '../ui/page';
import { CreateEndpoint } from './endpoints/create';
import { EndpointTable } from './endpoints/table';

export default function Endpoints({ params }: PageProps) {
  const project = params.project ?? '';
  const endpoints = useEndpoints(project);
  const branches = useBranches(project);
  const [creating, setCreating] = useState(false);
  return (
    <Page title="Endpoints" lead="Each runs PostgreSQL for one branch, when somebody works with it." actions={<Button kind="primary" icon={<Plus />} disabled={!endpoints.data || !branches.data} onClick={() => setCreating(true)}>New endpoint</Button>}>
      {endpoints.error && !endpoints.data ? <ErrorState error={endpoints.error} retry={() => void endpoints.refresh()} what="The endpoints cannot be shown" /> : (
        <EndpointTable project={project} endpoints={endpoints.data?.endpoints} branches={branches.data} onChange={endpoints.refresh} />
      )}
      {creating && <CreateEndpoint project={project} endpoints={endpoints.data?.endpoints ?? []} branches={branches.data ?? []} onClose={() => setCreating(false)} onCreated={(id) => { void endpoints.refresh(); navigate(`/projects/${project}/endpoints/${id}`); }} />}
    </Page>
  );
}
