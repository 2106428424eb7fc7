// One endpoint: what it does now, what it did, what it used, and everything that can be set.
import { useMemo, useState } from 'preact/hooks';
import { endpointPath, type FullEndpoint } from '../api/endpoint';
import { seg } from '../api/client';
import { useResource } from '../api/resource';
import type { Branch } from '../api/types';
import { Link, useQuery, type PageProps } from '../app/router';
import { compact, roundBytes } from '../charts/format';
import { timeline, type EndpointEvent, type State } from '../charts/states';
import { StateTimeline } from '../charts/timeline';
import { StateBadge } from '../ui/badge';
import { Button } from '../ui/button';
import { Copyable } from '../ui/copy';
import { ErrorState, Note, Skeleton } from '../ui/feedback';
import { Segmented } from '../ui/field';
import { cu, number } from '../ui/format';
import { Card, Facts, Page, Section, Stat, Stats } from '../ui/page';
import { Plug } from '../ui/icons';
import { Time } from '../ui/time';
import { ConnectDialog } from './connect/dialog';
import { Controls } from './endpoint/controls';
import { Limits } from './endpoint/limits';
import { Measured } from './endpoint/measured';
import { EventList, Wakes } from './endpoint/wakes';
import { Warm } from './endpoint/warm';
import './endpoint/endpoint.css';

const LIVE_EVERY_MS = 2000;
/** The most events that one reply has. */
const EVENTS = 400;

const RANGES = { '15m': 900_000, '1h': 3_600_000, '6h': 21_600_000, '24h': 86_400_000, '7d': 604_800_000 } as const;
type Range = keyof typeof RANGES;
const RANGE_WORDS: { value: Range; label: string }[] = [{ value: '15m', label: '15 min' }, { value: '1h', label: '1 h' }, { value: '6h', label: '6 h' }, { value: '24h', label: '24 h' }, { value: '7d', label: '7 d' }];

export default function EndpointPage({ params }: PageProps) {
  const project = params.project ?? '';
  const id = params.endpoint ?? '';
  const [query, setQuery] = useQuery();
  const range: Range = (query.get('range') ?? '1h') in RANGES ? (query.get('range') ?? '1h') as Range : '1h';
  const [connecting, setConnecting] = useState(false);
  const reply = useResource<{ endpoint: FullEndpoint }>(endpointPath(project, id), { every: LIVE_EVERY_MS });
  const endpoint = reply.data?.endpoint;
  const branch = useResource<{ branch: Branch }>(endpoint ? `/projects/${seg(project)}/branches/${seg(endpoint.branch_id)}` : null);
  // A change of state is on the list at once; between them it changes seldom.
  const events = useResource<{ events: EndpointEvent[] }>(`${endpointPath(project, id)}/events`, { query: { limit: EVENTS }, every: 5000 });
  const onChange = (changed: FullEndpoint) => {
    reply.set({ endpoint: { ...endpoint, ...changed } });
    void events.refresh();
    void reply.refresh();
  };

  if (!endpoint) {
    return (
      <Page title={reply.error ? 'Endpoint' : ''} kicker="Endpoint">
        {reply.error ? <Card flush><ErrorState error={reply.error} retry={() => void reply.refresh()} what="This endpoint cannot be shown" /></Card> : <EndpointSkeleton />}
      </Page>
    );
  }
  const { live } = endpoint;
  const runs = endpoint.state === 'active' || endpoint.state === 'paused';
  // Without cgroups nobody knows, and zero would be a lie.
  const measured = live?.measured ?? true;
  const of = <T,>(value: T | null | undefined, words: (value: T) => string) => (runs && value !== null && value !== undefined ? words(value) : '–');
  return (
    <Page
      title={endpoint.id}
      kicker={<>Endpoint of {branch.data ? <Link href={`/projects/${seg(project)}/branches`}>{branch.data.branch.name}</Link> : '…'}</>}
      aside={<StateBadge state={endpoint.state} />}
      lead={<Copyable text={endpoint.host} />}
      actions={<><Button icon={<Plug />} onClick={() => setConnecting(true)}>Connect</Button><Controls project={project} endpoint={endpoint} onChange={onChange} /></>}
    >
      {endpoint.disabled && <Note kind="warn">It is disabled and refuses every connection.</Note>}
      <Stats>
        <Stat label="Size now" note={`of ${number(endpoint.autoscaling_limit_min_cu, 2)} to ${number(endpoint.autoscaling_limit_max_cu, 2)} CU`}>{of(endpoint.current_cu, cu)}</Stat>
        <Stat label="CPU" note={!measured ? 'not measured here' : runs && endpoint.current_cu ? `of ${number(endpoint.current_cu, 2)}` : '\u00a0'}>{of(measured ? live?.cpu_cores : null, (cores) => number(cores, 2))}</Stat>
        <Stat label="Memory" note={!measured ? 'not measured here' : runs && live?.memory_limit_bytes ? `of ${roundBytes(live.memory_limit_bytes)}` : '\u00a0'}>{of(measured ? live?.memory_bytes : null, roundBytes)}</Stat>
        <Stat label="Connections" note={'\u00a0'}>{of(live?.connections, compact)}</Stat>
        <Stat label="Waiting for the pool" note={'\u00a0'}>{of(live?.pool_waiting, compact)}</Stat>
        <Stat label={endpoint.state === 'active' ? 'Awake since' : 'Last active'} note={endpoint.next_wake ? <>wakes <Time at={endpoint.next_wake} /></> : '\u00a0'}><Time at={endpoint.state === 'active' ? endpoint.started_at : endpoint.last_active ?? endpoint.suspended_at} /></Stat>
      </Stats>
      <History endpoint={endpoint} events={events.data?.events} error={events.error} retry={() => void events.refresh()} range={range} onRange={(next) => setQuery({ range: next === '1h' ? null : next })} />
      <Wakes events={events.data?.events} />
      <Limits project={project} endpoint={endpoint} onChange={onChange} />
      <Warm project={project} endpoint={endpoint} onChange={onChange} />
      <Section title="About">
        <Card>
          <Facts rows={[
            ['Host', <Copyable text={endpoint.host} />],
            ['Kind', endpoint.type === 'read_write' ? 'Reads and writes' : endpoint.pinned_lsn ? `Reads only, as it was at ${endpoint.pinned_lsn}` : 'Reads only'],
            ['Process', endpoint.pid === null ? 'None' : String(endpoint.pid)],
            ['Made', <Time at={endpoint.created_at} />],
            ['Changed', <Time at={endpoint.updated_at} />],
          ]} />
        </Card>
      </Section>
      <EventList events={events.data?.events} />
      {connecting && <ConnectDialog project={project} endpoint={id} onClose={() => setConnecting(false)} />}
    </Page>
  );
}

function History({ endpoint, events, error, retry, range, onRange }: { endpoint: FullEndpoint; events: EndpointEvent[] | undefined; error: Error | undefined; retry: () => void; range: Range; onRange: (range: Range) => void }) {
  const width = RANGES[range];
  const to = Date.now();
  const from = to - width;
  const shown = useMemo(
    () => timeline(events ?? [], from, to, { state: endpoint.state as State, created: Date.parse(endpoint.created_at) }),
    // Drawn anew when something happened, and now and then as the time goes on.
    [events, endpoint.state, range, Math.floor(to / Math.max(LIVE_EVERY_MS, width / 1000))],
  );
  return (
    <Section title="What it did" actions={<Segmented label="Range" value={range} options={RANGE_WORDS} onValue={onRange} />}>
      <Card>
        {error && !events ? <ErrorState error={error} retry={retry} what="The events cannot be shown" /> : <StateTimeline title="States" timeline={shown} from={from} to={to} />}
      </Card>
      <Measured endpoint={endpoint.id} range={width} every={width <= RANGES['1h'] ? 10_000 : 60_000} />
    </Section>
  );
}

function EndpointSkeleton() {
  return (
    <>
      <Stats>{['Size now', 'CPU', 'Memory', 'Connections', 'Waiting for the pool', 'Last active'].map((label) => <Stat key={label} label={label} note={'\u00a0'}>{undefined}</Stat>)}</Stats>
      <Section title="What it did"><Card><Skeleton height="9rem" /></Card></Section>
    </>
  );
}
