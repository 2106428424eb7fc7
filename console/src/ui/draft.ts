// What somebody is changing, beside what is saved. A change that comes from elsewhere is taken over as long as nothing was
// changed here; what somebody typed is never lost to it.
import { useRef, useState } from 'preact/hooks';

export interface Draft<T> {
  value: T;
  set: (value: T) => void;
  changed: boolean;
  reset: () => void;
}

/** The draft after `given` has changed from `before`: pure, for the hook below. */
export function follow<T>(draft: T, before: T, given: T): T {
  return same(draft, before) ? given : draft;
}

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

export function useDraft<T>(given: T): Draft<T> {
  const [value, set] = useState(given);
  const before = useRef(given);
  let now = value;
  if (!same(before.current, given)) {
    now = follow(value, before.current, given);
    before.current = given;
    if (!same(now, value)) set(now);
  }
  return { value: now, set, changed: !same(now, given), reset: () => set(given) };
}
