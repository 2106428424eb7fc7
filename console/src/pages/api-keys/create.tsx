import { useState } from 'preact/hooks';
import { request } from '../../api/client';
import type { Project } from '../../api/types';
import { Button } from '../../ui/button';
import { CodeBlock } from '../../ui/copy';
import { Dialog } from '../../ui/dialog';
import { FormError, Note } from '../../ui/feedback';
import { Field, Select, TextInput } from '../../ui/field';

export function CreateKey({ projects, onClose, onCreated }: { projects: Project[]; onClose: () => void; onCreated: () => void }) {
  const [name, setName] = useState('');
  const [project, setProject] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error>();
  const [key, setKey] = useState<string>();
  const create = async () => {
    setBusy(true);
    setError(undefined);
    try {
      const created = await request<{ key: string }>('POST', '/api_keys', { body: { key_name: name.trim(), ...(project && { project_id: project }) } });
      setKey(created.key);
      onCreated();
    } catch (error) {
      setError(error as Error);
    }
    setBusy(false);
  };
  if (key) {
    return (
      <Dialog title="Copy the key now" onClose={onClose} footer={<Button kind="primary" onClick={onClose}>I have copied it</Button>}>
        <CodeBlock label="API key" text={key} />
        <Note kind="warn">It is not shown again: the server keeps only a hash of it. Whoever has it can use {project ? 'this project' : 'the whole server'}.</Note>
        <p class="small muted">Programs send <code>Authorization: Bearer …</code>; the command line reads <code>DORMOUSE_API_KEY</code>.</p>
      </Dialog>
    );
  }
  return (
    <Dialog title="New API key" onClose={onClose} onSubmit={() => { if (!busy && name.trim()) void create(); }} footer={<><Button onClick={onClose}>Cancel</Button><Button kind="primary" type="submit" busy={busy} disabled={!name.trim()}>Create key</Button></>}>
      <Field label="Name" hint="What uses it, such as “ci”."><TextInput value={name} onValue={setName} maxLength={64} required /></Field>
      <Field label="May use" hint={project ? 'Everything of this project except its deletion.' : 'All projects, settings and keys.'}>
        <Select value={project} onValue={setProject} options={[{ value: '', label: 'The whole server' }, ...projects.map((one) => ({ value: one.id, label: `Only ${one.name}` }))]} />
      </Field>
      <FormError error={error} />
    </Dialog>
  );
}
