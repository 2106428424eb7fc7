// How to connect: pick what, see the string and how each driver takes it. The password is shown when somebody asks.
import { useState } from 'preact/hooks';
import { request } from '../../api/client';
import { projectPath, useBranches, useDatabases, useEndpoints, useRoles } from '../../api/data';
import { useResource } from '../../api/resource';
import { StateBadge } from '../../ui/badge';
import { Button } from '../../ui/button';
import { CodeBlock } from '../../ui/copy';
import { Dialog } from '../../ui/dialog';
import { ErrorText, FormError, Note, Skeleton } from '../../ui/feedback';
import { Field, Segmented, Select } from '../../ui/field';
import { Eye, EyeOff } from '../../ui/icons';
import { Tabs } from '../../ui/tabs';
import { masked, maskedText, SNIPPETS, type Target, type Way } from './snippets';
import './connect.css';

const WAYS: { value: Way; label: string }[] = [
  { value: 'pooled', label: 'Pooled' },
  { value: 'direct', label: 'Direct' },
  { value: 'http', label: 'HTTP' },
];

const ABOUT: Record<Way, string> = {
  pooled: 'For applications that open many connections. Transactions share PostgreSQL connections; the database can sleep while clients stay connected.',
  direct: 'A PostgreSQL connection of its own: for migrations, pg_dump, LISTEN, and everything that needs a session.',
  http: 'For edge functions, browsers and scripts without TCP. Each request goes through the pool.',
};

export interface ConnectProps {
  project: string;
  branch?: string | undefined;
  endpoint?: string | undefined;
  onClose: () => void;
}

export function ConnectDialog({ project, branch: firstBranch, endpoint: firstEndpoint, onClose }: ConnectProps) {
  const branches = useBranches(project);
  const endpoints = useEndpoints(project);
  const [chosen, setChosen] = useState<{ endpoint?: string; database?: string; role?: string }>({});
  const [way, setWay] = useState<Way>('pooled');
  const [shown, setShown] = useState(false);
  const [snippet, setSnippet] = useState('psql');

  const all = endpoints.data?.endpoints;
  const preferred = chosen.endpoint ?? firstEndpoint;
  const defaultBranch = firstBranch ?? branches.data?.find((branch) => branch.default)?.id;
  const endpoint = all?.find((one) => one.id === preferred) ?? all?.find((one) => one.branch_id === defaultBranch && one.type === 'read_write') ?? all?.find((one) => one.branch_id === defaultBranch) ?? (firstBranch ? undefined : all?.[0]);
  const databases = useDatabases(project, endpoint?.branch_id);
  const roles = useRoles(project, endpoint?.branch_id);
  const database = databases.data?.databases.find((one) => one.name === chosen.database) ?? databases.data?.databases[0];
  const role = roles.data?.roles.find((one) => one.name === chosen.role) ?? roles.data?.roles.find((one) => one.name === database?.owner_name) ?? roles.data?.roles[0];
  const ready = endpoint && database && role;
  const name = ready ? `${endpoint.id}/${database.name}/${role.name}/${way !== 'direct'}` : null;
  const uri = useResource<{ uri: string }>(name, {
    load: (signal) => request('GET', `${projectPath(project)}/connection_uri`, { signal, query: { endpoint_id: endpoint?.id, database_name: database?.name, role_name: role?.name, pooled: way !== 'direct' } }),
  });

  const nameOf = (id: string) => branches.data?.find((branch) => branch.id === id)?.name ?? id;
  // Of what is shown already, the banner says that it may be old.
  const failure = [endpoints, databases, roles].find(({ data, error }) => !data && error)?.error;
  const none = all && !endpoint;
  return (
    <Dialog title="Connect" onClose={onClose} wide>
      {none ? <Note>This branch has no endpoint: give it one on the page Endpoints, then connect.</Note> : (
        <>
          <div class="connect-choice">
            <Field label="Branch and endpoint">
              {all ? <Select value={endpoint?.id ?? ''} onValue={(id) => setChosen({ endpoint: id })} options={all.map((one) => ({ value: one.id, label: `${nameOf(one.branch_id)}${one.type === 'read_only' ? ' (read only)' : ''} – ${one.id}` }))} /> : <Skeleton height="var(--control)" />}
            </Field>
            <Field label="Database">
              {databases.data ? <Select value={database?.name ?? ''} onValue={(name) => setChosen({ ...chosen, database: name })} options={databases.data.databases.map((one) => ({ value: one.name, label: one.name }))} /> : <Skeleton height="var(--control)" />}
            </Field>
            <Field label="Role">
              {roles.data ? <Select value={role?.name ?? ''} onValue={(name) => setChosen({ ...chosen, role: name })} options={roles.data.roles.map((one) => ({ value: one.name, label: one.name }))} /> : <Skeleton height="var(--control)" />}
            </Field>
          </div>
          <div class="row wrap between">
            <Segmented label="Way to connect" value={way} onValue={setWay} options={WAYS} />
            <span class="row">
              {endpoint && <StateBadge state={endpoint.state} />}
              <Button small icon={shown ? <EyeOff /> : <Eye />} aria-pressed={shown} onClick={() => setShown(!shown)}>{shown ? 'Hide password' : 'Show password'}</Button>
            </span>
          </div>
          <p class="small muted connect-about">{ABOUT[way]}</p>
          <FormError error={failure} />
          {uri.error ? <div class="form-error"><div><ErrorText error={uri.error} /></div></div> : (
            <Strings target={uri.data && { uri: uri.data.uri, way, origin: location.origin }} way={way} shown={shown} snippet={snippet} onSnippet={setSnippet} />
          )}
        </>
      )}
    </Dialog>
  );
}

interface StringsProps {
  target: Target | undefined;
  way: Way;
  shown: boolean;
  snippet: string;
  onSnippet: (name: string) => void;
}

function Strings({ target, way, shown, snippet, onSnippet }: StringsProps) {
  const offered = SNIPPETS.filter((one) => one.ways.includes(way));
  const current = offered.find((one) => one.name === snippet) ?? offered[0];
  if (!current) return null;
  return (
    <>
      {target ? <CodeBlock label="connection string" text={shown ? target.uri : masked(target.uri)} copy={target.uri} /> : <Skeleton height="2.9rem" />}
      <Tabs label="Driver" tabs={offered.map((one) => ({ value: one.name, label: one.name }))} value={current.name} onValue={onSnippet}>
        <div class="connect-snippet">
          {target ? <CodeBlock label={`snippet for ${current.name}`} text={shown ? current.text(target) : maskedText(current.text, target)} copy={current.text(target)} /> : <Skeleton height="8rem" />}
        </div>
      </Tabs>
    </>
  );
}
