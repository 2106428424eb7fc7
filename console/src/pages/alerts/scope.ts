// Whom a rule or an alert is about, in words.
import { useResource } from '../../api/resource';
import type { Delivery, Metric, Rule, Scope } from '../../api/statistics';
import type { Project } from '../../api/types';
import { unitFormat } from '../../charts/format';
import { count, duration } from '../../ui/format';

/** Names of the projects that can be seen. */
export function useProjectNames(): Map<string, string> {
  const { data } = useResource<{ projects: Project[] }>('/projects', { query: { limit: 400 } });
  return new Map(data?.projects.map(({ id, name }) => [id, name]));
}

export function scopeWords(scope: Scope, names: Map<string, string>): string {
  const project = scope.project_id ? names.get(scope.project_id) ?? scope.project_id : '';
  if (scope.endpoint_id) return project ? `${project} · ${scope.endpoint_id}` : scope.endpoint_id;
  return project || 'Whole server';
}

/** Whom a rule watches: "Every endpoint", "Every endpoint of shop", "The server". */
export function aboutWords(rule: Pick<Rule, 'each' | 'scope'>, names: Map<string, string>): string {
  if (rule.scope.endpoint_id) return scopeWords(rule.scope, names);
  const project = rule.scope.project_id ? names.get(rule.scope.project_id) ?? rule.scope.project_id : undefined;
  if (rule.each === 'server') return 'The server';
  if (rule.each === 'project') return project ?? 'Every project';
  return project ? `Every endpoint of ${project}` : 'Every endpoint';
}

/** Where a scope can be looked at. */
export function scopeHref(scope: Scope): string | null {
  if (!scope.project_id) return null;
  const project = `/projects/${encodeURIComponent(scope.project_id)}`;
  return scope.endpoint_id ? `${project}/endpoints/${encodeURIComponent(scope.endpoint_id)}` : project;
}

const STATISTIC: Record<string, string> = { average: 'average', minimum: 'minimum', maximum: 'maximum', sum: 'sum', p50: 'median', p95: '95th percentile', p99: '99th percentile' };

export const statisticWords = (name: string): string => STATISTIC[name] ?? name;

/** "average of 1 min above 70 %, critical above 85 %, 3 times in a row". */
export function ruleWords(rule: Rule): string {
  const format = unitFormat(rule.unit);
  const beyond = rule.comparison === '>' ? 'above' : 'below';
  const limits = [rule.warning !== undefined && `warning ${beyond} ${format(rule.warning)}`, rule.critical !== undefined && `critical ${beyond} ${format(rule.critical)}`].filter(Boolean).join(', ');
  const times = rule.datapoints > 1 ? `, ${rule.datapoints} times in a row` : '';
  return `${statisticWords(rule.statistic)} of ${duration(rule.period_seconds)}: ${limits}${times}`;
}

const UNITS: Record<Metric, string> = {
  cpu_utilization: 'percent', cu_utilization: 'percent', serverless_database_capacity: 'cu', database_connections: 'count', connection_utilization: 'percent',
  freeable_memory: 'bytes', storage_used: 'bytes', storage_utilization: 'percent', quota_utilization: 'percent', cold_start_rate: 'per_hour', cold_start_time: 'milliseconds',
  connection_time: 'milliseconds', pooler_wait_time: 'milliseconds', cost_per_hour: 'usd_per_hour',
};

/** The unit of a metric, for what is told without it. */
export const unitOf = (metric: Metric): string => UNITS[metric] ?? '';

/** `cpu_utilization` → "CPU utilization". */
export function metricWords(metric: string): string {
  const text = metric.replaceAll('_', ' ').replace(/\bcpu\b/, 'CPU').replace(/\bcu\b/, 'CU');
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** "2 of 3 webhooks told; not told: connection refused." */
export function toldWords(deliveries: readonly Pick<Delivery, 'state' | 'error'>[]): string {
  if (deliveries.length === 0) return 'No webhook was told: there is none.';
  const not = deliveries.filter(({ state }) => state !== 'delivered').map(({ error, state }) => error ?? state);
  const told = `${deliveries.length - not.length} of ${count(deliveries.length, 'webhook')} told`;
  return `${told}${not.length ? `; not told: ${not.join(', ')}` : ''}.`;
}
