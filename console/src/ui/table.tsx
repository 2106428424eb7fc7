// Rows and columns. A row that leads somewhere is reached with the arrow keys and opened with Enter; its first cell is a
// real link, so a middle click and a screen reader work as well. Long lists draw only what is on the screen.
//
//   wide: a table        phone: the same table scrolls inside its frame, or columns marked `wide` are left out
import type { ComponentChildren } from 'preact';
import { useMemo, useRef, useState } from 'preact/hooks';
import { navigate } from '../app/router';
import { ChevronDown } from './icons';
import { SkeletonRows } from './feedback';
import { useWindowed } from './windowed';
import './table.css';

export interface Column<T> {
  key: string;
  title: string;
  render: (row: T) => ComponentChildren;
  /** Sorts by this when its head is pressed. */
  sort?: (row: T) => string | number;
  /** Figures stand at the right. */
  numeric?: boolean;
  /** A CSS width. Columns without one share what is left. */
  width?: string;
  /** Left out on narrow screens. */
  wide?: boolean;
}

export interface TableProps<T> {
  /** What the table shows, for screen readers. */
  label: string;
  columns: Column<T>[];
  rows: T[] | undefined;
  rowKey: (row: T) => string;
  /** Where a row leads. */
  href?: (row: T) => string;
  /** What stands instead of no rows. */
  empty: ComponentChildren;
  /** The first order: a column's key, `-key` for the largest first. Absent: as given. */
  order?: string;
  /** Rows of the skeleton. */
  expected?: number;
}

function sorted<T>(rows: T[], columns: Column<T>[], order: string): T[] {
  const down = order.startsWith('-');
  const by = columns.find((column) => column.key === (down ? order.slice(1) : order))?.sort;
  if (!by) return rows;
  const sign = down ? -1 : 1;
  return rows
    .map((row) => ({ row, value: by(row) }))
    .sort((a, b) => sign * (typeof a.value === 'string' ? a.value.localeCompare(String(b.value), 'en', { numeric: true }) : a.value - Number(b.value)))
    .map(({ row }) => row);
}

export function Table<T>({ label, columns, rows, rowKey, href, empty, order: first = '', expected = 5 }: TableProps<T>) {
  const [order, setOrder] = useState(first);
  const [at, setAt] = useState(0);
  const body = useRef<HTMLTableSectionElement>(null);
  const all = useMemo(() => sorted(rows ?? [], columns, order), [rows, order, columns]);
  const view = useWindowed(body, all.length, 'tr[data-index]');
  if (rows === undefined) return <div class="table-frame"><SkeletonRows rows={expected + 1} /></div>;
  if (rows.length === 0) return <div class="table-frame">{empty}</div>;

  const focusRow = (index: number) => {
    const to = Math.min(Math.max(index, 0), all.length - 1);
    setAt(to);
    view.reveal(to);
    requestAnimationFrame(() => body.current?.querySelector<HTMLElement>(`tr[data-index="${to}"]`)?.focus());
  };
  const key = (event: KeyboardEvent, index: number, row: T) => {
    // Buttons inside of a row have keys of their own.
    if ((event.target as HTMLElement).tagName !== 'TR') return;
    const to = { ArrowDown: index + 1, ArrowUp: index - 1, Home: 0, End: all.length - 1, PageDown: index + 10, PageUp: index - 10 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      focusRow(to);
    } else if (event.key === 'Enter' && href) {
      event.preventDefault();
      navigate(href(row));
    }
  };
  const open = (event: MouseEvent, row: T) => {
    if (!href || (event.target as HTMLElement).closest('a, button, input, label') || window.getSelection()?.toString()) return;
    navigate(href(row));
  };

  return (
    <div class="table-frame table-scroll" tabIndex={-1}>
      <table class={`table${href ? ' table-links' : ''}`} aria-label={label} aria-rowcount={all.length + 1}>
        <thead>
          <tr>
            {columns.map((column) => {
              const sign = order === column.key ? 'ascending' : order === `-${column.key}` ? 'descending' : undefined;
              return (
                <th key={column.key} scope="col" style={column.width ? { width: column.width } : undefined} class={cell(column)} aria-sort={sign}>
                  {column.sort ? (
                    <button type="button" onClick={() => setOrder(order === column.key ? `-${column.key}` : column.key)}>
                      {column.title}
                      <ChevronDown size={12} class={`sort${sign ? ' sort-on' : ''}${sign === 'ascending' ? ' sort-up' : ''}`} />
                    </button>
                  ) : column.title || <span class="sr">Actions</span>}
                </th>
              );
            })}
          </tr>
        </thead>
        <tbody ref={body}>
          {view.before > 0 && <tr class="table-gap" aria-hidden="true"><td colSpan={columns.length} style={{ height: `${view.before}px` }} /></tr>}
          {all.slice(view.from, view.to).map((row, n) => {
            const index = view.from + n;
            return (
              <tr
                key={rowKey(row)}
                data-index={index}
                aria-rowindex={index + 2}
                tabIndex={href ? (index === Math.min(at, all.length - 1) ? 0 : -1) : undefined}
                onFocus={href ? () => setAt(index) : undefined}
                onKeyDown={href ? (event) => key(event, index, row) : undefined}
                onClick={href ? (event) => open(event, row) : undefined}
              >
                {columns.map((column) => <td key={column.key} class={cell(column)}>{column.render(row)}</td>)}
              </tr>
            );
          })}
          {view.after > 0 && <tr class="table-gap" aria-hidden="true"><td colSpan={columns.length} style={{ height: `${view.after}px` }} /></tr>}
        </tbody>
      </table>
    </div>
  );
}

function cell<T>(column: Column<T>): string | undefined {
  return [column.numeric && 'num', column.wide && 'wide-only', column.title === '' && 'actions'].filter(Boolean).join(' ') || undefined;
}
