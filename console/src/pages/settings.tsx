// The server: what it is, where its store is, and the settings of the pooler.
import { useMemo, useState } from 'preact/hooks';
import { request } from '../api/client';
import { useStatus } from '../api/data';
import { useResource } from '../api/resource';
import { useStore } from '../api/store';
import { session } from '../app/session';
import { setTheme, theme, type Theme } from '../app/theme';
import { Badge } from '../ui/badge';
import { Button } from '../ui/button';
import { Copyable } from '../ui/copy';
import { EmptyState, ErrorState } from '../ui/feedback';
import { Checkbox, Segmented, TextInput } from '../ui/field';
import { bytes, number } from '../ui/format';
import { Card, Facts, Page, Section } from '../ui/page';
import { Table, type Column } from '../ui/table';
import { Time } from '../ui/time';
import { done, failed } from '../ui/toast';
import { Sessions } from './settings/sessions';
import './settings/settings.css';

interface Setting {
  name: string;
  value: string;
  default: string;
  used: boolean;
}

interface Storage {
  url: string;
  endpoints: { lag_bytes: number; alarm?: string; problem?: string }[];
}

const THEMES: { value: Theme; label: string }[] = [
  { value: 'system', label: 'System' },
  { value: 'light', label: 'Light' },
  { value: 'dark', label: 'Dark' },
];

export default function Settings() {
  const signedIn = useStore(session);
  const chosen = useStore(theme);
  const status = useStatus();
  const storage = useResource<Storage>('/storage', { every: 10_000 });
  const lag = storage.data?.endpoints.reduce((sum, endpoint) => sum + endpoint.lag_bytes, 0);
  const problems = storage.data?.endpoints.filter((endpoint) => endpoint.problem ?? endpoint.alarm);
  return (
    <Page title="Server settings">
      <div class="columns">
        <Section title="Server">
          <Card>
            <Facts rows={[
              ['Version', status.data?.version],
              ['API', <Copyable text={`${location.origin}/api/v2`} />],
              ['Endpoints', status.data && number(status.data.endpoints.length)],
              ['Object store', storage.data ? <Copyable text={storage.data.url} /> : storage.error ? storage.error.message : undefined],
              ['Not yet in the store', storage.error && !storage.data ? '–' : lag === undefined ? undefined : <>{bytes(lag)} {problems && problems.length > 0 && <Badge tone="bad" title={problems.map((one) => one.problem ?? one.alarm).join('\n')}>{problems.length} with a problem</Badge>}</>],
            ]} />
          </Card>
        </Section>
        <Section title="This browser">
          <Card>
            <div class="stack">
              <Segmented label="Theme" value={chosen} onValue={setTheme} options={THEMES} />
              {signedIn.at === 'in' && <Facts rows={[['Signed in with', signedIn.session.name], ['Until', <Time at={signedIn.session.expires_at} />]]} />}
            </div>
          </Card>
        </Section>
      </div>
      <Sessions />
      <Pooler />
    </Page>
  );
}

function Pooler() {
  const pooler = useResource<{ settings: Setting[] }>('/pooler');
  const [search, setSearch] = useState('');
  const [unused, setUnused] = useState(false);
  const [editing, setEditing] = useState<{ name: string; value: string }>();
  const [busy, setBusy] = useState(false);
  const rows = useMemo(() => pooler.data?.settings.filter((setting) => (unused || setting.used) && setting.name.includes(search.toLowerCase())), [pooler.data, search, unused]);

  const save = async (name: string, value: string | null) => {
    setBusy(true);
    try {
      pooler.set(await request<{ settings: Setting[] }>('PATCH', '/pooler', { body: { settings: { [name]: value } } }));
      setEditing(undefined);
      done(value === null ? `${name} is as by default.` : `${name} is ${value}.`);
    } catch (error) {
      failed(`${name} is as it was`, error);
    }
    setBusy(false);
  };

  const columns: Column<Setting>[] = [
    { key: 'name', title: 'Setting', sort: (setting) => setting.name, render: (setting) => <span class="setting-name"><code>{setting.name}</code>{!setting.used && <span class="small faint">accepted, has no effect here</span>}</span> },
    { key: 'default', title: 'Default', width: '9rem', numeric: true, wide: true, render: (setting) => <span class="faint">{setting.default || '–'}</span> },
    { key: 'value', title: 'Value', width: '20rem', numeric: true, render: (setting) => (
      editing?.name === setting.name ? (
        <form class="setting-value" onSubmit={(event) => { event.preventDefault(); void save(setting.name, editing.value); }} onKeyDown={(event) => { if (event.key === 'Escape') setEditing(undefined); }}>
          <TextInput value={editing.value} onValue={(value) => setEditing({ name: setting.name, value })} aria-label={setting.name} mono ref={(input: HTMLInputElement | null) => { if (input && document.activeElement?.tagName !== 'INPUT') input.focus(); }} />
          <Button small kind="primary" type="submit" busy={busy}>Save</Button>
          <Button small onClick={() => setEditing(undefined)}>Cancel</Button>
        </form>
      ) : (
        <span class="setting-value">
          {setting.value !== setting.default ? <b>{setting.value || '–'}</b> : setting.value || '–'}
          {setting.value !== setting.default && <Button small kind="quiet" onClick={() => void save(setting.name, null)} aria-label={`Reset ${setting.name}`}>Reset</Button>}
          <Button small kind="quiet" onClick={() => setEditing({ name: setting.name, value: setting.value })} aria-label={`Change ${setting.name}`}>Change</Button>
        </span>
      )
    ) },
  ];
  return (
    <Section title="Pooler" lead="Names and values are PgBouncer's. Changes take effect at once." actions={<Checkbox checked={unused} onValue={setUnused}>Also those without effect</Checkbox>}>
      <div class="search"><TextInput type="search" value={search} onValue={setSearch} placeholder="Search settings" aria-label="Search settings of the pooler" /></div>
      {pooler.error && !pooler.data ? <ErrorState error={pooler.error} retry={() => void pooler.refresh()} what="The settings of the pooler cannot be shown" /> : (
        <Table label="Settings of the pooler" columns={columns} rows={rows} rowKey={(setting) => setting.name} order="name" expected={12} empty={<EmptyState title="No setting has this in its name" />} />
      )}
    </Section>
  );
}
