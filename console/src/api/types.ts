// The API's JSON as types, only the fields that the console reads. The contract is docs/reference/openapi.json.
// New resources: a file of their own beside this one.

export type LiveState = 'stopped' | 'starting' | 'active' | 'paused' | 'stopping';

export interface Page {
  cursor?: string;
  next?: string;
}

export interface EndpointDefaults {
  suspend_timeout_seconds: number;
  pause_timeout_seconds: number;
  autoscaling_limit_min_cu: number;
  autoscaling_limit_max_cu: number;
}

export interface Project {
  id: string;
  name: string;
  pg_version: number;
  created_at: string;
  updated_at: string;
  proxy_host: string;
  store_passwords: boolean;
  history_retention_seconds: number;
  default_endpoint_settings: EndpointDefaults;
  settings: {
    preload_libraries: { enabled_libraries: string[] };
    owner_is_superuser: boolean;
    allowed_ips: { ips: string[]; protected_branches_only: boolean };
  };
  default_branch_id?: string;
}

export type BranchState = 'init' | 'ready' | 'resetting';

export interface Branch {
  id: string;
  project_id: string;
  parent_id?: string;
  parent_lsn?: string;
  parent_timestamp?: string;
  name: string;
  current_state: BranchState;
  pending_state?: BranchState;
  default: boolean;
  protected: boolean;
  created_at: string;
  updated_at: string;
  expires_at?: string;
  last_reset_at?: string;
  restored_from?: string;
  /** Only in the reply for one branch. */
  logical_size?: number;
  own_size?: number;
  history_size?: number;
  history?: { start: string; start_at?: string; stored: string };
}

export interface Endpoint extends EndpointDefaults {
  id: string;
  project_id: string;
  branch_id: string;
  host: string;
  pooler_host?: string;
  type: 'read_write' | 'read_only';
  state: LiveState;
  pid: number | null;
  last_active?: string;
  started_at?: string;
  suspended_at?: string;
  next_wake?: string;
  created_at: string;
  updated_at: string;
  current_cu?: number | null;
  settings?: { pg_settings: Record<string, string> };
  allowed_ips?: string[];
}

export type OperationStatus = 'scheduling' | 'running' | 'finished' | 'failed' | 'error' | 'cancelling' | 'cancelled' | 'skipped';

export interface Operation {
  id: string;
  project_id: string;
  branch_id?: string;
  endpoint_id?: string;
  action: string;
  status: OperationStatus;
  error?: string;
  failures_count: number;
  retry_at?: string;
  created_at: string;
  updated_at: string;
  total_duration_ms: number;
}

export interface StatusEndpoint {
  id: string;
  project_id: string;
  branch_id?: string;
  branch: string;
  state: LiveState;
  pid: number | null;
  pg_version: number;
  host: string;
  last_active?: string;
}

export interface Status {
  version: string;
  endpoints: StatusEndpoint[];
}

export interface Role {
  name: string;
  branch_id: string;
  password?: string;
  protected: boolean;
  no_login?: boolean;
}

export interface Database {
  name: string;
  owner_name: string;
  branch_id: string;
}

export interface ConnectionUri {
  connection_uri: string;
  connection_parameters: { database: string; password: string; role: string; host: string; pooler_host: string; port: number };
}

export interface ApiKey {
  id: string;
  name: string;
  created_at: string;
  last_used_at?: string;
  last_used_from_addr?: string;
  prefix: string;
  project_id?: string;
  created_by?: { name: string };
}

export interface AuditEntry {
  id: number;
  at: string;
  actor: { kind: 'api_key' | 'oidc'; id: string; name: string };
  action: string;
  path: string;
  project_id?: string;
  from?: string;
  status?: number;
  error?: string;
  request_id: string;
}

/** One of `GET /console_sessions`. */
export interface SignedInBrowser {
  id: string;
  name: string;
  key_id: string;
  project_id?: string;
  created_at: string;
  last_used_at: string;
  expires_at: string;
  last_used_from_addr: string;
  user_agent: string;
  current: boolean;
}
