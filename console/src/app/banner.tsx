// The server does not answer, is slow, or refuses what is asked for again: said once, with the next try counted down.
import { useEffect, useRef, useState } from 'preact/hooks';
import { connection } from '../api/connection';
import { unrefreshed } from '../api/resource';
import { useStore } from '../api/store';
import { Button } from '../ui/button';
import { Warn } from '../ui/icons';
import { useOnTop } from '../ui/ontop';
import './banner.css';

export function GoneBanner() {
  const { up, slow, nextTry } = useStore(connection.store);
  const stale = useStore(unrefreshed);
  const [now, tick] = useState(0);
  const ref = useRef<HTMLDivElement>(null);
  const why = [...stale.values()][0];
  const shown = !up ? 'gone' : why ? 'stale' : slow ? 'slow' : null;
  useEffect(() => {
    if (!shown) return;
    const timer = setInterval(() => tick((n) => n + 1), 500);
    return () => clearInterval(timer);
  }, [shown]);
  useOnTop(ref, shown !== null, now);
  if (!shown) return null;
  if (shown === 'slow') return <div ref={ref} popover="manual" class="gone gone-small" role="status"><span class="spinner" aria-hidden="true" />The server takes its time to answer.</div>;
  if (shown === 'stale') return <div ref={ref} popover="manual" class="gone gone-small gone-stale" role="status"><Warn /><span>Some of this is old: it cannot be had again now. {why?.message}</span></div>;
  const seconds = Math.max(0, Math.ceil(((nextTry ?? 0) - Date.now()) / 1000));
  return (
    <div ref={ref} popover="manual" class="gone" role="alert">
      <Warn />
      <span class="grow">The server does not answer. What you see may be old.</span>
      <span class="small nowrap" aria-hidden="true">{seconds > 0 ? `Next try in ${seconds} s` : 'Trying…'}</span>
      <Button small onClick={() => connection.tryNow()}>Try now</Button>
    </div>
  );
}
