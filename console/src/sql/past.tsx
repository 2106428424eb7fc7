// The history as a list: what was run in this browser, and back into the editor with a click.
import { useState } from 'preact/hooks';
import { fine } from '../charts/format';
import { Button } from '../ui/button';
import { Dialog } from '../ui/dialog';
import { EmptyState } from '../ui/feedback';
import { TextInput } from '../ui/field';
import { Time } from '../ui/time';
import type { Entry } from './history';

export function Past({ entries, onChoose, onForget, onClose }: { entries: readonly Entry[]; onChoose: (entry: Entry) => void; onForget: () => void; onClose: () => void }) {
  const [search, setSearch] = useState('');
  const shown = entries.filter(({ text }) => text.toLowerCase().includes(search.toLowerCase()));
  return (
    <Dialog wide title="History" onClose={onClose} footer={entries.length > 0 && <Button kind="danger" onClick={onForget}>Forget all</Button>}>
      <p class="muted small">Kept in this browser only.</p>
      {entries.length > 0 && <TextInput type="search" aria-label="Search the history" placeholder="Search" value={search} onValue={setSearch} />}
      {shown.length === 0 ? <EmptyState title={entries.length === 0 ? 'Nothing was run yet' : 'Nothing like that was run'} /> : (
        <ul class="past">
          {shown.map((entry) => (
            <li key={`${entry.at} ${entry.text}`}>
              <button type="button" onClick={() => onChoose(entry)}>
                <code>{entry.text}</code>
                <span class="small muted">
                  <Time at={new Date(entry.at).toISOString()} /> · {entry.branch} · {entry.database} · {entry.ok ? <>{fine(entry.took)}{entry.rows !== undefined && ` · ${entry.rows} rows`}</> : <span class="bad-text">failed</span>}
                </span>
              </button>
            </li>
          ))}
        </ul>
      )}
    </Dialog>
  );
}
