// Which branch, database and role a page works on. The choice is in the address, so a link leads to the same place.
import { useState } from 'preact/hooks';
import { useBranches, useDatabases, useRoles } from '../api/branches';
import { useResource } from '../api/resource';
import { seg } from '../api/client';
import type { Branch, Endpoint } from '../api/types';
import { useQuery } from '../app/router';
import { StateBadge } from '../ui/badge';
import { Skeleton } from '../ui/feedback';
import { Select, TextInput } from '../ui/field';
import type { Target } from './run';

/** More branches than this are typed, not chosen from a list. */
const MAX_LISTED = 60;

export interface Where {
  target: Target | null;
  branch: Branch | undefined;
  /** The endpoint that answers. */
  endpoint: Endpoint | undefined;
  error: Error | undefined;
  refresh: () => Promise<void>;
  /** Asks for the state of the endpoint now. */
  look: () => Promise<void>;
  bar: preact.JSX.Element;
}

type Default = Branch & { default?: boolean };

/** `every`: how often to ask for the state of the endpoint, milliseconds. */
export function useWhere(project: string, every: number): Where {
  const [query, setQuery] = useQuery();
  const branches = useBranches(project);
  const all = branches.data as Default[] | undefined;
  const wanted = query.get('branch');
  const branch = all?.find(({ id, name }) => id === wanted || name === wanted) ?? all?.find((one) => one.default) ?? all?.[0];
  const databases = useDatabases(project, branch?.id).data?.databases;
  const roles = useRoles(project, branch?.id).data?.roles;
  const endpoints = useResource<{ endpoints: Endpoint[] }>(branch ? `/projects/${seg(project)}/branches/${seg(branch.id)}/endpoints` : null, { every });
  const endpoint = endpoints.data?.endpoints.find(({ type }) => type === 'read_write') ?? endpoints.data?.endpoints[0];
  const database = databases?.find(({ name }) => name === query.get('database')) ?? databases?.[0];
  const role = roles?.find(({ name }) => name === query.get('role'));
  const target = branch && database ? { project, branch: branch.id, database: database.name, ...(role && { role: role.name }) } : null;
  const many = (all?.length ?? 0) > MAX_LISTED;
  const bar = (
    <div class="where" role="group" aria-label="Where statements run">
      <label class="where-field"><span>Branch</span>
        {!all ? <Skeleton width="10rem" height="var(--control)" /> : many ? <BranchField branches={all} branch={branch} onBranch={(name) => setQuery({ branch: name, database: null, role: null })} />
          : <Select value={branch?.id ?? ''} onValue={(id) => setQuery({ branch: all.find((one) => one.id === id)?.name ?? null, database: null, role: null })} options={all.map(({ id, name }) => ({ value: id, label: name }))} />}
      </label>
      <label class="where-field"><span>Database</span>
        {!databases ? <Skeleton width="8rem" height="var(--control)" /> : <Select value={database?.name ?? ''} onValue={(name) => setQuery({ database: name })} options={databases.map(({ name }) => ({ value: name, label: name }))} />}
      </label>
      <label class="where-field"><span>Role</span>
        {!roles ? <Skeleton width="8rem" height="var(--control)" /> : <Select value={role?.name ?? ''} onValue={(name) => setQuery({ role: name })} options={[{ value: '', label: `Owner${database ? ` (${database.owner_name})` : ''}` }, ...roles.filter(({ name }) => name !== database?.owner_name).map(({ name }) => ({ value: name, label: name }))]} />}
      </label>
      <span class="where-state">{endpoint ? <StateBadge state={endpoint.state} /> : endpoints.data ? <span class="muted small">This branch has no endpoint</span> : null}</span>
    </div>
  );
  return { target: target && endpoint ? target : null, branch, endpoint, error: branches.data ? undefined : branches.error, refresh: branches.refresh, look: endpoints.refresh, bar };
}

/** For hundreds of branches: typed, with suggestions. */
function BranchField({ branches, branch, onBranch }: { branches: Branch[]; branch: Branch | undefined; onBranch: (name: string) => void }) {
  // What is being typed is no branch yet.
  const [typed, setTyped] = useState<string>();
  const choose = (name: string) => {
    setTyped(name);
    if (branches.some((one) => one.name === name)) onBranch(name);
  };
  return (
    <>
      <TextInput value={typed ?? branch?.name ?? ''} {...({ list: 'branches-list' } as object)} onFocus={(event) => event.currentTarget.select()} onBlur={() => setTyped(undefined)} onValue={choose} />
      <datalist id="branches-list">{branches.map(({ id, name }) => <option key={id} value={name} />)}</datalist>
    </>
  );
}
