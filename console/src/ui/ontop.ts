// Puts an element above everything, modal dialogs too: the browser's top layer shows what came last on top.
import { useLayoutEffect, useRef } from 'preact/hooks';

/** For an element with `popover="manual"`. `news` changes whenever a dialog may have been opened, or something was said. */
export function useOnTop(element: { current: HTMLElement | null }, shown: boolean, news: unknown): void {
  const over = useRef<Element | null>(null);
  const said = useRef(element.current);
  useLayoutEffect(() => {
    const box = element.current;
    if (!shown || !box) {
      said.current = null;
      return;
    }
    const all = document.querySelectorAll('dialog:modal');
    const top = all[all.length - 1] ?? null;
    if (said.current === box && over.current === top && box.matches(':popover-open')) return;
    said.current = box;
    over.current = top;
    if (box.matches(':popover-open')) box.hidePopover();
    box.showPopover();
  }, [element, shown, news]);
}
