// A modal dialog: the browser's own <dialog>, which keeps the focus inside, closes with Escape and gives the focus back.
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef } from 'preact/hooks';
import { Button } from './button';
import { Close } from './icons';
import './dialog.css';

export interface DialogProps {
  title: ComponentChildren;
  onClose: () => void;
  children: ComponentChildren;
  /** Buttons, the main one last. */
  footer?: ComponentChildren;
  /** Called on Enter in a field and by a submit button: then the dialog is a form. */
  onSubmit?: () => void;
  wide?: boolean;
}

/** Mount it to open it. */
export function Dialog({ title, onClose, children, footer, onSubmit, wide }: DialogProps) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  const close = useRef(onClose);
  close.current = onClose;
  useEffect(() => {
    const dialog = ref.current;
    if (!dialog) return;
    const before = document.activeElement as HTMLElement | null;
    dialog.showModal();
    const first = dialog.querySelector<HTMLElement>('[data-autofocus], .dialog-body input:not([type=hidden]), .dialog-body select, .dialog-body textarea');
    first?.focus();
    return () => {
      dialog.close();
      if (before?.isConnected) before.focus();
    };
  }, []);
  const body = (
    <>
      <header class="dialog-head">
        <h2 id={id}>{title}</h2>
        <Button kind="quiet" small icon={<Close />} aria-label="Close" onClick={onClose} />
      </header>
      <div class="dialog-body stack">{children}</div>
      {footer && <footer class="dialog-foot">{footer}</footer>}
    </>
  );
  return (
    <dialog
      ref={ref}
      class={wide ? 'dialog dialog-wide' : 'dialog'}
      aria-labelledby={id}
      onCancel={(event) => { event.preventDefault(); close.current(); }}
      onMouseDown={(event) => { if (event.target === ref.current) close.current(); }}
    >
      {onSubmit ? <form class="dialog-frame" onSubmit={(event) => { event.preventDefault(); onSubmit(); }}>{body}</form> : <div class="dialog-frame">{body}</div>}
    </dialog>
  );
}
