// A button that opens a list of actions. Arrows, Home, End, Enter, Escape; closes when the focus leaves it.
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { Button, type ButtonKind } from './button';
import './menu.css';

export interface MenuItem {
  label: string;
  onSelect: () => void;
  icon?: ComponentChildren;
  danger?: boolean;
  /** Why it cannot be chosen now; it stays in the list so that people find it. */
  disabled?: string | false | undefined;
  /** A line above it. */
  separated?: boolean;
}

export interface MenuProps {
  label: string;
  items: MenuItem[];
  icon?: ComponentChildren;
  children?: ComponentChildren;
  kind?: ButtonKind;
  small?: boolean;
}

export function Menu({ label, items, icon, children, kind = 'quiet', small }: MenuProps) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const list = useRef<HTMLDivElement>(null);
  const id = useId();
  const entries = () => [...(list.current?.querySelectorAll<HTMLElement>('[role=menuitem]') ?? [])];

  useLayoutEffect(() => {
    const button = root.current?.querySelector('button');
    const box = list.current;
    if (!open || !box || !button) return;
    // The top layer: no table or card can cut it off.
    box.showPopover();
    const at = button.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = box;
    const below = at.bottom + 4 + height <= window.innerHeight || at.top < height;
    box.style.top = `${Math.max(8, below ? at.bottom + 4 : at.top - 4 - height)}px`;
    box.style.left = `${Math.min(Math.max(8, at.right - width), window.innerWidth - width - 8)}px`;
    entries()[0]?.focus({ preventScroll: true });
  }, [open]);

  useEffect(() => {
    if (!open) return;
    const close = (event: Event) => {
      if (event.type === 'pointerdown' && root.current?.contains(event.target as Node)) return;
      setOpen(false);
    };
    document.addEventListener('pointerdown', close);
    window.addEventListener('resize', close);
    document.addEventListener('scroll', close, true);
    return () => {
      document.removeEventListener('pointerdown', close);
      window.removeEventListener('resize', close);
      document.removeEventListener('scroll', close, true);
    };
  }, [open]);

  const finish = () => {
    setOpen(false);
    root.current?.querySelector('button')?.focus({ preventScroll: true });
  };
  const key = (event: KeyboardEvent) => {
    const all = entries();
    const at = all.indexOf(document.activeElement as HTMLElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      all[(to + all.length) % all.length]?.focus();
    } else if (event.key === 'Escape') {
      event.preventDefault();
      event.stopPropagation();
      finish();
    } else if (event.key === 'Tab') {
      setOpen(false);
    }
  };

  return (
    <div class="menu" ref={root}>
      <Button kind={kind} small={small ?? false} icon={icon} aria-label={children ? undefined : label} aria-haspopup="menu" aria-expanded={open} aria-controls={open ? id : undefined} onClick={(event) => { event.stopPropagation(); setOpen(!open); }}>
        {children}
      </Button>
      {open && (
        <div class="menu-list" id={id} role="menu" aria-label={label} popover="manual" ref={list} onKeyDown={key} onClick={(event) => event.stopPropagation()}>
          {items.map((item) => (
            <button
              key={item.label}
              type="button"
              role="menuitem"
              tabIndex={-1}
              aria-disabled={item.disabled ? true : undefined}
              title={item.disabled || undefined}
              class={['menu-item', item.danger && 'menu-danger', item.separated && 'menu-separated'].filter(Boolean).join(' ')}
              onClick={() => { if (!item.disabled) { finish(); item.onSelect(); } }}
            >
              {item.icon}
              {item.label}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}
