// A group of settings with a button that saves it. Nothing is saved behind one's back.
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { Button } from '../../ui/button';
import { FormError } from '../../ui/feedback';
import { Section } from '../../ui/page';

export interface FormProps {
  title: string;
  lead?: ComponentChildren;
  changed: boolean;
  onSave: () => Promise<void>;
  onReset: () => void;
  children: ComponentChildren;
}

export function Form({ title, lead, changed, onSave, onReset, children }: FormProps) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error>();
  const save = async () => {
    setBusy(true);
    setError(undefined);
    try {
      await onSave();
    } catch (error) {
      setError(error as Error);
    }
    setBusy(false);
  };
  return (
    <Section title={title} lead={lead}>
      <form class="card settings-form" onSubmit={(event) => { event.preventDefault(); if (!busy) void save(); }}>
        <div class="stack">{children}<FormError error={error} /></div>
        <footer class="settings-foot">
          <Button onClick={() => { onReset(); setError(undefined); }} disabled={!changed || busy}>Reset</Button>
          <Button kind="primary" type="submit" busy={busy} disabled={!changed}>Save</Button>
        </footer>
      </form>
    </Section>
  );
}
