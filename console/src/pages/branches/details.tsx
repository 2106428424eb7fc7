// One branch: what it is, what it takes, and what can be done.
import { useBranchDetails } from '../../api/details';
import type { Branch, Endpoint } from '../../api/types';
import { Link } from '../../app/router';
import { Badge, StateBadge } from '../../ui/badge';
import { Button } from '../../ui/button';
import { Copyable } from '../../ui/copy';
import { Dialog } from '../../ui/dialog';
import { Skeleton } from '../../ui/feedback';
import { bytes } from '../../ui/format';
import { BranchIcon, More, Plug } from '../../ui/icons';
import { Menu } from '../../ui/menu';
import { Facts } from '../../ui/page';
import { Time } from '../../ui/time';
import { menuOf, type Action, type Context } from './actions';

export interface DetailsProps extends Context {
  branch: Branch;
  endpoints: Endpoint[] | undefined;
  onClose: () => void;
  onAction: (action: Action) => void;
}

export function BranchDetails({ branch, endpoints, onClose, onAction, ...context }: DetailsProps) {
  const details = useBranchDetails(context.project, branch.id);
  const parent = context.branches.find((one) => one.id === branch.parent_id);
  const own = endpoints?.filter((endpoint) => endpoint.branch_id === branch.id);
  const waiting = <Skeleton width="6rem" />;
  const history = details && (details.history ? <><Time at={details.history.start_at} /> <span class="faint">(<code>{details.history.start}</code>)</span></> : '–');
  return (
    <Dialog
      title={<span class="row wrap">{branch.name}{branch.default && <Badge tone="ok">Default</Badge>}{branch.protected && <Badge tone="idle">Protected</Badge>}</span>}
      wide
      onClose={onClose}
      footer={(
        <>
          <Menu label="More actions" kind="plain" icon={<More />} items={menuOf(context, branch, onAction).slice(2)} />
          <span class="grow" />
          <Button icon={<Plug />} onClick={() => onAction('connect')}>Connect</Button>
          <Button kind="primary" icon={<BranchIcon />} onClick={() => onAction('create')}>New branch from here</Button>
        </>
      )}
    >
      <Facts rows={[
        ['ID', <Copyable text={branch.id} />],
        ['State', <StateBadge state={branch.current_state} />],
        ['Parent', parent ? <>{parent.name}{branch.parent_lsn && <span class="faint"> at <code>{branch.parent_lsn}</code></span>}{branch.parent_timestamp && <span class="faint">, <Time at={branch.parent_timestamp} /></span>}</> : 'none, it is a root'],
        ['Created', <Time at={branch.created_at} />],
        ['Expires', branch.expires_at ? <Time at={branch.expires_at} /> : 'never'],
        ...(branch.last_reset_at ? [['Last got other data', <Time at={branch.last_reset_at} />] as [string, preact.JSX.Element]] : []),
        ['Size', details ? bytes(details.logical_size) : waiting],
        ['Own data in the store', details ? bytes(details.own_size) : waiting],
        ['Kept for its past', details ? bytes(details.history_size) : waiting],
        ['Can be restored from', history ?? waiting],
        ['Endpoints', own ? own.length ? <ul>{own.map((endpoint) => <li key={endpoint.id} class="row wrap"><Link href={`/projects/${context.project}/endpoints/${endpoint.id}`}>{endpoint.id}</Link><StateBadge state={endpoint.state} /></li>)}</ul> : 'none' : waiting],
      ]} />
    </Dialog>
  );
}
