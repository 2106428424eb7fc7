// The lines and the dot of one row. Rows are drawn one by one and fit together, so a thousand cost no more than those
// that can be seen.
import type { Row } from './tree';

/** Of one level, px. On narrow screens levels are closer. */
const STEP = 22;
const STEP_NARROW = 14;
/** Deeper levels stand on top of each other. */
const MAX_LEVELS = 12;
const MAX_LEVELS_NARROW = 6;
const HEIGHT = 44;
const DOT = 5;

export function Picture({ row, state, narrow }: { row: Row; state: string | undefined; narrow: boolean }) {
  const step = narrow ? STEP_NARROW : STEP;
  const most = narrow ? MAX_LEVELS_NARROW : MAX_LEVELS;
  const level = Math.min(row.level, most);
  const x = (of: number) => 10 + Math.min(of, most) * step;
  const middle = HEIGHT / 2;
  const parent = x(row.level - 1);
  const own = x(row.level);
  return (
    <svg class="tree-picture" width={x(level) + 12} height={HEIGHT} aria-hidden="true">
      {row.rails.map((goesOn, n) => goesOn && n < most && <path key={n} d={`M${x(n)} 0V${HEIGHT}`} />)}
      {row.level > 0 && own > parent && <path d={`M${parent} 0V${middle - 8}q0 8 8 8H${own - DOT}`} />}
      {row.level > 0 && !row.last && <path d={`M${parent} ${middle - 8}V${HEIGHT}`} />}
      {row.open && <path d={`M${own} ${middle}V${HEIGHT}`} />}
      <circle cx={own} cy={middle} r={row.branch.default ? DOT + 1.5 : DOT} class={`tree-dot tree-dot-${state ?? 'none'}`} />
    </svg>
  );
}
