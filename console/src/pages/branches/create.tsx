import { useState } from 'preact/hooks';
import { request } from '../../api/client';
import { projectPath } from '../../api/data';
import type { Branch } from '../../api/types';
import { Button } from '../../ui/button';
import { Dialog } from '../../ui/dialog';
import { FormError } from '../../ui/feedback';
import { Checkbox, Field, Select, TextInput } from '../../ui/field';
import { done } from '../../ui/toast';
import { ExpiryField, expiryOf } from './expiry';
import { NOW, problem } from './moment';
import { PointField } from './point';

export interface CreateBranchProps {
  project: string;
  branches: Branch[];
  /** Its parent, unless somebody chooses another. */
  from: string;
  onClose: () => void;
  onCreated: (branch: Branch) => void;
}

export function CreateBranch({ project, branches, from, onClose, onCreated }: CreateBranchProps) {
  const [parentId, setParent] = useState(from);
  const [name, setName] = useState('');
  const [point, setPoint] = useState(NOW);
  const [endpoint, setEndpoint] = useState(true);
  const [expiry, setExpiry] = useState<[string, string]>(['', '']);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error>();
  const parent = branches.find((branch) => branch.id === parentId);
  const wrong = problem(point);

  const create = async () => {
    setBusy(true);
    setError(undefined);
    try {
      const expires = expiryOf(...expiry);
      const reply = await request<{ branch: Branch }>('POST', `${projectPath(project)}/branches`, {
        body: {
          branch: {
            parent_id: parentId,
            ...(name.trim() && { name: name.trim() }),
            ...(point.kind === 'time' && { parent_timestamp: new Date(point.time).toISOString() }),
            ...(point.kind === 'lsn' && { parent_lsn: point.lsn.trim().toUpperCase() }),
            ...(expires && { expires_at: expires }),
          },
          ...(endpoint && { endpoints: [{ type: 'read_write' }] }),
        },
      });
      done(`Branch ${reply.branch.name} is there.`);
      onCreated(reply.branch);
    } catch (error) {
      setError(error as Error);
      setBusy(false);
    }
  };

  return (
    <Dialog
      title="New branch"
      onClose={onClose}
      onSubmit={() => { if (!busy && !wrong) void create(); }}
      footer={<><Button onClick={onClose}>Cancel</Button><Button kind="primary" type="submit" busy={busy} disabled={Boolean(wrong)}>Create branch</Button></>}
    >
      <Field label="Name" hint="Two random words when empty."><TextInput value={name} onValue={setName} maxLength={256} placeholder="preview/checkout" /></Field>
      <Field label="From"><Select value={parentId} onValue={(id) => { setParent(id); setPoint(NOW); }} options={branches.map((branch) => ({ value: branch.id, label: branch.name }))} /></Field>
      {parent && <PointField project={project} branch={parent} children={branches.filter((branch) => branch.parent_id === parent.id)} point={point} onPoint={setPoint} />}
      <Checkbox checked={endpoint} onValue={setEndpoint} hint="It sleeps until somebody connects.">With an endpoint, so that clients can connect</Checkbox>
      <ExpiryField choice={expiry[0]} at={expiry[1]} onChange={(choice, at) => setExpiry([choice, at])} />
      <FormError error={error} />
    </Dialog>
  );
}
