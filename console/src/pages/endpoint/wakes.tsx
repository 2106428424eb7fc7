// The last wakes and where their time went, and everything else that happened.
import { useMemo } from 'preact/hooks';
import { fine } from '../../charts/format';
import { wakeOf, type EndpointEvent, type Wake } from '../../charts/states';
import { Phases, reasonWords } from '../../charts/timeline';
import { EmptyState, SkeletonRows } from '../../ui/feedback';
import { duration, words } from '../../ui/format';
import { Card, Section } from '../../ui/page';
import { Table, type Column } from '../../ui/table';
import { Time } from '../../ui/time';
import { quotaWords } from '../usage/measures';

const SHOWN = 8;

/** The middle one of some figures. */
export function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

export function Wakes({ events }: { events: readonly EndpointEvent[] | undefined }) {
  const wakes = useMemo(() => (events ?? []).map(wakeOf).filter((wake): wake is Wake => wake?.kind === 'woke'), [events]);
  const longest = Math.max(0, ...wakes.slice(0, SHOWN).map(({ total }) => total));
  const middle = median(wakes.map(({ total }) => total));
  return (
    <Section title="Wakes" {...(middle !== undefined ? { lead: `${wakes.length} kept; half of them took no longer than ${fine(middle)}.` } : {})}>
      <Card flush>
        {!events ? <SkeletonRows rows={3} /> : wakes.length === 0 ? <EmptyState title="It has not woken yet">The first client wakes it, or the button at the top does.</EmptyState> : (
          <ul class="list">
            {wakes.slice(0, SHOWN).map((wake) => (
              <li key={wake.at} class="list-row wake-row">
                <span class="wake-when"><Time at={new Date(wake.at).toISOString()} /><span class="faint small">{reasonWords(wake.cause)}</span></span>
                <b class="num wake-total">{fine(wake.total)}</b>
                <div class="grow"><Phases wake={wake} scale={longest} /></div>
              </li>
            ))}
          </ul>
        )}
      </Card>
    </Section>
  );
}

/** One line about an event. */
export function eventWords({ kind, detail }: EndpointEvent): string {
  const text = (name: string) => (typeof detail[name] === 'string' ? (detail[name] as string) : '');
  const wake = wakeOf({ id: 0, at: '', kind, detail });
  if (wake) return `${wake.kind === 'woke' ? 'woke' : 'thawed'} in ${fine(wake.total)}: ${reasonWords(wake.cause)}`;
  switch (kind) {
    case 'paused': return `paused: ${reasonWords(detail.reason)}`;
    case 'stopped': return `stopped within ${duration(Number(detail.took_ms ?? 0) / 1000)}: ${reasonWords(detail.reason)}`;
    case 'start_failed': return `did not start: ${text('message')}`;
    case 'crashed': return `crashed: ${text('how')}`;
    case 'adopted': return 'taken over from a server that had ended';
    case 'trouble': return text('message');
    case 'resized': return `resized from ${String(detail.from_cu)} to ${String(detail.to_cu)} CU: ${reasonWords(detail.reason)}`;
    case 'quota_soft': return `a quota is nearly used up, ${quotaWords(detail)}`;
    case 'quota_exceeded': return `a quota is used up, ${quotaWords(detail)}${detail.suspends ? '; clients are refused' : ''}`;
    default: return words(kind).toLowerCase();
  }
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

const BAD = new Set(['start_failed', 'crashed', 'trouble', 'quota_exceeded']);

export function EventList({ events }: { events: readonly EndpointEvent[] | undefined }) {
  const columns: Column<EndpointEvent>[] = [
    { key: 'at', title: 'When', width: '9rem', render: (event) => <Time at={event.at} /> },
    {
      key: 'what', title: 'What', render: (event) => (
        <div class="event">
          <span class={BAD.has(event.kind) ? 'event-words bad-text' : 'event-words'}>{capital(eventWords(event))}</span>
          {Array.isArray(event.detail.log_tail) && event.detail.log_tail.length > 0 && <details><summary class="small">Last lines of PostgreSQL's log</summary><pre class="log">{(event.detail.log_tail as string[]).join('\n')}</pre></details>}
        </div>
      ),
    },
  ];
  return (
    <Section title="Events" lead="Newest first; the last ones are kept.">
      <Table label="Events" columns={columns} rows={events ? [...events] : undefined} rowKey={(event) => String(event.id)} empty={<EmptyState title="Nothing has happened yet" />} />
    </Section>
  );
}
