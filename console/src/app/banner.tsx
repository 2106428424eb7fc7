// The server does not answer: said once, at the top, with the next try counted down.
import { useEffect, useState } from 'preact/hooks';
import { connection } from '../api/connection';
import { useStore } from '../api/store';
import { Button } from '../ui/button';
import { Warn } from '../ui/icons';
import './banner.css';

export function GoneBanner() {
  const { up, slow, nextTry } = useStore(connection.store);
  const [, tick] = useState(0);
  useEffect(() => {
    if (up) return;
    const timer = setInterval(() => tick((n) => n + 1), 500);
    return () => clearInterval(timer);
  }, [up]);
  if (up && slow) return <div class="gone gone-slow" role="status"><span class="spinner" aria-hidden="true" />The server takes its time to answer.</div>;
  if (up) return null;
  const seconds = Math.max(0, Math.ceil(((nextTry ?? 0) - Date.now()) / 1000));
  return (
    <div class="gone" role="alert">
      <Warn />
      <span class="grow">The server does not answer. What you see may be old.</span>
      <span class="small nowrap" aria-hidden="true">{seconds > 0 ? `Next try in ${seconds} s` : 'Trying…'}</span>
      <Button small onClick={() => connection.tryNow()}>Try now</Button>
    </div>
  );
}
