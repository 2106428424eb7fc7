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
import { useDraft } from '../ui/draft';
import { Checkbox, Field, NumberInput, TextInput } from '../ui/field';
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
        <div class="settings">
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
  const name = useDraft(project.name);
  return (
    <Form title="General" changed={name.changed} onSave={() => save({ name: name.value.trim() })} onReset={name.reset}>
      <Field label="Name"><TextInput value={name.value} onValue={name.set} maxLength={64} required /></Field>
    </Form>
  );
}

function History({ project, save }: Saving) {
  const days = useDraft(String(project.history_retention_seconds / DAY));
  return (
    <Form title="History" lead="How far back branches can be made and restored. More history takes more storage." changed={days.changed} onSave={() => save({ history_retention_seconds: Math.round(Number(days.value) * DAY) })} onReset={days.reset}>
      <Field label="Days" hint="0 to 30; 0 keeps no past."><TextInput type="number" min="0" max="30" step="any" value={days.value} onValue={days.set} required class="input-short" /></Field>
    </Form>
  );
}

function Defaults({ project, save }: Saving) {
  const { value: now, set, changed, reset } = useDraft(project.default_endpoint_settings);
  return (
    <Form title="New endpoints" lead="What an endpoint of this project starts with. Those that exist keep what they have." changed={changed} onSave={() => save({ default_endpoint_settings: now })} onReset={reset}>
      <div class="settings-row">
        <Field label="Smallest size, CU"><NumberInput min={0.25} step={0.25} value={now.autoscaling_limit_min_cu} onValue={(cu) => set({ ...now, autoscaling_limit_min_cu: cu })} /></Field>
        <Field label="Largest size, CU" hint="1 CU is 1 vCPU with 4 GiB."><NumberInput min={0.25} step={0.25} value={now.autoscaling_limit_max_cu} onValue={(cu) => set({ ...now, autoscaling_limit_max_cu: cu })} /></Field>
      </div>
      <Lifetime label="Sleeps after so long without work" value={now.suspend_timeout_seconds} special={[[0, 'As the server says'], [-1, 'Never']]} onValue={(seconds) => set({ ...now, suspend_timeout_seconds: seconds })} />
      <Lifetime label="Stays paused for so long, then stops" value={now.pause_timeout_seconds} special={[[0, 'Stops at once'], [-1, 'Stays paused']]} onValue={(seconds) => set({ ...now, pause_timeout_seconds: seconds })} />
    </Form>
  );
}

function Access({ project, save }: Saving) {
  const { allowed_ips: ips, owner_is_superuser } = project.settings;
  const { value: now, set, changed, reset } = useDraft({ ips: ips.ips.join('\n'), only: ips.protected_branches_only, superuser: owner_is_superuser });
  const list = now.ips.split(/[\s,]+/).filter(Boolean);
  return (
    <Form title="Access" changed={changed} onReset={reset} onSave={() => save({ settings: { owner_is_superuser: now.superuser, allowed_ips: { ips: list, protected_branches_only: now.only } } })}>
      <Field label="Client addresses that may connect" hint="One a line: an address, a network such as 10.0.0.0/8, or a range first-last. Empty: every address.">
        <TextArea value={now.ips} onValue={(text) => set({ ...now, ips: text })} />
      </Field>
      <Checkbox checked={now.only} onValue={(only) => set({ ...now, only })} disabled={list.length === 0}>Only for protected branches</Checkbox>
      <Checkbox checked={now.superuser} onValue={(superuser) => set({ ...now, superuser })} hint="It may then read and write files as PostgreSQL's user and run programs. For trusted, single-tenant use. Takes effect at the next start.">The owner role is a superuser</Checkbox>
    </Form>
  );
}

function TextArea({ value, onValue }: { value: string; onValue: (value: string) => void }) {
  return <textarea class="input mono" rows={3} spellcheck={false} aria-label="Client addresses that may connect" value={value} onInput={(event) => onValue(event.currentTarget.value)} />;
}

function Extensions({ project, save }: Saving) {
  const text = useDraft(project.settings.preload_libraries.enabled_libraries.join(', '));
  const list = text.value.split(/[\s,]+/).filter(Boolean);
  return (
    <Form title="Preloaded libraries" lead="For extensions that PostgreSQL has to load at its start, such as pg_stat_statements for the page Queries." changed={text.changed} onSave={() => save({ settings: { preload_libraries: { enabled_libraries: list } } })} onReset={text.reset}>
      <Field label="Libraries" hint="Names with commas between them. They take effect at the next start."><TextInput value={text.value} onValue={text.set} mono placeholder="pg_stat_statements" /></Field>
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
          <p class="danger-words muted">All branches, databases and backups of it are deleted. This cannot be undone.</p>
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
