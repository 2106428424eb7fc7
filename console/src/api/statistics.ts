// What was measured, and the rules that look at it; see the `statistics` and `alerts` resources of the contract.

export type Metric =
  | 'cpu_utilization' | 'cu_utilization' | 'serverless_database_capacity' | 'database_connections' | 'connection_utilization'
  | 'freeable_memory' | 'storage_used' | 'storage_utilization' | 'quota_utilization' | 'cold_start_rate' | 'cold_start_time' | 'connection_time'
  | 'pooler_wait_time' | 'cost_per_hour';

export const STATISTICS = ['average', 'minimum', 'maximum', 'sum', 'p50', 'p95', 'p99'] as const;
export type Statistic = (typeof STATISTICS)[number];

export type Datapoint = { timestamp: string; sample_count: number } & { [name in Statistic]?: number };

export interface StatisticSeries {
  metric: Metric;
  unit: string;
  endpoint_id?: string;
  project_id?: string;
  datapoints: Datapoint[];
}

export interface StatisticsReply {
  from: string;
  to: string;
  period: number;
  series: StatisticSeries[];
}

export interface MetricInfo {
  name: Metric;
  unit: string;
  description: string;
}

export type AlertState = 'ok' | 'warning' | 'critical' | 'no_data';

export interface Scope {
  project_id?: string;
  endpoint_id?: string;
}

export interface Rule {
  id: string;
  name: string;
  metric: Metric;
  unit: string;
  statistic: Statistic;
  period_seconds: number;
  datapoints: number;
  comparison: '>' | '<';
  warning?: number;
  critical?: number;
  clear_ratio: number;
  scope: Scope;
  each: 'endpoint' | 'project' | 'server';
  enabled: boolean;
  default: boolean;
}

export interface Alert {
  rule_id: string;
  name: string;
  metric: Metric;
  unit: string;
  scope: Scope;
  state: AlertState;
  value?: number;
  threshold?: number;
  since: string;
}

export interface AlertChange {
  id: number;
  at: string;
  rule_id: string;
  name: string;
  metric: Metric;
  scope: Scope;
  from: AlertState;
  to: AlertState;
  value?: number;
}

export interface Alerts {
  alerts: Alert[];
  history: AlertChange[];
}

export interface Delivery {
  id: string;
  webhook_id: string;
  state: 'pending' | 'delivered' | 'failed';
  attempts: number;
  status?: number;
  error?: string;
  at: string;
  next_at?: string;
}

export interface Webhook {
  id: string;
  name: string;
  url: string;
  enabled: boolean;
  created_at: string;
  pending: number;
  last_delivery?: Delivery;
}
