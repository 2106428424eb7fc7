import type { ComponentChildren } from 'preact';
import { useBranchDetails } from '../../api/details';
import type { Branch, Endpoint } from '../../api/types';
import { Badge, StateBadge, stateWords } from '../../ui/badge';
import { Skeleton } from '../../ui/feedback';
import { bytes } from '../../ui/format';
import { Chevron, Lock } from '../../ui/icons';
import { Time } from '../../ui/time';
import { Picture } from './picture';
import type { Row } from './tree';

export interface BranchRowProps {
  project: string;
  row: Row;
  index: number;
  endpoints: Endpoint[] | undefined;
  current: boolean;
  narrow: boolean;
  menu: ComponentChildren;
  onToggle: () => void;
  onOpen: () => void;
  onFocus: () => void;
}

const LIVELINESS = ['active', 'starting', 'stopping', 'paused', 'stopped'];

/** What the liveliest endpoint of a branch does. */
export function stateOf(branch: Branch, endpoints: Endpoint[] | undefined): string | undefined {
  const own = endpoints?.filter((endpoint) => endpoint.branch_id === branch.id);
  return LIVELINESS.find((state) => own?.some((endpoint) => endpoint.state === state));
}

function Size({ project, branch }: { project: string; branch: string }) {
  const details = useBranchDetails(project, branch);
  if (!details) return <Skeleton width="3.5rem" height="0.75rem" />;
  return <span title={`Own data in the store ${bytes(details.own_size)}, kept for its past ${bytes(details.history_size)}`}>{bytes(details.logical_size)}</span>;
}

export function BranchRow({ project, row, index, endpoints, current, narrow, menu, onToggle, onOpen, onFocus }: BranchRowProps) {
  const { branch } = row;
  const state = stateOf(branch, endpoints);
  const making = branch.current_state !== 'ready';
  const click = (event: MouseEvent) => {
    if ((event.target as HTMLElement).closest('button, a')) return;
    onOpen();
  };
  return (
    <div
      class={`tree-row${row.dim ? ' tree-dim' : ''}`}
      role="row"
      aria-level={row.level + 1}
      aria-posinset={row.position}
      aria-setsize={row.siblings}
      aria-expanded={row.children > 0 ? row.open : undefined}
      aria-rowindex={index + 2}
      data-index={index}
      tabIndex={current ? 0 : -1}
      onClick={click}
      onFocus={onFocus}
    >
      <div class="tree-name" role="gridcell">
        <Picture row={row} state={state} narrow={narrow} />
        {row.children > 0
          ? <button type="button" class="tree-toggle" tabIndex={-1} aria-label={`${row.open ? 'Collapse' : 'Expand'} ${branch.name}`} onClick={onToggle}><Chevron size={14} class={row.open ? 'open' : ''} /></button>
          : <span class="tree-toggle" />}
        <div class="tree-words">
          <span class="truncate" title={branch.name}>{branch.name}</span>
          {narrow && <span class="truncate tree-sub">{making ? stateWords(branch.current_state) : state ? stateWords(state) : endpoints && 'No endpoint'} · <Time at={branch.created_at} /></span>}
        </div>
        {branch.default && <Badge tone="ok">Default</Badge>}
        {branch.protected && <span class="tree-mark" title="Protected"><Lock size={14} /><span class="sr">Protected</span></span>}
        {row.children > 0 && !row.open && <span class="faint small nowrap">{row.children} below</span>}
      </div>
      <div class="tree-state" role="gridcell">{making ? <StateBadge state={branch.current_state} /> : state ? <StateBadge state={state} title={`The endpoint is ${stateWords(state).toLowerCase()}`} /> : endpoints ? <span class="faint small">No endpoint</span> : <Skeleton width="4rem" height="0.75rem" />}</div>
      <div class="tree-size num" role="gridcell"><Size project={project} branch={branch.id} /></div>
      <div class="tree-age num" role="gridcell"><Time at={branch.created_at} /></div>
      <div class="tree-expires num" role="gridcell">{branch.expires_at ? <Time at={branch.expires_at} /> : <span class="faint">–</span>}</div>
      <div class="tree-menu" role="gridcell">{menu}</div>
    </div>
  );
}
