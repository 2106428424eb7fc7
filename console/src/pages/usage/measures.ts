// What a quota can be about, and in which words and units people think of it. Pure.
import type { QuotaMeasure } from '../../api/usage';
import { money, roundBytes } from '../../charts/format';
import { duration, number } from '../../ui/format';

export interface Measure {
  label: string;
  /** In which unit people give it, and how many of the API's that is. */
  unit: string;
  factor: number;
  words: (value: number) => string;
}

export const MEASURES: Record<QuotaMeasure, Measure> = {
  active_seconds: { label: 'Active time', unit: 'hours', factor: 3600, words: duration },
  cu_seconds: { label: 'Compute', unit: 'CU-hours', factor: 3600, words: (value) => `${number(value / 3600, 2)} CU-hours` },
  storage_bytes: { label: 'Storage', unit: 'GiB', factor: 2 ** 30, words: roundBytes },
  egress_bytes: { label: 'Egress', unit: 'GiB', factor: 2 ** 30, words: roundBytes },
  written_bytes: { label: 'Written data', unit: 'GiB', factor: 2 ** 30, words: roundBytes },
  spend: { label: 'Spend', unit: 'USD', factor: 1, words: (value) => money(value) },
};

/** An event about a quota: "Compute: 8.2 CU-hours of 10 CU-hours". */
export function quotaWords(detail: Record<string, unknown>): string {
  const measure = MEASURES[detail.measure as QuotaMeasure];
  if (!measure) return '';
  const [used, limit] = [Number(detail.used), Number(detail.limit)];
  const sums = Number.isFinite(used) && Number.isFinite(limit) ? `: ${measure.words(used)} of ${measure.words(limit)}` : '';
  return `${measure.label.toLowerCase()}${sums}`;
}
