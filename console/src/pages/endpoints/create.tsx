import { useState } from 'preact/hooks';
import { request } from '../../api/client';
import { projectPath } from '../../api/data';
import type { Branch, Endpoint } from '../../api/types';
import { Button } from '../../ui/button';
import { Dialog } from '../../ui/dialog';
import { FormError } from '../../ui/feedback';
import { Field, Segmented, Select } from '../../ui/field';
import { done } from '../../ui/toast';

export interface CreateEndpointProps {
  project: string;
  branches: Branch[];
  endpoints: Endpoint[];
  onClose: () => void;
  onCreated: (id: string) => void;
}

export function CreateEndpoint({ project, branches, endpoints, onClose, onCreated }: CreateEndpointProps) {
  const writers = new Set(endpoints.filter((one) => one.type === 'read_write').map((one) => one.branch_id));
  const first = branches.find((one) => !writers.has(one.id)) ?? branches[0];
  const [branch, setBranch] = useState(first?.id ?? '');
  const [kind, setKind] = useState<Endpoint['type']>(first && !writers.has(first.id) ? 'read_write' : 'read_only');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error>();
  const taken = writers.has(branch);
  const type = taken ? 'read_only' : kind;
  const create = async () => {
    setBusy(true);
    setError(undefined);
    try {
      const reply = await request<{ endpoint: Endpoint }>('POST', `${projectPath(project)}/endpoints`, { body: { endpoint: { branch_id: branch, type } } });
      done(`Endpoint ${reply.endpoint.id} is there.`);
      onCreated(reply.endpoint.id);
    } catch (error) {
      setError(error as Error);
      setBusy(false);
    }
  };
  return (
    <Dialog title="New endpoint" onClose={onClose} onSubmit={() => { if (!busy) void create(); }} footer={<><Button onClick={onClose}>Cancel</Button><Button kind="primary" type="submit" busy={busy} disabled={!branch}>Create endpoint</Button></>}>
      <Field label="Branch"><Select value={branch} onValue={setBranch} options={branches.map((one) => ({ value: one.id, label: one.name }))} /></Field>
      <div class="stack-s">
        <Segmented label="Kind" value={type} onValue={setKind} options={taken ? [{ value: 'read_only', label: 'Read only' }] : [{ value: 'read_write', label: 'Read and write' }, { value: 'read_only', label: 'Read only' }]} />
        <p class="small muted">{taken ? 'This branch has its writer; it can have any number of readers.' : 'A branch has one writer and any number of readers.'}</p>
      </div>
      <FormError error={error} />
    </Dialog>
  );
}
