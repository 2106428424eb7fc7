// A labelled control with its hint and its error, tied together for screen readers.
import { createContext, type ComponentChildren, type HTMLAttributes } from 'preact';
import { useContext, useId, useState } from 'preact/hooks';
import './field.css';

interface Tie {
  id: string;
  describedBy: string | undefined;
  invalid: boolean;
}

const Context = createContext<Tie | null>(null);

export interface FieldProps {
  label: ComponentChildren;
  hint?: ComponentChildren;
  error?: string | undefined;
  children: ComponentChildren;
}

export function Field({ label, hint, error, children }: FieldProps) {
  const id = useId();
  const describedBy = error ? `${id}-error` : hint ? `${id}-hint` : undefined;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <Context.Provider value={{ id, describedBy, invalid: Boolean(error) }}>{children}</Context.Provider>
      {error ? <p class="field-error" id={`${id}-error`} role="alert">{error}</p> : hint && <p class="field-hint" id={`${id}-hint`}>{hint}</p>}
    </div>
  );
}

function useTie(): HTMLAttributes<HTMLElement> {
  const tie = useContext(Context);
  return tie ? { id: tie.id, 'aria-describedby': tie.describedBy, 'aria-invalid': tie.invalid || undefined } : {};
}

type InputProps = Omit<HTMLAttributes<HTMLInputElement>, 'onInput' | 'role'> & {
  value: string;
  type?: 'text' | 'password' | 'search' | 'number' | 'datetime-local' | 'email' | 'url' | 'date' | 'month';
  name?: string;
  placeholder?: string;
  required?: boolean;
  disabled?: boolean;
  readOnly?: boolean;
  autocomplete?: string;
  min?: string | number;
  max?: string | number;
  step?: string | number;
  maxLength?: number;
  pattern?: string;
  onValue: (value: string) => void;
  mono?: boolean;
};

export function TextInput({ value, onValue, mono, class: more, ...rest }: InputProps) {
  const tie = useTie();
  return <input type="text" autocomplete="off" spellcheck={false} {...(tie as object)} {...(rest as object)} class={['input', mono && 'mono', more].filter(Boolean).join(' ')} value={value} onInput={(event) => onValue(event.currentTarget.value)} />;
}

/** A number. What is being typed ("", "0.") stays as it is, also where it is none yet. */
export function NumberInput({ value, onValue, ...rest }: Omit<InputProps, 'value' | 'onValue' | 'type'> & { value: number; onValue: (value: number) => void }) {
  const [text, setText] = useState(String(value));
  const shown = Number(text) === value && text !== '' ? text : text === '' && Number.isNaN(value) ? '' : String(value);
  return <TextInput type="number" required {...rest} value={shown} onValue={(next) => { setText(next); onValue(next === '' ? NaN : Number(next)); }} />;
}

type SelectProps = Omit<HTMLAttributes<HTMLSelectElement>, 'onChange' | 'role'> & {
  disabled?: boolean;
  name?: string;
  value: string;
  onValue: (value: string) => void;
  options: { value: string; label: string; disabled?: boolean }[];
};

export function Select({ value, onValue, options, class: more, ...rest }: SelectProps) {
  const tie = useTie();
  return (
    <select {...(tie as object)} {...(rest as object)} class={['input', 'select', more].filter(Boolean).join(' ')} value={value} onChange={(event) => onValue(event.currentTarget.value)}>
      {options.map((option) => <option key={option.value} value={option.value} disabled={option.disabled}>{option.label}</option>)}
    </select>
  );
}

/** A switch or a choice of one: a checkbox with its words beside it. */
export function Checkbox({ checked, onValue, children, hint, disabled }: { checked: boolean; onValue: (checked: boolean) => void; children: ComponentChildren; hint?: ComponentChildren; disabled?: boolean }) {
  const id = useId();
  return (
    <div class="check">
      <input type="checkbox" id={id} checked={checked} disabled={disabled} aria-describedby={hint ? `${id}-hint` : undefined} onChange={(event) => onValue(event.currentTarget.checked)} />
      <div>
        <label for={id}>{children}</label>
        {hint && <p class="field-hint" id={`${id}-hint`}>{hint}</p>}
      </div>
    </div>
  );
}

/** One of few, side by side. */
export function Segmented<T extends string>({ value, onValue, options, label }: { value: T; onValue: (value: T) => void; options: { value: T; label: ComponentChildren }[]; label: string }) {
  const name = useId();
  return (
    <fieldset class="segmented">
      <legend class="sr">{label}</legend>
      {options.map((option) => (
        <label key={option.value} class={option.value === value ? 'on' : ''}>
          <input class="sr" type="radio" name={name} value={option.value} checked={option.value === value} onChange={() => onValue(option.value)} />
          {option.label}
        </label>
      ))}
    </fieldset>
  );
}
