// The frame of every plot: axes, legend, cursor, words for screen readers, and the same figures as a table.
//
//   title                      [table]
//   ■ one  ■ two
//  100 ┤                    ╷ ┌──────────┐      pointer, touch and arrow keys move the cursor;
//   50 ┤      ╱╲___         │ │ 05:40:10 │      plots that share a `cursor` move together
//    0 ┼────────────────────┴─│ one  42 %│
//       05:30       05:40     └──────────┘
//
// It has its height from the start, so nothing moves when the data comes, and draws anew when its width changes.
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { createStore, useStore, type Store } from '../api/store';
import { Button } from '../ui/button';
import { Skeleton } from '../ui/feedback';
import { Grid, ListIcon } from '../ui/icons';
import { linear, type Axis, type Scale } from './scale';
import { nearest } from './series';
import './charts.css';

/** Where a plot's cursor is, on its x axis; `null`: nowhere. */
export type Cursor = Store<number | null>;

/** For plots that move together. */
export const createCursor = (): Cursor => createStore<number | null>(null);

export interface LegendEntry {
  name: string;
  /** 1 to 6, as in tokens.css. */
  colour: number;
}

export interface Tip {
  title: string;
  rows: { name: string; value: string; colour?: number | undefined }[];
  more?: ComponentChildren;
}

/** What drawing needs to know. */
export interface Frame {
  x: Scale;
  y: Scale;
  left: number;
  right: number;
  top: number;
  bottom: number;
  /** Which of the stops the cursor is at; −1: none. */
  at: number;
}

export interface PlotProps {
  title: string;
  /** One line that says what is to be seen, for screen readers. */
  summary?: string;
  /** Height of the drawing, pixels. */
  height?: number;
  legend?: LegendEntry[];
  /** What the x axis covers. */
  domain: readonly [number, number];
  xTicks: (count: number) => { at: number; label: string; major?: boolean }[];
  axis: Axis;
  format: (value: number) => string;
  /** Where the cursor can be, in order. */
  stops: readonly { t: number }[];
  tip: (index: number) => Tip | null;
  table: () => { head: string[]; rows: string[][] };
  draw: (frame: Frame) => JSX.Element;
  cursor?: Cursor | undefined;
  /** There are no data yet. */
  loading?: boolean;
  /** There are none: what stands instead. */
  nothing?: string | undefined;
  /** Beside the title. */
  aside?: ComponentChildren;
  /** The largest y label is about so wide, pixels. */
  labelWidth?: number;
}

const TOP = 8;
const BOTTOM = 22;
const RIGHT = 10;
/** About one letter of an axis label, pixels. */
const LETTER = 6.4;
/** Room for one time label, pixels. */
const X_LABEL = 76;
/** Rows of the table that are drawn; more is for the API. */
const MAX_TABLE_ROWS = 500;

/** The width of an element, kept up to date; 0 until it is known. */
export function useWidth<E extends Element>(): [{ current: E | null }, number] {
  const ref = useRef<E>(null);
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const element = ref.current;
    if (!element) return;
    const measure = () => setWidth(Math.floor(element.getBoundingClientRect().width));
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [ref, width];
}

export function Plot(props: PlotProps) {
  const { title, summary, height = 176, legend, axis, format, loading, nothing, aside } = props;
  const [asTable, setAsTable] = useState(false);
  const id = useId();
  const empty = loading || nothing !== undefined;
  return (
    <figure class="chart" aria-labelledby={id}>
      <figcaption class="chart-head">
        <h3 id={id}>{title}</h3>
        {aside}
        <span class="grow" />
        {!empty && <Button kind="quiet" small icon={asTable ? <Grid /> : <ListIcon />} aria-pressed={asTable} aria-label={`${title} as a table`} title="Show the figures as a table" onClick={() => setAsTable(!asTable)} />}
      </figcaption>
      {legend && <Legend entries={legend} />}
      <div class="chart-body" style={{ height: `${height}px` }}>
        {loading ? <div class="chart-nothing" role="status" aria-label="Loading"><Skeleton height="60%" /></div>
          : nothing !== undefined ? <div class="chart-nothing"><p>{nothing}</p></div>
          : asTable ? <DataTable label={title} {...props.table()} />
          : <Drawing {...props} height={height} label={summary ? `${title}. ${summary}` : title} axis={axis} format={format} />}
      </div>
    </figure>
  );
}

export function Legend({ entries }: { entries: LegendEntry[] }) {
  return (
    <ul class="legend" aria-label="Legend">
      {entries.map(({ name, colour }) => <li key={name}><span class={`swatch s${colour}`} />{name}</li>)}
    </ul>
  );
}

/** The figures as rows, in the room of the drawing. */
export function DataTable({ label, head, rows }: { label: string; head: string[]; rows: string[][] }) {
  return (
    <div class="chart-table" tabIndex={0} role="region" aria-label={`${label}, figures`}>
      <table>
        <thead><tr>{head.map((name, n) => <th key={n} scope="col">{name}</th>)}</tr></thead>
        <tbody>
          {rows.slice(0, MAX_TABLE_ROWS).map((row, n) => <tr key={n}>{row.map((cell, m) => (m === 0 ? <th key={m} scope="row">{cell}</th> : <td key={m}>{cell}</td>))}</tr>)}
        </tbody>
      </table>
      {rows.length > MAX_TABLE_ROWS && <p class="small faint">{rows.length - MAX_TABLE_ROWS} more rows</p>}
    </div>
  );
}

function Drawing({ label, height, axis, format, domain, xTicks, stops, tip, draw, cursor, labelWidth }: PlotProps & { label: string; height: number }) {
  const [box, width] = useWidth<HTMLDivElement>();
  const own = useMemo(createCursor, []);
  const shared = cursor ?? own;
  const place = useStore(shared);
  const [focused, setFocused] = useState(false);
  const at = place === null ? -1 : nearest(stops, place);
  const labels = axis.ticks.map(format);
  const left = labelWidth ?? Math.ceil(Math.max(...labels.map((text) => text.length)) * LETTER) + 12;
  const frame: Frame = {
    left, right: Math.max(left + 1, width - RIGHT), top: TOP, bottom: height - BOTTOM, at,
    x: linear(domain, [left, Math.max(left + 1, width - RIGHT)]),
    y: linear(axis.domain, [height - BOTTOM, TOP]),
  };
  const ticks = width > 0 ? xTicks(Math.max(1, Math.floor((frame.right - left) / X_LABEL))) : [];
  const shown = at >= 0 ? tip(at) : null;
  const move = (event: PointerEvent) => {
    const rect = box.current?.getBoundingClientRect();
    if (!rect || stops.length === 0) return;
    const stop = stops[nearest(stops, frame.x.invert(event.clientX - rect.left))];
    if (stop) shared.set(stop.t);
  };
  const key = (event: KeyboardEvent) => {
    const last = stops.length - 1;
    const to = { ArrowRight: at + 1, ArrowLeft: at < 0 ? last : at - 1, Home: 0, End: last, PageDown: at + 10, PageUp: at - 10 }[event.key];
    if (event.key === 'Escape' && at >= 0) return shared.set(null);
    if (to === undefined || last < 0) return;
    event.preventDefault();
    shared.set(stops[Math.min(last, Math.max(0, to))]?.t ?? null);
  };
  useEffect(() => () => { if (shared !== own) shared.set(null); }, [shared, own]);
  const stop = at >= 0 ? stops[at] : undefined;
  const cursorX = stop ? Math.min(frame.right, Math.max(frame.left, frame.x(stop.t))) : 0;
  return (
    <div
      class="chart-drawing"
      ref={box}
      onPointerMove={move}
      onPointerDown={move}
      onPointerLeave={() => { if (!focused) shared.set(null); }}
    >
      <svg
        width={width} height={height} role="img" aria-label={label} tabIndex={0}
        onKeyDown={key} onFocus={() => setFocused(true)} onBlur={() => { setFocused(false); shared.set(null); }}
      >
        <title>{label}</title>
        {width > 0 && (
          <>
            {axis.ticks.map((tick, n) => (
              <g key={tick}>
                <line class={tick === 0 ? 'grid grid-zero' : 'grid'} x1={frame.left} x2={frame.right} y1={Math.round(frame.y(tick)) + 0.5} y2={Math.round(frame.y(tick)) + 0.5} />
                <text class="tick" x={frame.left - 8} y={frame.y(tick)} dy="0.32em" text-anchor="end">{labels[n]}</text>
              </g>
            ))}
            {ticks.map((tick) => {
              const x = frame.x(tick.at);
              if (x < frame.left - 1 || x > frame.right + 1) return null;
              // A label at the edge leans inside.
              const anchor = x > frame.right - 24 ? 'end' : x < frame.left + 8 ? 'start' : 'middle';
              return <text key={tick.at} class={tick.major ? 'tick tick-major' : 'tick'} x={x} y={height - 6} text-anchor={anchor}>{tick.label}</text>;
            })}
            {draw(frame)}
            {stop && <line class="cursor" x1={cursorX} x2={cursorX} y1={frame.top} y2={frame.bottom} />}
          </>
        )}
      </svg>
      {shown && width > 0 && <TipBox tip={shown} x={cursorX} width={width} />}
      <p class="sr" aria-live="polite">{focused && shown ? `${shown.title}: ${shown.rows.map((row) => `${row.name} ${row.value}`).join(', ')}` : ''}</p>
    </div>
  );
}

/** The box beside the cursor. It stays within the plot, on the side where there is room. */
export function TipBox({ tip, x, width }: { tip: Tip; x: number; width: number }) {
  const onLeft = x > width / 2;
  const style = onLeft ? { right: `${width - x + 10}px` } : { left: `${x + 10}px` };
  return (
    <div class="tip" style={style} aria-hidden="true">
      <p class="tip-title">{tip.title}</p>
      {tip.rows.map((row) => (
        <p key={row.name} class="tip-row">
          {row.colour !== undefined && <span class={`swatch s${row.colour}`} />}
          <span class="grow truncate">{row.name}</span>
          <b>{row.value}</b>
        </p>
      ))}
      {tip.more}
    </div>
  );
}
