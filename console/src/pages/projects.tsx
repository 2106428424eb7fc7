// All projects, with what their databases are doing.
import { useMemo, useState } from 'preact/hooks';
import { useBranchDetails } from '../api/details';
import { useProjects, useStatus } from '../api/data';
import { useStore } from '../api/store';
import type { Project, StatusEndpoint } from '../api/types';
import { Link, navigate, useQuery } from '../app/router';
import { session } from '../app/session';
import { StateBadge } from '../ui/badge';
import { Button } from '../ui/button';
import { EmptyState, ErrorState, Skeleton } from '../ui/feedback';
import { TextInput } from '../ui/field';
import { bytes, count } from '../ui/format';
import { Grid, Plus } from '../ui/icons';
import { Page } from '../ui/page';
import { Table, type Column } from '../ui/table';
import { Time } from '../ui/time';
import { CreateProject } from './projects/create';
import './projects/projects.css';

interface Row extends Project {
  endpoints: StatusEndpoint[] | undefined;
  lastActive: string | undefined;
}

/** The one word for a project: the liveliest of its endpoints. */
const LIVELINESS = ['active', 'starting', 'stopping', 'paused', 'stopped'];

function state(row: Row): string | undefined {
  return LIVELINESS.find((state) => row.endpoints?.some((endpoint) => endpoint.state === state));
}

function State({ row }: { row: Row }) {
  if (!row.endpoints) return <Skeleton width="4rem" />;
  const first = state(row);
  if (!first) return <span class="faint">No endpoint</span>;
  const same = row.endpoints.filter((endpoint) => endpoint.state === first).length;
  return <span class="row"><StateBadge state={first} />{row.endpoints.length > 1 && <span class="faint small nowrap">{same} of {row.endpoints.length}</span>}</span>;
}

function Size({ project }: { project: Project }) {
  const branch = useBranchDetails(project.id, project.default_branch_id);
  return branch ? <>{bytes(branch.logical_size)}</> : <Skeleton width="4rem" height="0.75rem" />;
}

const COLUMNS: Column<Row>[] = [
  { key: 'name', title: 'Project', sort: (row) => row.name.toLowerCase(), render: (row) => (
    <div class="project-name"><Link href={`/projects/${row.id}`} tabIndex={-1}>{row.name}</Link><span class="faint small truncate wide-only">{row.id}</span><span class="narrow-only"><State row={row} /></span></div>
  ) },
  { key: 'state', title: 'State', width: '10rem', wide: true, sort: (row) => LIVELINESS.indexOf(state(row) ?? ''), render: (row) => <State row={row} /> },
  { key: 'pg', title: 'PostgreSQL', width: '7rem', numeric: true, wide: true, sort: (row) => row.pg_version, render: (row) => row.pg_version },
  { key: 'size', title: 'Size', width: '7rem', numeric: true, wide: true, render: (row) => <Size project={row} /> },
  { key: 'active', title: 'Last active', width: '8rem', numeric: true, sort: (row) => Date.parse(row.lastActive ?? '') || 0, render: (row) => <Time at={row.lastActive} /> },
  { key: 'created', title: 'Created', width: '8rem', numeric: true, wide: true, sort: (row) => Date.parse(row.created_at), render: (row) => <Time at={row.created_at} /> },
];

export default function Projects() {
  const projects = useProjects();
  const status = useStatus();
  const [query, setQuery] = useQuery();
  const [creating, setCreating] = useState(false);
  const signedIn = useStore(session);
  const bound = signedIn.at === 'in' && signedIn.session.project_id !== undefined;
  const search = query.get('q') ?? '';

  const rows = useMemo(() => {
    if (!projects.data) return undefined;
    const of = new Map<string, StatusEndpoint[]>();
    for (const endpoint of status.data?.endpoints ?? []) {
      const all = of.get(endpoint.project_id);
      if (all) all.push(endpoint);
      else of.set(endpoint.project_id, [endpoint]);
    }
    const wanted = search.toLowerCase();
    return projects.data
      .filter((project) => !wanted || project.name.toLowerCase().includes(wanted) || project.id.includes(wanted))
      .map((project): Row => {
        const endpoints = status.data && (of.get(project.id) ?? []);
        const last = endpoints?.map((endpoint) => endpoint.last_active ?? '').sort().pop();
        return { ...project, endpoints, lastActive: last || undefined };
      });
  }, [projects.data, status.data, search]);

  const create = !bound && <Button kind="primary" icon={<Plus />} onClick={() => setCreating(true)}>New project</Button>;
  const active = status.data?.endpoints.filter((endpoint) => endpoint.state === 'active').length;
  return (
    <Page title="Projects" lead={projects.data && status.data ? `${count(projects.data.length, 'project')}, ${count(status.data.endpoints.length, 'endpoint')}, ${active ? `${active} active` : 'none active'}` : <Skeleton width="14rem" />} actions={create}>
      {projects.error && !projects.data ? <ErrorState error={projects.error} retry={() => void projects.refresh()} what="The projects cannot be shown" /> : (
        <div class="stack">
          <div class="search"><TextInput type="search" value={search} onValue={(q) => setQuery({ q })} placeholder="Search by name or ID" aria-label="Search projects" /></div>
          <Table
            label="Projects"
            columns={COLUMNS}
            rows={rows}
            rowKey={(row) => row.id}
            href={(row) => `/projects/${row.id}`}
            order="name"
            empty={search
              ? <EmptyState title="No project has this in its name or ID" action={<Button onClick={() => setQuery({ q: null })}>Show all</Button>} />
              : <EmptyState icon={<Grid size={20} />} title="No projects yet" action={create}>A project is a PostgreSQL database with branches. It sleeps when nobody uses it, and wakes on the next connection.</EmptyState>}
          />
        </div>
      )}
      {creating && <CreateProject onClose={() => setCreating(false)} onCreated={(created) => { void projects.refresh(); navigate(`/projects/${created.project.id}`); }} />}
    </Page>
  );
}

