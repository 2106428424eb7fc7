// Asks before something that cannot be undone. With `typed`, the name has to be typed: for what takes data with it.
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { Button } from './button';
import { Dialog } from './dialog';
import { FormError } from './feedback';
import { Field, TextInput } from './field';

export interface ConfirmProps {
  title: string;
  /** What the button says. */
  action: string;
  children: ComponentChildren;
  /** What has to be typed. */
  typed?: string;
  onClose: () => void;
  /** Closes the dialog when it is done; its error is shown. */
  onConfirm: () => Promise<void>;
}

export function Confirm({ title, action, children, typed, onClose, onConfirm }: ConfirmProps) {
  const [text, setText] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error>();
  const ready = typed === undefined || text === typed;
  const confirm = async () => {
    if (!ready || busy) return;
    setBusy(true);
    setError(undefined);
    try {
      await onConfirm();
      onClose();
    } catch (error) {
      setError(error as Error);
      setBusy(false);
    }
  };
  return (
    <Dialog title={title} onClose={onClose} onSubmit={() => void confirm()} footer={<><Button onClick={onClose} data-autofocus={typed === undefined || undefined}>Cancel</Button><Button kind="danger" type="submit" busy={busy} disabled={!ready}>{action}</Button></>}>
      {children}
      {typed !== undefined && <Field label={<>Type <code>{typed}</code> to go on</>}><TextInput value={text} onValue={setText} mono data-autofocus /></Field>}
      <FormError error={error} />
    </Dialog>
  );
}
