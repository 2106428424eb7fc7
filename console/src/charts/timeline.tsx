// What an endpoint did, as a band: the height of a stretch tells its state without colour.
//
//   ████ active (whole height)   ▄▄▄▄ paused (half, hatched)   ▁▁▁▁ stopped (a line)   ░░░░ waking or stopping   ··· not known
//
// Wakes are ticks above the band, crashes and changes of size marks below. The cursor goes from stretch to stretch, and
// for one that began with a wake it shows where the time went.
import { useId, useMemo, useState } from 'preact/hooks';
import { duration, words } from '../ui/format';
import { ShareBar } from './bars';
import { fine } from './format';
import { DataTable, TipBox, useWidth, type Tip } from './plot';
import { linear } from './scale';
import { wakeOf, type Span, type State, type Timeline, type Wake } from './states';
import { fullTime, timeTicks } from './time';
import { Button } from '../ui/button';
import { Grid, ListIcon } from '../ui/icons';
import './charts.css';

const HEIGHT = 108;
const BAND = { top: 26, bottom: 78 };
const X_LABEL = 76;

const NAMES: Record<State, string> = { unknown: 'Not recorded', stopped: 'Asleep', starting: 'Waking', active: 'Active', paused: 'Paused', stopping: 'Stopping' };

/** Share of the band's height. */
const HEIGHTS: Record<State, number> = { unknown: 0.06, stopped: 0.06, starting: 1, active: 1, paused: 0.45, stopping: 1 };

/** Why it woke or fell asleep, as people say it. */
const REASONS: Record<string, string> = {
  client: 'a client came', request: 'somebody asked for it', schedule: 'the schedule', heal: 'to recover from a crash',
  keep_warm: 'a keep-warm window', idle: 'nothing to do', pressure: 'memory was short', shutdown: 'the server stopped', quota: 'a quota was used up',
  cpu: 'CPU was busy', pool_wait: 'clients waited', memory: 'memory was short', bounds: 'its bounds were changed',
};

export const reasonWords = (reason: unknown): string => (typeof reason === 'string' ? REASONS[reason] ?? words(reason) : '');

/** Colours of the phases of a wake, by their order. */
const PHASE_COLOURS = [5, 2, 3, 1, 4, 6, 7];

export const phaseShares = (wake: Wake) => wake.phases.map(({ name, ms }, n) => ({ name, value: ms, colour: PHASE_COLOURS[n] ?? 1 }));

/** Where the time of a wake went: a bar, and words below it. */
export function Phases({ wake, scale }: { wake: Wake; scale?: number }) {
  const shares = phaseShares(wake);
  return (
    <div class="phases">
      <ShareBar shares={shares} format={fine} label="Phases of the wake" scale={scale} />
      <ul class="legend">
        {shares.filter(({ value }) => value >= 0.05).map(({ name, value, colour }) => <li key={name}><span class={`swatch s${colour}`} />{name} <b>{fine(value)}</b></li>)}
      </ul>
    </div>
  );
}

function tipOf(span: Span): Tip {
  const { event } = span;
  const wake = event ? wakeOf(event) : null;
  const rows: Tip['rows'] = [{ name: 'For', value: duration((span.to - span.from) / 1000) }];
  if (wake) rows.push({ name: wake.kind === 'thawed' ? 'Thawed in' : 'Woke in', value: fine(wake.total) });
  const reason = reasonWords(wake ? wake.cause : event?.detail.reason);
  if (reason) rows.push({ name: 'Because', value: reason });
  return { title: `${NAMES[span.state]}, from ${fullTime(span.from, 'en-GB')}`, rows, more: wake && wake.kind === 'woke' && <Phases wake={wake} /> };
}

export function StateTimeline({ timeline, from, to, title }: { timeline: Timeline; from: number; to: number; title: string }) {
  const [box, width] = useWidth<HTMLDivElement>();
  // A moment, not a number of a stretch: stretches come and go while somebody looks.
  const [moment, setMoment] = useState<number | null>(null);
  const [focused, setFocused] = useState(false);
  const [asTable, setAsTable] = useState(false);
  const id = useId();
  const { spans, wakes, marks } = timeline;
  const at = moment === null ? -1 : spans.findIndex((one) => moment >= one.from && moment < one.to);
  const setAt = (index: number) => {
    const one = spans[index];
    setMoment(one ? (one.from + one.to) / 2 : null);
  };
  const x = useMemo(() => linear([from, to], [1, Math.max(2, width - 1)]), [from, to, width]);
  const ticks = width > 0 ? timeTicks(from, to, Math.max(1, Math.floor(width / X_LABEL)), 'en-GB') : [];
  const span = spans[at];
  const find = (event: PointerEvent) => {
    const rect = box.current?.getBoundingClientRect();
    if (!rect) return;
    const t = x.invert(event.clientX - rect.left);
    // What is thinner than a finger is found by coming near it.
    const slack = (to - from) / Math.max(1, width) * 3;
    const near = spans.findIndex((one) => one.state === 'starting' && t >= one.from - slack && t <= one.to + slack);
    setAt(near >= 0 ? near : spans.findIndex((one) => t >= one.from && t < one.to));
  };
  const key = (event: KeyboardEvent) => {
    const last = spans.length - 1;
    const next = { ArrowRight: at + 1, ArrowLeft: at < 0 ? last : at - 1, Home: 0, End: last }[event.key];
    if (event.key === 'Escape') return setAt(-1);
    if (next === undefined || last < 0) return;
    event.preventDefault();
    setAt(Math.min(last, Math.max(0, next)));
  };
  const tip = span ? tipOf(span) : null;
  const middle = span ? Math.min(width - 4, Math.max(4, x((span.from + span.to) / 2))) : 0;
  return (
    <figure class="chart" aria-labelledby={id}>
      <figcaption class="chart-head">
        <h3 id={id}>{title}</h3>
        <span class="grow" />
        <ul class="legend">
          {(['active', 'paused', 'stopped', 'starting'] as const).map((state) => <li key={state}><span class={`state-swatch band-${state}`} />{NAMES[state]}</li>)}
        </ul>
        <Button kind="quiet" small icon={asTable ? <Grid /> : <ListIcon />} aria-pressed={asTable} aria-label={`${title} as a table`} title="Show the stretches as a table" onClick={() => setAsTable(!asTable)} />
      </figcaption>
      <div class="chart-body" style={{ height: `${HEIGHT}px` }}>
        {asTable ? (
          <DataTable label={title} head={['From', 'State', 'For', 'Woke in', 'Because']} rows={[...spans].reverse().map((one) => {
            const wake = one.event && (one.state === 'active' || one.state === 'starting') ? wakeOf(one.event) : null;
            return [fullTime(one.from, 'en-GB'), NAMES[one.state], duration((one.to - one.from) / 1000), wake ? fine(wake.total) : '', reasonWords(one.event?.detail.cause ?? one.event?.detail.reason)];
          })} />
        ) : (
          <div class="chart-drawing" ref={box} onPointerMove={find} onPointerDown={find} onPointerLeave={() => { if (!focused) setAt(-1); }}>
            <svg width={width} height={HEIGHT} role="img" tabIndex={0} aria-label={`${title}: ${summary(spans)}. Arrow keys go from stretch to stretch.`} onKeyDown={key} onFocus={() => setFocused(true)} onBlur={() => { setFocused(false); setAt(-1); }}>
              <title>{title}</title>
              <defs>
                <pattern id={`${id}-h`} width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
                  <rect class="hatch-ground" width="6" height="6" /><rect class="hatch-line" width="2" height="6" />
                </pattern>
              </defs>
              {width > 0 && (
                <>
                  <rect class="band-ground" x="0" width={width} y={BAND.top} height={BAND.bottom - BAND.top} rx="4" />
                  {ticks.map((tick) => {
                    const place = x(tick.at);
                    return (
                      <g key={tick.at}>
                        <line class="grid" x1={place} x2={place} y1={BAND.top} y2={BAND.bottom + 4} />
                        <text class={tick.major ? 'tick tick-major' : 'tick'} x={place} y={HEIGHT - 8} text-anchor={place > width - 24 ? 'end' : place < 20 ? 'start' : 'middle'}>{tick.label}</text>
                      </g>
                    );
                  })}
                  {spans.map((one, n) => {
                    const height = (BAND.bottom - BAND.top) * HEIGHTS[one.state];
                    const left = x(one.from);
                    return <rect key={n} class={`band-${one.state}${at >= 0 && at !== n ? ' band-faint' : ''}`} x={left} width={Math.max(1.5, x(one.to) - left)} y={BAND.bottom - height} height={height} fill={one.state === 'paused' ? `url(#${id}-h)` : undefined} />;
                  })}
                  {wakes.map((wake) => <path key={`${wake.at}-${wake.total}`} class={wake.kind === 'woke' ? 'wake-mark' : 'wake-mark wake-thaw'} d={`M${x(wake.at) - 4} 10h8l-4 8z`} />)}
                  {marks.map((mark, n) => <circle key={n} class={mark.bad ? 'event-mark event-bad' : 'event-mark'} cx={x(mark.at)} cy={BAND.bottom + 9} r={mark.bad ? 4 : 2.5}><title>{`${fullTime(mark.at, 'en-GB')}: ${mark.text}`}</title></circle>)}
                  {span && <rect class="band-cursor" x={Math.max(0.5, x(span.from) - 1)} width={Math.max(3, Math.min(width - 0.5, x(span.to)) - x(span.from) + 2)} y={BAND.top - 3} height={BAND.bottom - BAND.top + 6} rx="3" />}
                </>
              )}
            </svg>
            {tip && width > 0 && <TipBox tip={tip} x={middle} width={width} />}
            <p class="sr" aria-live="polite">{focused && tip ? `${tip.title}: ${tip.rows.map((row) => `${row.name} ${row.value}`).join(', ')}` : ''}</p>
          </div>
        )}
      </div>
    </figure>
  );
}

function summary(spans: readonly Span[]): string {
  const active = spans.filter(({ state }) => state === 'active').reduce((sum, one) => sum + one.to - one.from, 0);
  const whole = spans.reduce((sum, one) => sum + one.to - one.from, 0);
  return whole > 0 ? `active for ${duration(active / 1000)} of ${duration(whole / 1000)}` : 'nothing known';
}
