// The page of docs/errors about an error, which the server has with it: no internet is needed to read it.
import { useEffect, useState } from 'preact/hooks';
import type { ApiError } from '../api/client';
import { Dialog } from './dialog';
import { Skeleton } from './feedback';
import { Markdown } from './markdown';

export function HelpDialog({ error, onClose }: { error: ApiError; onClose: () => void }) {
  const [text, setText] = useState<string>();
  useEffect(() => {
    const abort = new AbortController();
    fetch(error.helpUrl, { signal: abort.signal })
      .then((response) => (response.ok ? response.text() : `# ${error.code}\n\nThere is no page about this error. ${error.message}`))
      .then(setText, () => { if (!abort.signal.aborted) setText('The server does not answer.'); });
    return () => abort.abort();
  }, [error]);
  return (
    <Dialog title={error.code} onClose={onClose} wide>
      {text === undefined ? <Skeleton height="12rem" /> : <Markdown text={text.replace(/^# .*\n/, '')} />}
      {error.requestId && <p class="small faint">Request <code>{error.requestId}</code>, as it is in the server's log.</p>}
    </Dialog>
  );
}
