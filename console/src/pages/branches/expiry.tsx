import { Field, Select, TextInput } from '../../ui/field';
import { localInput } from '../../ui/format';

/** A time, ISO 8601; empty: never. */
export type Expiry = string;

const CHOICES: [string, string][] = [['', 'Never'], ['3600', 'In an hour'], ['86400', 'In a day'], ['604800', 'In a week'], ['2592000', 'In 30 days'], ['at', 'At a time']];

export interface ExpiryFieldProps {
  /** What is chosen: seconds from now, `at`, or empty. */
  choice: string;
  at: string;
  onChange: (choice: string, at: string) => void;
}

/** The time that a choice means, when it is used. */
export function expiryOf(choice: string, at: string): Expiry {
  if (choice === '') return '';
  return choice === 'at' ? new Date(at).toISOString() : new Date(Date.now() + Number(choice) * 1000).toISOString();
}

export function ExpiryField({ choice, at, onChange }: ExpiryFieldProps) {
  const first = localInput(new Date(Date.now() + 86_400_000)).slice(0, 16);
  return (
    <>
      <Field label="Delete by itself" hint="For branches of pull requests and experiments."><Select value={choice} onValue={(value) => onChange(value, value === 'at' ? at || first : at)} options={CHOICES.map(([value, label]) => ({ value, label }))} /></Field>
      {choice === 'at' && <Field label="When"><TextInput type="datetime-local" value={at} onValue={(value) => onChange('at', value)} required /></Field>}
    </>
  );
}
