// The API's JSON as types, only the fields that the console reads. The contract is docs/reference/openapi.json.
// New resources: a file of their own beside this one.

export type LiveState = string;

export interface Page {
  cursor?: string;
  next?: string;
}

export interface Project {
  id: string;
  name: string;
  pg_version: number;
  created_at: string;
  updated_at: string;
}

export interface Branch {
  id: string;
  project_id: string;
  parent_id?: string;
  name: string;
  created_at: string;
  updated_at: string;
}

export interface Endpoint {
  id: string;
  project_id: string;
  branch_id: string;
  host: string;
  type: 'read_write' | 'read_only';
  state: LiveState;
  created_at: string;
}
