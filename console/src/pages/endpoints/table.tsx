// Endpoints with what can be done to each. Used by the list and by the overview.
import { useState } from 'preact/hooks';
import { request } from '../../api/client';
import { endpointPath } from '../../api/data';
import type { Branch, Endpoint } from '../../api/types';
import { Link } from '../../app/router';
import { Badge, StateBadge } from '../../ui/badge';
import { Confirm } from '../../ui/confirm';
import { Button } from '../../ui/button';
import { EmptyState } from '../../ui/feedback';
import { cu, millis } from '../../ui/format';
import { Moon, More, Pause, Play, Plug, Refresh } from '../../ui/icons';
import { Menu, type MenuItem } from '../../ui/menu';
import { Table, type Column } from '../../ui/table';
import { Time } from '../../ui/time';
import { done, failed } from '../../ui/toast';
import { ConnectDialog } from '../connect/dialog';
import './endpoints.css';

type Action = 'start' | 'suspend' | 'pause' | 'restart' | 'evict';

const DONE: Record<Action, string> = { start: 'is awake', suspend: 'is asleep', pause: 'is paused', restart: 'was restarted', evict: 'was removed from this machine; the store has everything' };
const NOT_DONE: Record<Action, string> = { start: 'Not woken', suspend: 'Not suspended', pause: 'Not paused', restart: 'Not restarted', evict: 'Not evicted' };

export interface EndpointTableProps {
  project: string;
  endpoints: Endpoint[] | undefined;
  branches: Branch[] | undefined;
  onChange: () => Promise<void>;
}

export function EndpointTable({ project, endpoints, branches, onChange }: EndpointTableProps) {
  const [busy, setBusy] = useState<ReadonlySet<string>>(new Set());
  const [connecting, setConnecting] = useState<string>();
  const [deleting, setDeleting] = useState<Endpoint>();
  const branchName = (endpoint: Endpoint) => branches?.find((branch) => branch.id === endpoint.branch_id)?.name ?? endpoint.branch_id;

  const act = async (endpoint: Endpoint, action: Action) => {
    setBusy((old) => new Set(old).add(endpoint.id));
    const started = performance.now();
    try {
      const reply = request('POST', `${endpointPath(project, endpoint.id)}/${action}`);
      // So that "waking" is seen at once, not at the next poll.
      setTimeout(() => void onChange(), 60);
      await reply;
      done(`${branchName(endpoint)} ${DONE[action]}${action === 'start' ? ` after ${millis(performance.now() - started)}` : ''}.`);
    } catch (error) {
      failed(NOT_DONE[action], error);
    } finally {
      setBusy((old) => { const next = new Set(old); next.delete(endpoint.id); return next; });
      await onChange();
    }
  };

  const menu = (endpoint: Endpoint): MenuItem[] => {
    const { state } = endpoint;
    const moving = (state === 'starting' || state === 'stopping') && 'It is on its way to another state';
    return [
      { label: 'Connect…', icon: <Plug />, onSelect: () => setConnecting(endpoint.id) },
      { label: 'Wake', icon: <Play />, disabled: moving || (state === 'active' && 'It is awake'), onSelect: () => void act(endpoint, 'start') },
      { label: 'Pause', icon: <Pause />, disabled: moving || (state !== 'active' && 'Only an active endpoint can be paused'), onSelect: () => void act(endpoint, 'pause') },
      { label: 'Suspend', icon: <Moon />, disabled: moving || (state === 'stopped' && 'It is asleep'), onSelect: () => void act(endpoint, 'suspend') },
      { label: 'Restart', icon: <Refresh />, disabled: moving, onSelect: () => void act(endpoint, 'restart') },
      { label: 'Evict from this machine', separated: true, disabled: moving, onSelect: () => void act(endpoint, 'evict') },
      { label: 'Delete…', danger: true, onSelect: () => setDeleting(endpoint) },
    ];
  };

  const columns: Column<Endpoint>[] = [
    { key: 'branch', title: 'Branch', sort: (endpoint) => branchName(endpoint), render: (endpoint) => (
      <div class="endpoint-name">
        <span class="row"><Link href={`/projects/${project}/endpoints/${endpoint.id}`} tabIndex={-1} class="truncate">{branchName(endpoint)}</Link>{endpoint.type === 'read_only' && <Badge tone="idle">Read only</Badge>}</span>
        <span class="faint small truncate wide-only">{endpoint.id}</span>
        <span class="narrow-only"><StateBadge state={endpoint.state} /></span>
      </div>
    ) },
    { key: 'state', title: 'State', width: '7.5rem', wide: true, sort: (endpoint) => endpoint.state, render: (endpoint) => <StateBadge state={endpoint.state} /> },
    { key: 'size', title: 'Size', width: '10rem', numeric: true, wide: true, render: (endpoint) => (endpoint.autoscaling_limit_min_cu === endpoint.autoscaling_limit_max_cu ? cu(endpoint.autoscaling_limit_min_cu) : `${endpoint.autoscaling_limit_min_cu} – ${cu(endpoint.autoscaling_limit_max_cu)}`) },
    { key: 'active', title: 'Last active', width: '8rem', numeric: true, wide: true, sort: (endpoint) => Date.parse(endpoint.last_active ?? '') || 0, render: (endpoint) => <Time at={endpoint.last_active} /> },
    { key: 'do', title: '', render: (endpoint) => (
      <span class="row endpoint-actions">
        {endpoint.state === 'active' || endpoint.state === 'stopping'
          ? <Button small busy={busy.has(endpoint.id)} disabled={endpoint.state === 'stopping'} onClick={() => void act(endpoint, 'suspend')}>Suspend</Button>
          : <Button small busy={busy.has(endpoint.id)} disabled={endpoint.state === 'starting' && !busy.has(endpoint.id)} onClick={() => void act(endpoint, 'start')}>Wake</Button>}
        <Menu small label={`Actions for ${branchName(endpoint)}`} icon={<More />} items={menu(endpoint)} />
      </span>
    ) },
  ];

  return (
    <>
      <Table
        label="Endpoints"
        columns={columns}
        rows={endpoints}
        rowKey={(endpoint) => endpoint.id}
        href={(endpoint) => `/projects/${project}/endpoints/${endpoint.id}`}
        expected={2}
        empty={<EmptyState icon={<Plug size={20} />} title="No endpoints">An endpoint runs PostgreSQL for a branch. Without one a branch is kept, but nobody can connect to it.</EmptyState>}
      />
      {connecting && <ConnectDialog project={project} endpoint={connecting} onClose={() => setConnecting(undefined)} />}
      {deleting && (
        <Confirm
          title="Delete endpoint"
          action="Delete endpoint"
          typed={deleting.id}
          onClose={() => setDeleting(undefined)}
          onConfirm={async () => {
            await request('DELETE', endpointPath(project, deleting.id));
            done(`Endpoint ${deleting.id} is deleted.`);
            await onChange();
          }}
        >
          <p>Its address stops working, and clients that are connected are cut off. The data of the branch <b>{branchName(deleting)}</b> stays.</p>
        </Confirm>
      )}
    </>
  );
}
