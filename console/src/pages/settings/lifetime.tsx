// A length of time in seconds of which some values mean something else.
import { Field, NumberInput, Select } from '../../ui/field';
import { duration } from '../../ui/format';

export interface LifetimeProps {
  label: string;
  value: number;
  /** Values with a meaning of their own. */
  special: [number, string][];
  onValue: (seconds: number) => void;
}

const CUSTOM = 'custom';
const FIRST = 300;

export function Lifetime({ label, value, special, onValue }: LifetimeProps) {
  const known = special.find(([seconds]) => seconds === value);
  const options = [...special.map(([seconds, words]) => ({ value: String(seconds), label: words })), { value: CUSTOM, label: 'After a time' }];
  return (
    <div class="settings-row">
      <Field label={label}><Select value={known ? String(value) : CUSTOM} onValue={(chosen) => onValue(chosen === CUSTOM ? FIRST : Number(chosen))} options={options} /></Field>
      {!known && <Field label="Seconds" hint={value > 0 ? duration(value) : '\u00a0'}><NumberInput min={1} step={1} value={value} onValue={onValue} /></Field>}
    </div>
  );
}
