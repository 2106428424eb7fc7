// What can be done to a branch: the list of actions, and the dialogs behind them.
import { useState } from 'preact/hooks';
import { request } from '../../api/client';
import { branchPath } from '../../api/data';
import type { Branch } from '../../api/types';
import { Button } from '../../ui/button';
import { Confirm } from '../../ui/confirm';
import { Dialog } from '../../ui/dialog';
import { FormError, Note } from '../../ui/feedback';
import { Field, Select, TextInput } from '../../ui/field';
import { count, localInput } from '../../ui/format';
import type { MenuItem } from '../../ui/menu';
import { BranchIcon, Plug } from '../../ui/icons';
import { done, failed } from '../../ui/toast';
import { ConnectDialog } from '../connect/dialog';
import { CreateBranch } from './create';
import { ExpiryField, expiryOf } from './expiry';
import { problem, type Point } from './moment';
import { PointField } from './point';

export type Action = 'create' | 'connect' | 'rename' | 'expire' | 'reset' | 'restore' | 'delete';

export interface Doing {
  action: Action;
  branch: Branch;
}

export interface Context {
  project: string;
  branches: Branch[];
  /** How many branches are below one. */
  below: (branch: Branch) => number;
  refresh: () => Promise<void>;
}

interface DoingProps extends Context {
  branch: Branch;
  onClose: () => void;
}

/** Changes some fields at once, without a dialog. */
async function patch({ project, refresh }: Context, branch: Branch, what: object, words: string): Promise<void> {
  try {
    await request('PATCH', branchPath(project, branch.id), { body: { branch: what } });
    done(words);
  } catch (error) {
    failed('Not changed', error);
  }
  await refresh();
}

async function makeDefault({ project, refresh }: Context, branch: Branch): Promise<void> {
  try {
    await request('POST', `${branchPath(project, branch.id)}/set_as_default`);
    done(`${branch.name} is the default branch.`);
  } catch (error) {
    failed('Not changed', error);
  }
  await refresh();
}

export function menuOf(context: Context, branch: Branch, start: (action: Action) => void): MenuItem[] {
  const { name } = branch;
  const guarded = branch.protected && 'It is protected';
  return [
    { label: 'New branch from here…', icon: <BranchIcon />, onSelect: () => start('create') },
    { label: 'Connect…', icon: <Plug />, onSelect: () => start('connect') },
    { label: 'Rename…', separated: true, onSelect: () => start('rename') },
    { label: branch.protected ? 'Take protection away' : 'Protect', disabled: !branch.protected && branch.expires_at ? 'It expires: take that away first' : undefined, onSelect: () => void patch(context, branch, { protected: !branch.protected }, branch.protected ? `${name} is not protected any more.` : `${name} is protected.`) },
    { label: 'Set expiry…', disabled: branch.default ? 'The default branch does not expire' : guarded, onSelect: () => start('expire') },
    { label: 'Make default', disabled: branch.default ? 'It is the default branch' : branch.expires_at ? 'It expires: take that away first' : undefined, onSelect: () => void makeDefault(context, branch) },
    { label: 'Reset to parent…', separated: true, disabled: branch.parent_id ? guarded : 'It has no parent', onSelect: () => start('reset') },
    { label: 'Restore to a point…', disabled: guarded, onSelect: () => start('restore') },
    { label: 'Delete…', separated: true, danger: true, disabled: branch.default ? 'The default branch cannot be deleted' : guarded, onSelect: () => start('delete') },
  ];
}

export function BranchDialog({ doing, onClose, onCreated, ...context }: Context & { doing: Doing; onClose: () => void; onCreated: (branch: Branch) => void }) {
  const props = { ...context, branch: doing.branch, onClose };
  switch (doing.action) {
    case 'create':
      return <CreateBranch project={context.project} branches={context.branches} from={doing.branch.id} onClose={onClose} onCreated={onCreated} />;
    case 'connect':
      return <ConnectDialog project={context.project} branch={doing.branch.id} onClose={onClose} />;
    case 'rename':
      return <Rename {...props} />;
    case 'expire':
      return <Expire {...props} />;
    case 'reset':
      return <Reset {...props} />;
    case 'restore':
      return <Restore {...props} />;
    case 'delete':
      return <Delete {...props} />;
  }
}

/** The frame of the forms below: sends, shows the error, closes. */
function useSending(onClose: () => void, refresh: () => Promise<void>) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error>();
  const send = async (work: () => Promise<string>) => {
    if (busy) return;
    setBusy(true);
    setError(undefined);
    try {
      done(await work());
      onClose();
      await refresh();
    } catch (error) {
      setError(error as Error);
      setBusy(false);
    }
  };
  return { busy, error, send };
}

function Rename({ project, branch, refresh, onClose }: DoingProps) {
  const [name, setName] = useState(branch.name);
  const { busy, error, send } = useSending(onClose, refresh);
  const rename = () => send(async () => {
    await request('PATCH', branchPath(project, branch.id), { body: { branch: { name: name.trim() } } });
    return `${branch.name} is now ${name.trim()}.`;
  });
  return (
    <Dialog title={`Rename ${branch.name}`} onClose={onClose} onSubmit={() => void rename()} footer={<><Button onClick={onClose}>Cancel</Button><Button kind="primary" type="submit" busy={busy} disabled={!name.trim() || name === branch.name}>Rename</Button></>}>
      <Field label="Name" hint="Addresses stay: they name the endpoint, not the branch."><TextInput value={name} onValue={setName} maxLength={256} /></Field>
      <FormError error={error} />
    </Dialog>
  );
}

function Expire({ project, branch, refresh, onClose }: DoingProps) {
  const [[choice, at], setExpiry] = useState<[string, string]>(branch.expires_at ? ['at', localInput(new Date(branch.expires_at)).slice(0, 16)] : ['604800', '']);
  const { busy, error, send } = useSending(onClose, refresh);
  const save = () => send(async () => {
    const expires = expiryOf(choice, at);
    await request('PATCH', branchPath(project, branch.id), { body: { branch: { expires_at: expires || null } } });
    return expires ? `${branch.name} will be deleted by itself.` : `${branch.name} stays until somebody deletes it.`;
  });
  return (
    <Dialog title={`When ${branch.name} is deleted`} onClose={onClose} onSubmit={() => void save()} footer={<><Button onClick={onClose}>Cancel</Button><Button kind="primary" type="submit" busy={busy}>Save</Button></>}>
      <ExpiryField choice={choice} at={at} onChange={(choice, at) => setExpiry([choice, at])} />
      <FormError error={error} />
    </Dialog>
  );
}

function Reset({ project, branch, branches, refresh, onClose }: DoingProps) {
  const parent = branches.find((one) => one.id === branch.parent_id);
  return (
    <Confirm
      title={`Reset ${branch.name}`}
      action="Reset branch"
      typed={branch.name}
      onClose={onClose}
      onConfirm={async () => {
        await request('POST', `${branchPath(project, branch.id)}/restore`, { body: { source_branch_id: branch.parent_id } });
        done(`${branch.name} gets the data of ${parent?.name ?? 'its parent'}.`);
        await refresh();
      }}
    >
      <p><b>{branch.name}</b> gets the newest data of <b>{parent?.name ?? 'its parent'}</b>. Clients are cut off for a moment; addresses and passwords stay.</p>
      <Note>What it has now is kept as a branch named <code>{branch.name}_old_…</code>.</Note>
    </Confirm>
  );
}

function Restore({ project, branch, branches, refresh, onClose }: DoingProps) {
  const [sourceId, setSource] = useState(branch.id);
  const [point, setPoint] = useState<Point>({ kind: 'time', time: Date.now() - 600_000, lsn: '' });
  const { busy, error, send } = useSending(onClose, refresh);
  const source = branches.find((one) => one.id === sourceId) ?? branch;
  const itself = source.id === branch.id;
  const wrong = problem(point) ?? (itself && point.kind === 'now' ? 'It is what it is now.' : undefined);
  const restore = () => send(async () => {
    await request('POST', `${branchPath(project, branch.id)}/restore`, {
      body: {
        source_branch_id: source.id,
        ...(point.kind === 'time' && { source_timestamp: new Date(point.time).toISOString() }),
        ...(point.kind === 'lsn' && { source_lsn: point.lsn.trim().toUpperCase() }),
      },
    });
    return `${branch.name} is being restored.`;
  });
  return (
    <Dialog title={`Restore ${branch.name}`} onClose={onClose} onSubmit={() => { if (!wrong) void restore(); }} footer={<><Button onClick={onClose}>Cancel</Button><Button kind="danger" type="submit" busy={busy} disabled={Boolean(wrong)}>Restore branch</Button></>}>
      <Field label="Data of"><Select value={source.id} onValue={(id) => { setSource(id); if (id === branch.id && point.kind === 'now') setPoint({ ...point, kind: 'time', time: Date.now() - 600_000 }); }} options={branches.map((one) => ({ value: one.id, label: one.id === branch.id ? `${one.name} (its own past)` : one.name }))} /></Field>
      <PointField project={project} branch={source} children={branches.filter((one) => one.parent_id === source.id)} point={point} onPoint={setPoint} past={itself} />
      <Note>What it has now is kept as a branch named <code>{branch.name}_old_…</code>. Clients are cut off for a moment.</Note>
      <FormError error={error} />
    </Dialog>
  );
}

function Delete({ project, branch, below, refresh, onClose }: DoingProps) {
  const more = below(branch);
  return (
    <Confirm
      title={`Delete ${branch.name}`}
      action={more > 0 ? `Delete ${count(more + 1, 'branch', 'branches')}` : 'Delete branch'}
      typed={branch.name}
      onClose={onClose}
      onConfirm={async () => {
        await request('DELETE', branchPath(project, branch.id), { query: { recursive: more > 0 ? true : undefined } });
        done(`${branch.name} is deleted.`);
        await refresh();
      }}
    >
      <p>The branch <b>{branch.name}</b>, its endpoints and its data are deleted. This cannot be undone.</p>
      {more > 0 && <Note kind="bad">{count(more, 'branch', 'branches')} below it {more === 1 ? 'is' : 'are'} deleted as well.</Note>}
    </Confirm>
  );
}
