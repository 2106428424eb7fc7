// What an endpoint used over time, from the statistics API. All plots share a cursor.
import { useMemo } from 'preact/hooks';
import { request } from '../../api/client';
import { useResource } from '../../api/resource';
import type { Metric, Statistic, StatisticSeries, StatisticsReply } from '../../api/statistics';
import { unitFormat } from '../../charts/format';
import { LineChart } from '../../charts/line';
import { createCursor } from '../../charts/plot';
import type { Point, Series } from '../../charts/series';
import { ErrorState } from '../../ui/feedback';
import { Card } from '../../ui/page';

const METRICS: Metric[] = ['serverless_database_capacity', 'cpu_utilization', 'freeable_memory', 'database_connections', 'pooler_wait_time', 'cold_start_time'];

interface Part { metric: Metric; statistic: Statistic; name: string }

interface Chart {
  title: string;
  parts: Part[];
  binary?: boolean;
  least?: number;
  /** Happens now and then: dots, which no line joins. */
  rare?: boolean;
}

const CHARTS: Chart[] = [
  { title: 'Size', parts: [{ metric: 'serverless_database_capacity', statistic: 'average', name: 'CU' }], least: 0.25 },
  { title: 'CPU', parts: [{ metric: 'cpu_utilization', statistic: 'average', name: 'Average' }, { metric: 'cpu_utilization', statistic: 'maximum', name: 'Highest' }], least: 100 },
  { title: 'Free memory', parts: [{ metric: 'freeable_memory', statistic: 'minimum', name: 'Least' }], binary: true },
  { title: 'Connections', parts: [{ metric: 'database_connections', statistic: 'maximum', name: 'Highest' }], least: 4 },
  { title: 'Wait for a backend of the pool', parts: [{ metric: 'pooler_wait_time', statistic: 'p50', name: 'Median' }, { metric: 'pooler_wait_time', statistic: 'p99', name: 'p99' }], least: 1 },
  { title: 'Wakes from stopped', parts: [{ metric: 'cold_start_time', statistic: 'p50', name: 'Median' }, { metric: 'cold_start_time', statistic: 'maximum', name: 'Longest' }], least: 100, rare: true },
];

function points(series: StatisticSeries | undefined, statistic: Statistic): Point[] {
  return (series?.datapoints ?? []).map((one) => ({ t: Date.parse(one.timestamp), v: one[statistic] ?? null }));
}

export function Measured({ endpoint, range, every }: { endpoint: string; range: number; every: number }) {
  const cursor = useMemo(createCursor, []);
  // The name in the cache stays the same while the time goes on.
  const reply = useResource<StatisticsReply>(`/statistics?of=${endpoint}&range=${range}`, {
    every,
    load: async (signal) => {
      const to = new Date();
      const query = { metrics: METRICS.join(','), endpoint_id: endpoint, from: new Date(to.getTime() - range).toISOString(), to: to.toISOString(), statistics: 'average,minimum,maximum,p50,p99' };
      return request('GET', '/statistics', { query, signal });
    },
  });
  if (reply.error && !reply.data) return <Card flush><ErrorState error={reply.error} retry={() => void reply.refresh()} what="The statistics cannot be shown" /></Card>;
  const { data } = reply;
  const from = data ? Date.parse(data.from) : Date.now() - range;
  const to = data ? Date.parse(data.to) : Date.now();
  return (
    <div class="chart-grid">
      {CHARTS.map((chart) => {
        const found = chart.parts.map((part) => data?.series.find((one) => one.metric === part.metric));
        const series: Series[] = chart.parts.map((part, n) => ({ name: part.name, points: points(found[n], part.statistic) }));
        const unit = found[0]?.unit ?? '';
        return (
          <Card key={chart.title}>
            <LineChart
              title={chart.title} series={series} from={from} to={to} format={unitFormat(unit)} height={152} cursor={cursor}
              binary={chart.binary ?? false} {...(chart.least !== undefined ? { least: chart.least } : {})}
              // What is sampled breaks where a sample is missing.
              gap={chart.rare ? 0 : (data?.period ?? 60) * 2500}
              loading={!data} nothing="Nothing was measured: it did not run."
            />
          </Card>
        );
      })}
    </div>
  );
}
