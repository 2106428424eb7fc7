// Wake, pause, suspend, restart; and how long it took.
import { useState } from 'preact/hooks';
import { act, type EndpointAction, type FullEndpoint } from '../../api/endpoint';
import { fine } from '../../charts/format';
import { Button } from '../../ui/button';
import { Moon, Pause, Play, Refresh } from '../../ui/icons';
import { done, failed } from '../../ui/toast';

const WORDS: Record<EndpointAction, { label: string; past: string; not: string }> = {
  start: { label: 'Wake', past: 'Awake', not: 'Not woken' },
  pause: { label: 'Pause', past: 'Paused', not: 'Not paused' },
  suspend: { label: 'Suspend', past: 'Asleep', not: 'Not suspended' },
  restart: { label: 'Restart', past: 'Restarted', not: 'Not restarted' },
};

const ICONS = { start: <Play />, pause: <Pause />, suspend: <Moon />, restart: <Refresh /> };

/** What can be done in which state; what is left out would do nothing. */
function possible(state: string): EndpointAction[] {
  switch (state) {
    case 'active': return ['pause', 'suspend', 'restart'];
    case 'paused': return ['start', 'suspend'];
    case 'starting': return ['suspend'];
    default: return ['start'];
  }
}

export function Controls({ project, endpoint, onChange }: { project: string; endpoint: FullEndpoint; onChange: (endpoint: FullEndpoint) => void }) {
  const [busy, setBusy] = useState<EndpointAction>();
  const run = async (action: EndpointAction) => {
    setBusy(action);
    try {
      const { endpoint: changed, took } = await act(project, endpoint.id, action);
      done(`${WORDS[action].past} after ${fine(took)}`);
      onChange(changed);
    } catch (error) {
      failed(WORDS[action].not, error);
    } finally {
      setBusy(undefined);
    }
  };
  const actions = possible(endpoint.state);
  if (busy && !actions.includes(busy)) actions.unshift(busy);
  return (
    <>
      {actions.map((action) => (
        <Button key={action} kind={action === 'start' ? 'primary' : 'plain'} icon={ICONS[action]} busy={busy === action} disabled={busy !== undefined && busy !== action} onClick={() => void run(action)}>
          {WORDS[action].label}
        </Button>
      ))}
    </>
  );
}
