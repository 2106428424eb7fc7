// One endpoint in full, and what is done with it.
import { request, seg } from './client';
import type { Endpoint } from './types';

/** A time in which the endpoint is kept awake. */
export interface KeepWarm {
  /** Five cron fields, in UTC: when it begins. */
  schedule: string;
  /** How long it lasts. */
  minutes: number;
}

export interface Live {
  cpu_cores: number | null;
  memory_bytes: number | null;
  memory_limit_bytes: number | null;
  connections: number | null;
  pool_waiting: number | null;
  /** If not, CPU and memory are zero. */
  measured?: boolean;
}

export interface FullEndpoint extends Endpoint {
  disabled: boolean;
  pid: number | null;
  last_active?: string;
  started_at?: string;
  suspended_at?: string;
  next_wake?: string;
  pinned_lsn?: string;
  pooler_enabled: boolean;
  suspend_timeout_seconds: number;
  pause_timeout_seconds: number;
  autoscaling_limit_min_cu: number;
  autoscaling_limit_max_cu: number;
  settings: { pg_settings: Record<string, string> };
  /** The size that is applied now; `null` when it does not run. */
  current_cu?: number | null;
  live?: Live | null;
  keep_warm?: KeepWarm[];
  prewarm?: boolean;
  updated_at: string;
}

export type EndpointPatch = Partial<Pick<FullEndpoint, 'suspend_timeout_seconds' | 'pause_timeout_seconds' | 'autoscaling_limit_min_cu' | 'autoscaling_limit_max_cu' | 'keep_warm' | 'prewarm' | 'settings'>>;

export type EndpointAction = 'start' | 'suspend' | 'pause' | 'restart';

const path = (project: string, endpoint: string) => `/projects/${seg(project)}/endpoints/${seg(endpoint)}`;

export const endpointPath = path;

/** Does something with it; comes back when that is done, with how long it took in milliseconds. */
export async function act(project: string, endpoint: string, action: EndpointAction): Promise<{ endpoint: FullEndpoint; took: number }> {
  const start = performance.now();
  const reply = await request<{ endpoint: FullEndpoint }>('POST', `${path(project, endpoint)}/${action}`);
  return { endpoint: reply.endpoint, took: performance.now() - start };
}

export async function patchEndpoint(project: string, endpoint: string, changes: EndpointPatch): Promise<FullEndpoint> {
  return (await request<{ endpoint: FullEndpoint }>('PATCH', path(project, endpoint), { body: { endpoint: changes } })).endpoint;
}
