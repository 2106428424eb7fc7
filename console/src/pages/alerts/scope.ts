// Whom a rule or an alert is about, in words.
import { useResource } from '../../api/resource';
import type { Rule, Scope } from '../../api/statistics';
import type { Project } from '../../api/types';
import { unitFormat } from '../../charts/format';
import { duration } from '../../ui/format';

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

/** `cpu_utilization` → "CPU utilization". */
export function metricWords(metric: string): string {
  const text = metric.replaceAll('_', ' ').replace(/\bcpu\b/, 'CPU').replace(/\bcu\b/, 'CU');
  return text.charAt(0).toUpperCase() + text.slice(1);
}
