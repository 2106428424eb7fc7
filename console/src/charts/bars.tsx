// Bars over periods, each of parts on top of each other; and one bar alone, lying, for parts of a whole.
import { compact } from './format';
import { Plot, type LegendEntry } from './plot';
import { valueAxis } from './scale';
import { stack } from './series';

export interface Part {
  name: string;
  /** One for each bar. */
  values: readonly (number | null)[];
  /** 1 to 6. */
  colour?: number;
}

export interface BarChartProps {
  title: string;
  /** What each bar stands for: a short name below the axis, a long one in the tip. */
  bars: readonly { name: string; long: string }[];
  parts: readonly Part[];
  format?: (value: number) => string;
  binary?: boolean;
  height?: number;
  loading?: boolean;
  nothing?: string;
  aside?: preact.ComponentChildren;
}

/** Bars are no wider than this, pixels, or few of them look like blocks. */
const MAX_WIDTH = 48;
const GAP = 0.22;

const colourOf = (part: Part, n: number) => part.colour ?? (n % 6) + 1;

export function BarChart({ title, bars, parts, format = compact, binary, height, loading, nothing = 'Nothing was used in this time.', aside }: BarChartProps) {
  const sums = bars.map((_, n) => parts.reduce((sum, { values }) => sum + Math.max(0, values[n] ?? 0), 0));
  const highest = Math.max(0, ...sums);
  const axis = valueAxis(0, highest, { binary: binary ?? false });
  const several = parts.length > 1;
  const legend: LegendEntry[] = parts.map((part, n) => ({ name: part.name, colour: colourOf(part, n) }));
  // Bar n stands between n and n + 1.
  const stops = bars.map((_, n) => ({ t: n + 0.5 }));
  const value = (part: Part, n: number) => (part.values[n] == null ? '–' : format(part.values[n] as number));
  return (
    <Plot
      title={title}
      summary={`${bars.length} periods, at most ${format(highest)}. Arrow keys read single values.`}
      {...(height ? { height } : {})}
      {...(several ? { legend } : {})}
      domain={[0, Math.max(1, bars.length)]}
      xTicks={(count) => {
        const every = Math.max(1, Math.ceil(bars.length / count));
        return bars.map(({ name }, n) => ({ at: n + 0.5, label: name })).filter((_, n) => n % every === 0);
      }}
      axis={axis}
      format={format}
      stops={stops}
      loading={loading ?? false}
      nothing={highest > 0 ? undefined : nothing}
      aside={aside}
      tip={(n) => ({
        title: bars[n]?.long ?? '',
        rows: [
          ...parts.map((part, m) => ({ name: part.name, value: value(part, n), colour: colourOf(part, m) })).filter((_, m) => !several || (parts[m]?.values[n] ?? 0) > 0),
          ...(several ? [{ name: 'Together', value: format(sums[n] ?? 0) }] : []),
        ],
      })}
      table={() => ({
        head: ['Period', ...parts.map(({ name }) => name), ...(several ? ['Together'] : [])],
        rows: bars.map(({ long }, n) => [long, ...parts.map((part) => value(part, n)), ...(several ? [format(sums[n] ?? 0)] : [])]).reverse(),
      })}
      draw={(frame) => {
        const room = (frame.right - frame.left) / Math.max(1, bars.length);
        const wide = Math.max(1, Math.min(MAX_WIDTH, room * (1 - GAP)));
        return (
          <>
            {bars.map((bar, n) => {
              const x = frame.left + (n + 0.5) * room - wide / 2;
              return (
                <g key={bar.long} class={frame.at >= 0 && frame.at !== n ? 'bar bar-faint' : 'bar'}>
                  {stack(parts.map(({ values }) => values[n] ?? null)).map(({ from, to }, m) => to > from && (
                    // What was used is seen, however little.
                    <rect key={m} class={`s${colourOf(parts[m] as Part, m)}`} x={x} width={wide} y={Math.min(frame.y(to), frame.y(from) - 1)} height={Math.max(1, frame.y(from) - frame.y(to))} />
                  ))}
                </g>
              );
            })}
          </>
        );
      }}
    />
  );
}

export interface Share {
  name: string;
  value: number;
  colour: number;
}

/** Parts of a whole as one lying bar. Give it words beside it: its own are for screen readers. */
export function ShareBar({ shares, format, label, scale }: { shares: readonly Share[]; format: (value: number) => string; label: string; scale?: number | undefined }) {
  const sum = shares.reduce((all, { value }) => all + value, 0);
  const whole = Math.max(scale ?? 0, sum) || 1;
  let at = 0;
  const words = shares.filter(({ value }) => value > 0).map(({ name, value }) => `${name} ${format(value)}`).join(', ');
  return (
    <svg class="share" width="100%" height="10" role="img" aria-label={`${label}: ${words || 'nothing'}`} preserveAspectRatio="none" viewBox="0 0 1000 10">
      <title>{`${label}: ${words || 'nothing'}`}</title>
      <rect class="share-rest" width="1000" height="10" />
      {shares.map(({ name, value, colour }) => {
        const x = at;
        const width = (value / whole) * 1000;
        at += width;
        return width > 0 && <rect key={name} class={`s${colour}`} x={x} width={width} height="10" />;
      })}
    </svg>
  );
}
