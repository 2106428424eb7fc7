import type { ButtonHTMLAttributes, ComponentChildren } from 'preact';
import { Link } from '../app/router';
import './button.css';

export type ButtonKind = 'primary' | 'plain' | 'quiet' | 'danger';

interface Look {
  kind?: ButtonKind;
  small?: boolean;
  icon?: ComponentChildren;
  children?: ComponentChildren;
}

function classes({ kind = 'plain', small, icon, children }: Look, more?: unknown): string {
  return ['button', `button-${kind}`, small && 'button-small', icon && !children && 'button-square', more].filter(Boolean).join(' ');
}

type ButtonProps = Look & Omit<ButtonHTMLAttributes<HTMLButtonElement>, 'icon'> & {
  /** What it started is under way: it stays as wide as it was and cannot be pressed. */
  busy?: boolean;
};

export function Button({ kind, small, icon, busy, children, class: more, disabled, type = 'button', ...rest }: ButtonProps) {
  return (
    <button type={type} class={classes({ kind, small, icon, children } as Look, more)} disabled={disabled} aria-disabled={busy || undefined} aria-busy={busy || undefined} {...rest} onClick={busy ? (event) => event.preventDefault() : rest.onClick}>
      {icon}
      {children && <span class="button-text">{children}</span>}
      {busy && <span class="spinner" aria-hidden="true" />}
    </button>
  );
}

/** A link that looks like a button. */
export function ButtonLink({ href, kind, small, icon, children }: Look & { href: string }) {
  return <Link href={href} class={classes({ kind, small, icon, children } as Look)}>{icon}<span class="button-text">{children}</span></Link>;
}
