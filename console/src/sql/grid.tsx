// Rows of a result. Only those that can be seen are drawn, so 100,000 rows scroll like ten.
//
// A grid as the ARIA pattern says: one cell has the focus, arrow keys move it, Enter shows its whole value, Ctrl+C copies it.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { CodeBlock, copyText } from '../ui/copy';
import { Dialog } from '../ui/dialog';
import { done, failed } from '../ui/toast';
import type { Cell } from './export';
import type { Column } from './run';

/** Height of a row, pixels, as in sql.css. */
const ROW = 28;
const HEAD = 44;
const OVERSCAN = 10;
/** The grid grows with its rows up to this, pixels. */
const MAX_HEIGHT = 520;
/** Rows that decide how wide columns are. */
const SAMPLED = 60;
const LETTER = 7.4;
const NARROW = 64;
const WIDE = 360;
/** Characters that a cell shows; all of them are behind Enter. */
const SHOWN = 300;

const NUMERIC = new Set(['int2', 'int4', 'int8', 'float4', 'float8', 'numeric', 'oid', 'money']);

function widths(columns: readonly Column[], rows: readonly (readonly Cell[])[]): number[] {
  return columns.map(({ name, type }, n) => {
    let letters = Math.max(name.length, type.length);
    for (const row of rows.slice(0, SAMPLED)) letters = Math.max(letters, Math.min(80, (row[n] ?? 'NULL').length));
    return Math.round(Math.min(WIDE, Math.max(NARROW, letters * LETTER + 26)));
  });
}

export function ResultGrid({ columns, rows, label }: { columns: readonly Column[]; rows: readonly (readonly Cell[])[]; label: string }) {
  const scroller = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [at, setAt] = useState({ row: 0, column: 0 });
  const [open, setOpen] = useState(false);
  // What came first decides: columns that change while rows come would be unreadable.
  const sampled = Math.min(rows.length, SAMPLED);
  const sizes = useMemo(() => widths(columns, rows), [columns, sampled]);
  const gutter = Math.max(40, String(rows.length).length * LETTER + 20);
  const template = `${gutter}px ${sizes.map((size) => `${size}px`).join(' ')}`;
  const width = gutter + sizes.reduce((sum, size) => sum + size, 0);
  const height = Math.min(MAX_HEIGHT, HEAD + Math.max(1, rows.length) * ROW + 14);
  const first = Math.max(0, Math.floor(top / ROW) - OVERSCAN);
  const last = Math.min(rows.length, Math.ceil((top + height) / ROW) + OVERSCAN);
  const value = rows[at.row]?.[at.column];

  useEffect(() => {
    setAt({ row: 0, column: 0 });
    setTop(0);
    if (scroller.current) scroller.current.scrollTop = 0;
  }, [columns]);

  const reveal = (row: number, column: number) => {
    const box = scroller.current;
    if (!box) return;
    const y = row * ROW;
    if (y < box.scrollTop) box.scrollTop = y;
    else if (y + ROW > box.scrollTop + height - HEAD - 14) box.scrollTop = y + ROW - (height - HEAD - 14);
    const x = gutter + sizes.slice(0, column).reduce((sum, size) => sum + size, 0);
    if (x - gutter < box.scrollLeft) box.scrollLeft = x - gutter;
    else if (x + (sizes[column] ?? 0) > box.scrollLeft + box.clientWidth) box.scrollLeft = x + (sizes[column] ?? 0) - box.clientWidth;
  };
  const go = (row: number, column: number) => {
    const to = { row: Math.min(rows.length - 1, Math.max(0, row)), column: Math.min(columns.length - 1, Math.max(0, column)) };
    setAt(to);
    reveal(to.row, to.column);
    // It may have to be drawn first.
    requestAnimationFrame(() => scroller.current?.querySelector<HTMLElement>('[data-here]')?.focus({ preventScroll: true }));
  };
  const copy = () => copyText(value ?? '').then(() => done(value === null ? 'NULL has no text: copied nothing' : 'Copied'), (error: unknown) => failed('Not copied', error));
  const key = (event: KeyboardEvent) => {
    const page = Math.max(1, Math.floor((height - HEAD) / ROW) - 1);
    const { row, column } = at;
    const end = event.ctrlKey || event.metaKey;
    const to: Record<string, [number, number]> = {
      ArrowDown: [row + 1, column], ArrowUp: [row - 1, column], ArrowRight: [row, column + 1], ArrowLeft: [row, column - 1],
      PageDown: [row + page, column], PageUp: [row - page, column], Home: [end ? 0 : row, 0], End: [end ? rows.length - 1 : row, columns.length - 1],
    };
    const next = to[event.key];
    if (next) {
      event.preventDefault();
      go(...next);
    } else if (event.key === 'Enter') {
      event.preventDefault();
      setOpen(true);
    } else if (event.key === 'c' && end && !window.getSelection()?.toString()) {
      event.preventDefault();
      void copy();
    }
  };

  return (
    <>
      <div class="grid-scroll" ref={scroller} style={{ height: `${height}px` }} onScroll={(event) => setTop(event.currentTarget.scrollTop)}>
        <div class="grid-all" role="grid" aria-label={label} aria-rowcount={rows.length + 1} aria-colcount={columns.length} style={{ width: `${width}px` }} onKeyDown={key}>
          <div class="grid-row grid-head" role="row" aria-rowindex={1} style={{ gridTemplateColumns: template }}>
            <div class="grid-gutter" aria-hidden="true" />
            {columns.map(({ name, type }, n) => (
              <div key={n} role="columnheader" aria-colindex={n + 1} class={NUMERIC.has(type) ? 'grid-number' : ''} title={type ? `${name} · ${type}` : name}>
                <span class="truncate">{name}</span><span class="grid-type truncate">{type || '\u00a0'}</span>
              </div>
            ))}
          </div>
          <div style={{ height: `${first * ROW}px` }} />
          {rows.slice(first, last).map((row, n) => {
            const index = first + n;
            return (
              <div key={index} class="grid-row" role="row" aria-rowindex={index + 2} style={{ gridTemplateColumns: template }}>
                <div class="grid-gutter" aria-hidden="true">{index + 1}</div>
                {row.map((cell, m) => {
                  const here = index === at.row && m === at.column;
                  return (
                    <div
                      key={m} role="gridcell" aria-colindex={m + 1} data-here={here || undefined} tabIndex={here ? 0 : -1}
                      class={['grid-cell', cell === null && 'grid-null', NUMERIC.has(columns[m]?.type ?? '') && 'grid-number'].filter(Boolean).join(' ')}
                      onFocus={() => setAt({ row: index, column: m })} onDblClick={() => setOpen(true)}
                    >
                      {cell === null ? 'NULL' : cell.length > SHOWN ? `${cell.slice(0, SHOWN)}…` : cell}
                    </div>
                  );
                })}
              </div>
            );
          })}
          <div style={{ height: `${(rows.length - last) * ROW}px` }} />
        </div>
      </div>
      {open && value !== undefined && (
        <Dialog wide title={<>{columns[at.column]?.name} <span class="muted small">{columns[at.column]?.type} · row {at.row + 1}</span></>} onClose={() => { setOpen(false); go(at.row, at.column); }}>
          {value === null ? <p class="muted">NULL: there is no value.</p> : <CodeBlock text={pretty(value, columns[at.column]?.type ?? '')} copy={value} label="value" />}
        </Dialog>
      )}
    </>
  );
}

/** JSON with line breaks, as long as that loses nothing. */
function pretty(value: string, type: string): string {
  if (type !== 'json' && type !== 'jsonb') return value;
  try {
    const text = JSON.stringify(JSON.parse(value), null, 2);
    // A number with more digits than a float has would change.
    return text.replace(/\s/g, '') === value.replace(/\s/g, '') ? text : value;
  } catch {
    return value;
  }
}
