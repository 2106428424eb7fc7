// Which rows of a long list of equal rows can be seen in the window; only those are drawn. The page scrolls, not the list.
import { useLayoutEffect, useRef, useState } from 'preact/hooks';

/** Shorter lists are drawn as a whole. */
export const WINDOW_FROM = 120;
const OVERSCAN = 8;

export interface Windowed {
  from: number;
  to: number;
  /** Room for the rows that are not drawn, px. */
  before: number;
  after: number;
  /** Scrolls so that a row can be seen, even one that is not drawn. */
  reveal: (index: number) => void;
}

/** `row` finds a drawn row within the list, to measure it. `top` px at the upper edge are covered by the top bar. */
export function useWindowed(list: { current: HTMLElement | null }, length: number, row: string, top = 96): Windowed {
  const [range, setRange] = useState({ from: 0, to: WINDOW_FROM });
  const height = useRef(40);
  const windowed = length > WINDOW_FROM;
  useLayoutEffect(() => {
    if (!windowed) return;
    const look = () => {
      const box = list.current?.getBoundingClientRect();
      if (!box) return;
      const drawn = list.current?.querySelector<HTMLElement>(row);
      if (drawn?.offsetHeight) height.current = drawn.offsetHeight;
      const from = Math.min(length, Math.max(0, Math.floor(-box.top / height.current) - OVERSCAN));
      const to = Math.max(from, Math.min(length, Math.ceil((window.innerHeight - box.top) / height.current) + OVERSCAN));
      setRange((old) => (old.from === from && old.to === to ? old : { from, to }));
    };
    look();
    window.addEventListener('scroll', look, { passive: true });
    window.addEventListener('resize', look);
    return () => {
      window.removeEventListener('scroll', look);
      window.removeEventListener('resize', look);
    };
  }, [windowed, length, row]);
  const from = windowed ? Math.min(range.from, length) : 0;
  const to = windowed ? Math.min(range.to, length) : length;
  return {
    from,
    to,
    before: from * height.current,
    after: (length - to) * height.current,
    reveal(index) {
      const box = list.current?.getBoundingClientRect();
      if (!box) return;
      const y = box.top + index * height.current;
      if (y < top) window.scrollTo({ top: window.scrollY + y - top });
      else if (y + height.current > window.innerHeight) window.scrollTo({ top: window.scrollY + y + height.current - window.innerHeight + 16 });
    },
  };
}
