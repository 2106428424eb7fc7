import { useEffect, useRef, useState } from 'preact/hooks';
import { Button } from '../ui/button';
import { Field, TextInput } from '../ui/field';
import { FormError, Note } from '../ui/feedback';
import { Logo } from '../ui/icons';
import { begin, signIn } from './session';
import './signin.css';

function SignInForm({ ended }: { ended: boolean }) {
  const [key, setKey] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error>();
  const submit = async () => {
    setBusy(true);
    setError(undefined);
    try {
      await signIn(key.trim());
    } catch (error) {
      setError(error as Error);
      setBusy(false);
    }
  };
  return (
    <form class="signin-box stack" onSubmit={(event) => { event.preventDefault(); if (!busy) void submit(); }}>
      <div class="row"><Logo size={32} /><h1>Dormouse</h1></div>
      {ended && !error && <Note>The session has ended. Sign in again to go on where you were.</Note>}
      <Field label="API key" hint={<>Or run <code>dormouse console</code> on the server's machine: it prints a link that signs in.</>}>
        <TextInput type="password" name="key" autocomplete="current-password" placeholder="dm_…" value={key} onValue={setKey} mono required autofocus />
      </Field>
      <FormError error={error} />
      <Button type="submit" kind="primary" busy={busy} disabled={key.trim() === ''}>Sign in</Button>
    </form>
  );
}

export function SignIn() {
  useEffect(() => { document.title = 'Sign in · Dormouse'; }, []);
  return <main class="signin" id="main" tabIndex={-1}><SignInForm ended={false} /></main>;
}

/** Over everything that was open, dialogs too, and nothing of it can be seen. It stays as it was for who comes back. */
export function SignInAgain() {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = ref.current;
    const before = document.activeElement as HTMLElement | null;
    dialog?.showModal();
    // Somebody may have signed in in another tab.
    const look = () => { if (!document.hidden) begin().catch(() => {}); };
    document.addEventListener('visibilitychange', look);
    return () => {
      document.removeEventListener('visibilitychange', look);
      dialog?.close();
      if (before?.isConnected) before.focus();
    };
  }, []);
  return <dialog ref={ref} class="signin signin-again" aria-label="Sign in again" onCancel={(event) => event.preventDefault()}><SignInForm ended /></dialog>;
}
