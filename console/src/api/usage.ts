// What was used, and what that costs; see the `usage` and `cost` resources of the contract.

export interface Totals {
  active_seconds: number;
  cu_seconds: number;
  paused_seconds: number;
  storage_byte_hours: number;
  history_byte_hours: number;
  egress_bytes: number;
  ingress_bytes: number;
  wakes: number;
  queries: number;
}

export type Granularity = 'hour' | 'day' | 'month';

export interface UsageReport {
  from: string;
  to: string;
  granularity?: Granularity;
  known_since: string;
  totals: Totals;
  projects: { project_id: string; name: string; deleted: boolean; totals: Totals }[];
  branches: { project_id: string; branch_id: string; name: string; deleted: boolean; totals: Totals }[];
  periods: { start: string; end: string; totals: Totals }[];
}

export interface CostLine {
  item: string;
  quantity: number;
  unit: string;
  unit_price: number;
  amount: number;
}

/** A price sheet with what something costs on it. */
export interface Bill {
  id: string;
  provider: string;
  plan: string;
  /** Where its prices hold; `all`: everywhere. */
  region?: string;
  currency: string;
  dated: string;
  lines: CostLine[];
  total: number;
  always_on_total: number;
  saving: number;
  saving_percent: number;
  /** Whether the plan allows this use; the notes say what goes beyond. */
  fits?: boolean;
  notes: string[];
}

export interface CostReport {
  month: string;
  from: string;
  to: string;
  known_since?: string;
  usage: Totals;
  default_sheet?: string;
  sheets: Bill[];
  projects: { project_id: string; name: string; totals: Totals; costs: Record<string, number> }[];
}

/** `POST /cost/estimate`. */
export interface Estimate {
  hours_active: number;
  hours_in_month: number;
  average_cu: number;
  peak_cu: number;
  storage_gb: number;
  history_gb: number;
  io_million: number;
  egress_gb: number;
}

export type QuotaMeasure = 'active_seconds' | 'cu_seconds' | 'storage_bytes' | 'egress_bytes' | 'written_bytes' | 'spend';

export interface Quota {
  measure: QuotaMeasure;
  limit: number;
  soft_percent: number;
  action: 'alert' | 'suspend';
  used?: number;
  state?: 'ok' | 'soft' | 'exceeded';
  resets_at?: string | null;
}

export interface Quotas {
  period: 'month' | 'day' | 'none';
  quotas: Quota[];
}
