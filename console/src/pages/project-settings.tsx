// Settings of a project, each group saved by its own button; and its end.
import { useState } from 'preact/hooks';
import { request } from '../api/client';
import { projectPath, useProject } from '../api/data';
import type { Project } from '../api/types';
import { useStore } from '../api/store';
import { navigate, type PageProps } from '../app/router';
import { session } from '../app/session';
import { Button } from '../ui/button';
import { Confirm } from '../ui/confirm';
import { ErrorState, Skeleton } from '../ui/feedback';
import { Checkbox, Field, TextInput } from '../ui/field';
import { Card, Page, Section } from '../ui/page';
import { done } from '../ui/toast';
import { Form } from './settings/form';
import { Lifetime } from './settings/lifetime';
import './settings/settings.css';

const DAY = 86_400;

interface Saving {
  project: Project;
  save: (patch: object) => Promise<void>;
}

export default function ProjectSettings({ params }: PageProps) {
  const id = params.project ?? '';
  const resource = useProject(id);
  const project = resource.data?.project;
  const save = async (patch: object) => {
    const reply = await request<{ project: Project }>('PATCH', projectPath(id), { body: { project: patch } });
    resource.set({ project: reply.project });
    done('Saved.');
  };
  if (resource.error && !project) return <Page title="Settings"><ErrorState error={resource.error} retry={() => void resource.refresh()} what="The settings cannot be shown" /></Page>;
  return (
    <Page title="Settings" kicker={project?.name ?? <Skeleton width="8rem" />}>
      {!project ? <Skeleton height="40rem" /> : (
        <div class="settings" key={project.updated_at}>
          <General project={project} save={save} />
          <History project={project} save={save} />
          <Defaults project={project} save={save} />
          <Access project={project} save={save} />
          <Extensions project={project} save={save} />
          <Danger project={project} />
        </div>
      )}
    </Page>
  );
}

function General({ project, save }: Saving) {
  const [name, setName] = useState(project.name);
  return (
    <Form title="General" changed={name !== project.name} onSave={() => save({ name: name.trim() })} onReset={() => setName(project.name)}>
      <Field label="Name"><TextInput value={name} onValue={setName} maxLength={64} required /></Field>
    </Form>
  );
}

function History({ project, save }: Saving) {
  const first = String(project.history_retention_seconds / DAY);
  const [days, setDays] = useState(first);
  return (
    <Form title="History" lead="How far back branches can be made and restored. More history takes more storage." changed={days !== first} onSave={() => save({ history_retention_seconds: Math.round(Number(days) * DAY) })} onReset={() => setDays(first)}>
      <Field label="Days" hint="0 to 30; 0 keeps no past."><TextInput type="number" min="0" max="30" step="any" value={days} onValue={setDays} required class="input-short" /></Field>
    </Form>
  );
}

function Defaults({ project, save }: Saving) {
  const before = project.default_endpoint_settings;
  const [now, setNow] = useState(before);
  const changed = JSON.stringify(now) !== JSON.stringify(before);
  return (
    <Form title="New endpoints" lead="What an endpoint of this project starts with. Those that exist keep what they have." changed={changed} onSave={() => save({ default_endpoint_settings: now })} onReset={() => setNow(before)}>
      <div class="settings-row">
        <Field label="Smallest size, CU"><TextInput type="number" min="0.25" step="0.25" value={String(now.autoscaling_limit_min_cu)} onValue={(text) => setNow({ ...now, autoscaling_limit_min_cu: Number(text) })} required /></Field>
        <Field label="Largest size, CU" hint="1 CU is 1 vCPU with 4 GiB."><TextInput type="number" min="0.25" step="0.25" value={String(now.autoscaling_limit_max_cu)} onValue={(text) => setNow({ ...now, autoscaling_limit_max_cu: Number(text) })} required /></Field>
      </div>
      <Lifetime label="Sleeps after so long without work" value={now.suspend_timeout_seconds} special={[[0, 'As the server says'], [-1, 'Never']]} onValue={(seconds) => setNow({ ...now, suspend_timeout_seconds: seconds })} />
      <Lifetime label="Stays paused for so long, then stops" value={now.pause_timeout_seconds} special={[[0, 'Stops at once'], [-1, 'Stays paused']]} onValue={(seconds) => setNow({ ...now, pause_timeout_seconds: seconds })} />
    </Form>
  );
}

function Access({ project, save }: Saving) {
  const before = project.settings.allowed_ips;
  const text = before.ips.join('\n');
  const [ips, setIps] = useState(text);
  const [only, setOnly] = useState(before.protected_branches_only);
  const [superuser, setSuperuser] = useState(project.settings.owner_is_superuser);
  const list = ips.split(/[\s,]+/).filter(Boolean);
  const changed = list.join('\n') !== text || only !== before.protected_branches_only || superuser !== project.settings.owner_is_superuser;
  const reset = () => { setIps(text); setOnly(before.protected_branches_only); setSuperuser(project.settings.owner_is_superuser); };
  return (
    <Form title="Access" changed={changed} onReset={reset} onSave={() => save({ settings: { owner_is_superuser: superuser, allowed_ips: { ips: list, protected_branches_only: only } } })}>
      <Field label="Client addresses that may connect" hint="One a line: an address, a network such as 10.0.0.0/8, or a range first-last. Empty: every address.">
        <TextArea value={ips} onValue={setIps} />
      </Field>
      <Checkbox checked={only} onValue={setOnly} disabled={list.length === 0}>Only for protected branches</Checkbox>
      <Checkbox checked={superuser} onValue={setSuperuser} hint="It may then read and write files as PostgreSQL's user and run programs. For trusted, single-tenant use. Takes effect at the next start.">The owner role is a superuser</Checkbox>
    </Form>
  );
}

function TextArea({ value, onValue }: { value: string; onValue: (value: string) => void }) {
  return <textarea class="input mono" rows={3} spellcheck={false} aria-label="Client addresses that may connect" value={value} onInput={(event) => onValue(event.currentTarget.value)} />;
}

function Extensions({ project, save }: Saving) {
  const before = project.settings.preload_libraries.enabled_libraries.join(', ');
  const [text, setText] = useState(before);
  const list = text.split(/[\s,]+/).filter(Boolean);
  return (
    <Form title="Preloaded libraries" lead="For extensions that PostgreSQL has to load at its start, such as pg_stat_statements for the page Queries." changed={list.join(', ') !== before} onSave={() => save({ settings: { preload_libraries: { enabled_libraries: list } } })} onReset={() => setText(before)}>
      <Field label="Libraries" hint="Names with commas between them. They take effect at the next start."><TextInput value={text} onValue={setText} mono placeholder="pg_stat_statements" /></Field>
    </Form>
  );
}

function Danger({ project }: { project: Project }) {
  const [asking, setAsking] = useState(false);
  const signedIn = useStore(session);
  const bound = signedIn.at === 'in' && signedIn.session.project_id !== undefined;
  return (
    <Section title="Delete this project">
      <Card>
        <div class="row wrap between">
          <p class="grow muted">All branches, databases and backups of it are deleted. This cannot be undone.</p>
          <Button kind="danger" disabled={bound} title={bound ? 'A key for one project cannot delete it' : undefined} onClick={() => setAsking(true)}>Delete project</Button>
        </div>
      </Card>
      {asking && (
        <Confirm
          title={`Delete ${project.name}`}
          action="Delete project"
          typed={project.name}
          onClose={() => setAsking(false)}
          onConfirm={async () => {
            await request('DELETE', projectPath(project.id));
            done(`The project ${project.name} is deleted.`);
            navigate('/');
          }}
        >
          <p>Its branches, their data and their history are deleted, here and in the object store. Clients are cut off.</p>
        </Confirm>
      )}
    </Section>
  );
}
