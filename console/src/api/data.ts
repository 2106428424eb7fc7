// What several pages ask for, each under one name in the cache.
import { useRef } from 'preact/hooks';
import { request, seg, type Options } from './client';
import { useResource, type Resource } from './resource';
import type { Branch, ConnectionUri, Database, Endpoint, Operation, Page, Project, Role, Status } from './types';

/** States are looked at so often while somebody looks, milliseconds. */
export const LIVE_MS = 2000;
/** Lists that change when somebody changes them. */
export const LIST_MS = 10_000;

/** Items of one request, and of a list as a whole: what a person can still search through. */
const PER_PAGE = 400;
const MAX_ITEMS = 10_000;
/** A list of more items is a long one. */
const MANY = 300;

/** A list that the API tells in pages. */
export async function loadAll<T>(path: string, key: string, signal: AbortSignal, query: Options['query'] = {}): Promise<T[]> {
  const all: T[] = [];
  let cursor: string | undefined;
  do {
    const reply: { pagination?: Page } & Record<string, unknown> = await request('GET', path, { signal, query: { ...query, limit: PER_PAGE, cursor } });
    all.push(...(reply[key] as T[]));
    cursor = reply.pagination?.cursor ?? reply.pagination?.next;
  } while (cursor && all.length < MAX_ITEMS);
  return all;
}

export const projectPath = (project: string) => `/projects/${seg(project)}`;
export const branchPath = (project: string, branch: string) => `${projectPath(project)}/branches/${seg(branch)}`;
export const endpointPath = (project: string, endpoint: string) => `${projectPath(project)}/endpoints/${seg(endpoint)}`;

export function useProjects(): Resource<Project[]> {
  return useResource<Project[]>('/projects', { every: LIST_MS, load: (signal) => loadAll('/projects', 'projects', signal) });
}

export function useProject(project: string): Resource<{ project: Project }> {
  return useResource(projectPath(project));
}

/** How often a list is asked for: a long one costs more, and is looked at less closely. */
function usePace(every: number): [number, (length: number | undefined) => void] {
  const many = useRef(false);
  return [many.current ? Math.max(every, LIST_MS) : every, (length) => { if (length !== undefined) many.current = length > MANY; }];
}

export function useStatus(): Resource<Status> {
  const [every, saw] = usePace(LIVE_MS);
  const status = useResource<Status>('/status', { every });
  saw(status.data?.endpoints.length);
  return status;
}

export function useBranches(project: string, every = LIST_MS): Resource<Branch[]> {
  const path = `${projectPath(project)}/branches`;
  return useResource<Branch[]>(path, { every, load: (signal) => loadAll(path, 'branches', signal) });
}

export function useEndpoints(project: string): Resource<{ endpoints: Endpoint[] }> {
  const [every, saw] = usePace(LIVE_MS);
  const endpoints = useResource<{ endpoints: Endpoint[] }>(`${projectPath(project)}/endpoints`, { every });
  saw(endpoints.data?.endpoints.length);
  return endpoints;
}

export function useOperations(project: string, limit: number, every = LIVE_MS): Resource<{ operations: Operation[]; pagination?: Page }> {
  return useResource(`${projectPath(project)}/operations`, { every, query: { limit } });
}

export function useRoles(project: string, branch: string | undefined): Resource<{ roles: Role[] }> {
  return useResource(branch ? `${branchPath(project, branch)}/roles` : null);
}

export function useDatabases(project: string, branch: string | undefined): Resource<{ databases: Database[] }> {
  return useResource(branch ? `${branchPath(project, branch)}/databases` : null);
}

export interface CreatedProject {
  project: Project;
  branch: Branch;
  connection_uris: ConnectionUri[];
}

/** Waits until an operation has ended. */
export async function finished(operation: Operation, signal?: AbortSignal): Promise<Operation> {
  let current = operation;
  for (let pause = 200; !['finished', 'failed', 'cancelled', 'skipped'].includes(current.status); pause = Math.min(pause * 1.5, 2000)) {
    await new Promise((resolve) => setTimeout(resolve, pause));
    current = (await request<{ operation: Operation }>('GET', `${projectPath(operation.project_id)}/operations/${seg(operation.id)}`, { signal })).operation;
  }
  if (current.status === 'failed') throw new Error(current.error ?? 'The operation failed.');
  return current;
}
