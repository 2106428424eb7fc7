// The branches of a project as a tree.
//
// Arrow keys move, right opens and left closes (or goes to the parent), Enter shows a branch, M its actions.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { useBranches, useEndpoints } from '../api/data';
import type { Branch } from '../api/types';
import { useQuery, type PageProps } from '../app/router';
import { Button } from '../ui/button';
import { EmptyState, ErrorState, Skeleton, SkeletonRows } from '../ui/feedback';
import { Select, TextInput } from '../ui/field';
import { count } from '../ui/format';
import { BranchIcon, More, Plus } from '../ui/icons';
import { Menu } from '../ui/menu';
import { Page } from '../ui/page';
import { useWindowed } from '../ui/windowed';
import { BranchDialog, menuOf, type Context, type Doing } from './branches/actions';
import { BranchDetails } from './branches/details';
import { BranchRow } from './branches/row';
import { below, find, grow, rows, type Order } from './branches/tree';
import './branches/branches.css';

const NARROW = matchMedia('(max-width: 48rem)');
const PAGE = 10;

function useNarrow(): boolean {
  const [narrow, setNarrow] = useState(NARROW.matches);
  useEffect(() => {
    const change = () => setNarrow(NARROW.matches);
    NARROW.addEventListener('change', change);
    return () => NARROW.removeEventListener('change', change);
  }, []);
  return narrow;
}

export default function Branches({ params }: PageProps) {
  const project = params.project ?? '';
  const branches = useBranches(project);
  const endpoints = useEndpoints(project);
  const [query, setQuery] = useQuery();
  const [closed, setClosed] = useState<ReadonlySet<string>>(new Set());
  const [current, setCurrent] = useState(0);
  const [doing, setDoing] = useState<Doing>();
  const narrow = useNarrow();
  const body = useRef<HTMLDivElement>(null);
  const search = query.get('q') ?? '';
  const order: Order = query.get('order') === 'name' ? 'name' : 'newest';

  const roots = useMemo(() => branches.data && grow(branches.data, order), [branches.data, order]);
  const shown = useMemo(() => roots && rows(roots, closed, search), [roots, closed, search]);
  const view = useWindowed(body, shown?.length ?? 0, '.tree-row');
  const all = branches.data ?? [];
  const context: Context = {
    project,
    branches: all,
    below: (branch) => { const node = roots && find(roots, branch.id); return node ? below(node) : 0; },
    refresh: async () => { await Promise.all([branches.refresh(), endpoints.refresh()]); },
  };
  const selected = all.find((branch) => branch.id === query.get('at'));
  const open = (branch: Branch | undefined) => setQuery({ at: branch?.id ?? null });
  const start = (action: Doing['action'], branch: Branch) => { open(undefined); setDoing({ action, branch }); };

  const toggle = (id: string, to?: boolean) => setClosed((old) => {
    const next = new Set(old);
    if (to ?? old.has(id)) next.delete(id);
    else next.add(id);
    return next;
  });
  const focusRow = (index: number) => {
    const to = Math.min(Math.max(index, 0), (shown?.length ?? 1) - 1);
    setCurrent(to);
    view.reveal(to);
    requestAnimationFrame(() => requestAnimationFrame(() => body.current?.querySelector<HTMLElement>(`[data-index="${to}"]`)?.focus({ preventScroll: true })));
  };
  const key = (event: KeyboardEvent) => {
    const target = event.target as HTMLElement;
    const index = Number(target.dataset.index);
    const row = shown?.[index];
    if (!row || target.getAttribute('role') !== 'row' || event.ctrlKey || event.metaKey || event.altKey) return;
    const move = { ArrowDown: index + 1, ArrowUp: index - 1, Home: 0, End: (shown?.length ?? 1) - 1, PageDown: index + PAGE, PageUp: index - PAGE }[event.key];
    if (move !== undefined) focusRow(move);
    else if (event.key === 'ArrowRight' && row.children > 0) row.open ? focusRow(index + 1) : toggle(row.branch.id, true);
    else if (event.key === 'ArrowLeft' && row.open && search === '') toggle(row.branch.id, false);
    else if (event.key === 'ArrowLeft' && row.level > 0) focusRow((shown ?? []).findIndex((other) => other.branch.id === row.branch.parent_id));
    else if (event.key === 'Enter') open(row.branch);
    else if (event.key === 'm' || event.key === 'M' || event.key === 'ContextMenu') target.querySelector<HTMLElement>('.tree-menu button')?.click();
    else return;
    event.preventDefault();
  };

  const parents = useMemo(() => new Set(all.flatMap((branch) => branch.parent_id ?? [])), [branches.data]);
  const fallback = all.find((branch) => branch.default) ?? all[0];
  const guarded = all.filter((branch) => branch.protected).length;
  const create = <Button kind="primary" icon={<Plus />} disabled={!fallback} onClick={() => fallback && setDoing({ action: 'create', branch: fallback })}>New branch</Button>;
  const active = Math.min(current, (shown?.length ?? 1) - 1);
  return (
    <Page title="Branches" lead={branches.data ? `${count(all.length, 'branch', 'branches')}${guarded ? `, ${guarded} protected` : ''}` : <Skeleton width="10rem" />} actions={create}>
      <div class="tree-tools">
        <div class="search"><TextInput type="search" value={search} onValue={(q) => setQuery({ q })} placeholder="Search by name or ID" aria-label="Search branches" /></div>
        <div><Select aria-label="Order" value={order} onValue={(value) => setQuery({ order: value === 'name' ? value : null })} options={[{ value: 'newest', label: 'Newest first' }, { value: 'name', label: 'By name' }]} /></div>
        <Button disabled={parents.size === 0 || search !== ''} onClick={() => setClosed(closed.size ? new Set() : new Set(parents))}>{closed.size ? 'Expand all' : 'Collapse all'}</Button>
      </div>
      {branches.error && !branches.data ? <ErrorState error={branches.error} retry={() => void branches.refresh()} what="The branches cannot be shown" />
        : !shown ? <div class="table-frame"><SkeletonRows rows={6} height="44px" /></div>
        : shown.length === 0 ? (
          <div class="table-frame">
            {search ? <EmptyState title="No branch has this in its name or ID" action={<Button onClick={() => setQuery({ q: null })}>Show all</Button>} /> : <EmptyState icon={<BranchIcon size={20} />} title="No branches" />}
          </div>
        ) : (
          <div class="tree" role="treegrid" aria-label="Branches" aria-rowcount={shown.length + 1} onKeyDown={key}>
            <div class="tree-head" role="row" aria-rowindex={1}>
              <div role="columnheader">Branch</div>
              <div role="columnheader" class="tree-state">State</div>
              <div role="columnheader" class="tree-size num">Size</div>
              <div role="columnheader" class="tree-age num">Created</div>
              <div role="columnheader" class="tree-expires num">Expires</div>
              <div role="columnheader"><span class="sr">Actions</span></div>
            </div>
            <div ref={body} role="rowgroup">
              <div style={{ height: `${view.before}px` }} role="presentation" />
              {shown.slice(view.from, view.to).map((row, n) => (
                <BranchRow
                  key={row.branch.id}
                  project={project}
                  row={row}
                  index={view.from + n}
                  endpoints={endpoints.data?.endpoints}
                  current={view.from + n === active}
                  narrow={narrow}
                  onToggle={() => toggle(row.branch.id)}
                  onOpen={() => open(row.branch)}
                  onFocus={() => setCurrent(view.from + n)}
                  menu={<Menu small label={`Actions for ${row.branch.name}`} icon={<More />} items={menuOf(context, row.branch, (action) => start(action, row.branch))} />}
                />
              ))}
              <div style={{ height: `${view.after}px` }} role="presentation" />
            </div>
          </div>
        )}
      {selected && !doing && <BranchDetails {...context} branch={selected} endpoints={endpoints.data?.endpoints} onClose={() => open(undefined)} onAction={(action) => start(action, selected)} />}
      {doing && <BranchDialog {...context} doing={doing} onClose={() => setDoing(undefined)} onCreated={(branch) => { setDoing(undefined); void context.refresh().then(() => open(branch)); }} />}
    </Page>
  );
}
