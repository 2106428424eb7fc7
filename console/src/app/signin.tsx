import { useState } from 'preact/hooks';
import { Button } from '../ui/button';
import { Field, TextInput } from '../ui/field';
import { FormError, Note } from '../ui/feedback';
import { Logo } from '../ui/icons';
import { signIn } from './session';
import './signin.css';

export function SignIn({ ended }: { ended: boolean }) {
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
    <main class="signin" id="main" tabIndex={-1}>
      <form class="signin-box stack" onSubmit={(event) => { event.preventDefault(); void submit(); }}>
        <div class="row"><Logo size={32} /><h1>Dormouse</h1></div>
        {ended && !error && <Note>The session has ended. Sign in again to go on.</Note>}
        <Field label="API key" hint={<>Or run <code>dormouse console</code> on the server's machine: it prints a link that signs in.</>}>
          <TextInput type="password" name="key" autocomplete="current-password" placeholder="dm_…" value={key} onValue={setKey} mono required autofocus />
        </Field>
        <FormError error={error} />
        <Button type="submit" kind="primary" busy={busy} disabled={key.trim() === ''}>Sign in</Button>
      </form>
    </main>
  );
}
