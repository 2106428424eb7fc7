// Alerts: what they say now, what they said, the rules, and who is told.
import { useResource } from '../api/resource';
import type { Alerts } from '../api/statistics';
import { useQuery } from '../app/router';
import { ErrorState } from '../ui/feedback';
import { Card, Page, Stat, Stats } from '../ui/page';
import { Tabs } from '../ui/tabs';
import { History, Now } from './alerts/now';
import { Rules } from './alerts/rules';
import { useProjectNames } from './alerts/scope';
import { Webhooks } from './alerts/webhooks';
import './alerts/alerts.css';

const EVERY_MS = 5000;
const HISTORY = 200;

const TABS = [{ value: 'now', label: 'Now' }, { value: 'history', label: 'History' }, { value: 'rules', label: 'Rules' }, { value: 'webhooks', label: 'Webhooks' }] as const;
type TabName = (typeof TABS)[number]['value'];

export default function AlertsPage() {
  const [query, setQuery] = useQuery();
  const tab: TabName = TABS.find(({ value }) => value === query.get('tab'))?.value ?? 'now';
  const reply = useResource<Alerts>('/alerts', { query: { limit: HISTORY }, every: EVERY_MS });
  const names = useProjectNames();
  const alerts = reply.data?.alerts;
  const inState = (state: string) => alerts && String(alerts.filter((one) => one.state === state).length);
  return (
    <Page title="Alerts" lead="Rules look at what is measured; an alert changes its state when a threshold is passed for long enough.">
      {reply.error && !reply.data ? <Card flush><ErrorState error={reply.error} retry={() => void reply.refresh()} what="The alerts cannot be shown" /></Card> : (
        <>
          <Stats>
            <Stat label="Critical">{inState('critical')}</Stat>
            <Stat label="Warning">{inState('warning')}</Stat>
            <Stat label="OK">{inState('ok')}</Stat>
            <Stat label="No data">{inState('no_data')}</Stat>
          </Stats>
          <div class="stack">
            <Tabs label="Alerts" tabs={[...TABS]} value={tab} onValue={(value) => setQuery({ tab: value === 'now' ? null : value })}>
              {tab === 'now' ? <Now alerts={alerts} names={names} /> : tab === 'history' ? <History history={reply.data?.history} names={names} /> : tab === 'rules' ? <Rules names={names} /> : <Webhooks />}
            </Tabs>
          </div>
        </>
      )}
    </Page>
  );
}
