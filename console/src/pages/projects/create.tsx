import { useState } from 'preact/hooks';
import { request } from '../../api/client';
import type { CreatedProject } from '../../api/data';
import { Button } from '../../ui/button';
import { Dialog } from '../../ui/dialog';
import { FormError } from '../../ui/feedback';
import { Field, Select, TextInput } from '../../ui/field';
import { done } from '../../ui/toast';

/** The server chooses the newest that it has. */
const NEWEST = '';
const VERSIONS = [NEWEST, '18', '17', '16', '15'];

export function CreateProject({ onClose, onCreated }: { onClose: () => void; onCreated: (created: CreatedProject) => void }) {
  const [name, setName] = useState('');
  const [version, setVersion] = useState(NEWEST);
  const [database, setDatabase] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error>();
  const create = async () => {
    setBusy(true);
    setError(undefined);
    try {
      const created = await request<CreatedProject>('POST', '/projects', {
        body: {
          project: {
            ...(name.trim() && { name: name.trim() }),
            ...(version && { pg_version: Number(version) }),
            ...(database.trim() && { branch: { database_name: database.trim() } }),
          },
        },
      });
      done(`Project ${created.project.name} is ready.`);
      onCreated(created);
    } catch (error) {
      setError(error as Error);
      setBusy(false);
    }
  };
  return (
    <Dialog
      title="New project"
      onClose={onClose}
      onSubmit={() => { if (!busy) void create(); }}
      footer={<><Button onClick={onClose}>Cancel</Button><Button kind="primary" type="submit" busy={busy}>Create project</Button></>}
    >
      <Field label="Name" hint="Two random words when empty."><TextInput value={name} onValue={setName} maxLength={64} placeholder="my-shop" /></Field>
      <Field label="PostgreSQL" hint="It cannot be changed later."><Select value={version} onValue={setVersion} options={VERSIONS.map((value) => ({ value, label: value ? `PostgreSQL ${value}` : 'Newest that is installed' }))} /></Field>
      <Field label="Database" hint={<>The first database; <code>app</code> when empty.</>}><TextInput value={database} onValue={setDatabase} maxLength={63} placeholder="app" mono /></Field>
      <FormError error={error} />
    </Dialog>
  );
}
