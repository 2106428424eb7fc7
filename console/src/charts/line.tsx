// Lines over time: one or a few series, with gaps where nothing was measured. A single one is filled.
import { useMemo } from 'preact/hooks';
import { valueAxis } from './scale';
import { extent, nearest, segments, thin, times, usualGap, type Known, type Series } from './series';
import { Plot, type Cursor, type Frame } from './plot';
import { fullTime, timeTicks } from './time';

export interface LineChartProps {
  title: string;
  series: readonly Series[];
  /** What the time axis covers, milliseconds since 1970. */
  from: number;
  to: number;
  format: (value: number) => string;
  height?: number;
  /** Round numbers in powers of two. */
  binary?: boolean;
  /** The axis reaches at least so far. */
  least?: number;
  /** Points further apart than this, milliseconds, are not joined; found out from the points when absent. */
  gap?: number;
  /** A line across, such as a limit. */
  limits?: { value: number; label: string }[];
  cursor?: Cursor | undefined;
  loading?: boolean;
  /** What stands where there is nothing to draw. */
  nothing?: string;
  aside?: preact.ComponentChildren;
}

/** Two points for each pixel are enough. */
const MAX_POINTS = 800;

function path(run: readonly Known[], frame: Frame): string {
  return run.map(({ t, v }, n) => `${n === 0 ? 'M' : 'L'}${frame.x(t).toFixed(1)} ${frame.y(v).toFixed(1)}`).join('');
}

export function LineChart({ title, series, from, to, format, height, binary, least, gap, limits = [], cursor, loading, nothing = 'Nothing was measured in this time.', aside }: LineChartProps) {
  const range = useMemo(() => extent(series), [series]);
  const stops = useMemo(() => times(series).map((t) => ({ t })), [series]);
  const runs = useMemo(() => series.map(({ points }) => segments(points, gap ?? usualGap(points)).map((run) => thin(run, MAX_POINTS / 2))), [series, gap]);
  const top = Math.max(least ?? 0, ...limits.map(({ value }) => value));
  const axis = valueAxis(range?.[0] ?? 0, range?.[1] ?? 1, { binary: binary ?? false, least: top });
  const colour = (n: number) => (series[n]?.colour ?? (n % 6) + 1);
  const single = series.length === 1;
  const valueAt = (n: number, t: number): number | null => {
    const points = series[n]?.points ?? [];
    const point = points[nearest(points, t)];
    return point && point.t === t ? point.v : null;
  };
  const words = (value: number | null) => (value === null ? '–' : format(value));
  return (
    <Plot
      title={title}
      summary={range ? `Between ${format(range[0])} and ${format(range[1])}. Arrow keys read single values.` : ''}
      {...(height ? { height } : {})}
      {...(series.length > 1 ? { legend: series.map(({ name }, n) => ({ name, colour: colour(n) })) } : {})}
      domain={[from, to]}
      xTicks={(count) => timeTicks(from, to, count, 'en-GB')}
      axis={axis}
      format={format}
      stops={stops}
      cursor={cursor}
      loading={loading ?? false}
      nothing={range ? undefined : nothing}
      aside={aside}
      tip={(index) => {
        const t = stops[index]?.t;
        if (t === undefined) return null;
        return { title: fullTime(t, 'en-GB'), rows: series.map(({ name }, n) => ({ name, value: words(valueAt(n, t)), colour: colour(n) })) };
      }}
      table={() => ({
        head: ['Time', ...series.map(({ name }) => name)],
        rows: stops.map(({ t }) => [fullTime(t, 'en-GB'), ...series.map((_, n) => words(valueAt(n, t)))]).reverse(),
      })}
      draw={(frame) => (
        <>
          {limits.map(({ value, label }) => (
            <g key={label}>
              <line class="limit" x1={frame.left} x2={frame.right} y1={frame.y(value)} y2={frame.y(value)} />
              <text class="tick" x={frame.right} y={frame.y(value) - 4} text-anchor="end">{label}</text>
            </g>
          ))}
          {runs.map((of, n) => (
            <g key={series[n]?.name} class={`s${colour(n)}`}>
              {of.map((run, m) => {
                const first = run[0] as Known;
                const last = run[run.length - 1] as Known;
                if (run.length === 1) return <circle key={m} class="dot" cx={frame.x(first.t)} cy={frame.y(first.v)} r={2.5} />;
                const line = path(run, frame);
                return (
                  <g key={m}>
                    {single && <path class="area" d={`${line}L${frame.x(last.t).toFixed(1)} ${frame.y(0)}L${frame.x(first.t).toFixed(1)} ${frame.y(0)}Z`} />}
                    <path class={`line dash-${(n % 3) + 1}`} d={line} />
                  </g>
                );
              })}
              {(() => {
                const t = stops[frame.at]?.t;
                const value = t === undefined ? null : valueAt(n, t);
                return t !== undefined && value !== null && <circle class="dot dot-cursor" cx={frame.x(t)} cy={frame.y(value)} r={3.5} />;
              })()}
            </g>
          ))}
        </>
      )}
    />
  );
}

/** A small line without axes, for a tile or a row. Its words are in `label`. */
export function Sparkline({ points, label, width = 96, height = 24 }: { points: Series['points']; label: string; width?: number; height?: number }) {
  const range = extent([{ name: '', points }]);
  const first = points[0];
  const last = points[points.length - 1];
  if (!range || !first || !last) return <svg width={width} height={height} role="img" aria-label={`${label}: no data`} />;
  const high = Math.max(range[1], 1e-9);
  const x = (t: number) => 1 + ((t - first.t) / (last.t - first.t || 1)) * (width - 2);
  const y = (v: number) => height - 2 - (v / high) * (height - 4);
  return (
    <svg class="sparkline s1" width={width} height={height} role="img" aria-label={label}>
      <title>{label}</title>
      {segments(points, usualGap(points)).map((run, n) => (
        <path key={n} class="line" d={thin(run, width).map(({ t, v }, m) => `${m === 0 ? 'M' : 'L'}${x(t).toFixed(1)} ${y(v).toFixed(1)}`).join('')} />
      ))}
    </svg>
  );
}
