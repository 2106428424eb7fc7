// Branches, their databases and roles, as a page that must choose one needs them.
import { request, seg } from './client';
import { useResource, type Resource } from './resource';
import type { Branch, Page } from './types';

/** The largest page of a list. */
const PAGE = 400;
/** Branches that are offered; more are found by their address. */
const MAX_BRANCHES = 2000;

/** All branches of a project, page by page. */
export async function allBranches(project: string, signal?: AbortSignal): Promise<Branch[]> {
  const all: Branch[] = [];
  let cursor: string | undefined;
  do {
    const reply: { branches: Branch[]; pagination?: Page } = await request('GET', `/projects/${seg(project)}/branches`, { query: { limit: PAGE, cursor }, signal });
    all.push(...reply.branches);
    cursor = reply.pagination?.next ?? reply.pagination?.cursor;
  } while (cursor && all.length < MAX_BRANCHES);
  return all;
}

export interface DatabaseInfo {
  name: string;
  owner_name: string;
}

export interface RoleInfo {
  name: string;
}

export const useBranches = (project: string): Resource<Branch[]> => useResource(`/projects/${seg(project)}/branches#all`, { load: (signal) => allBranches(project, signal) });

export const useDatabases = (project: string, branch: string | undefined): Resource<{ databases: DatabaseInfo[] }> =>
  useResource(branch ? `/projects/${seg(project)}/branches/${seg(branch)}/databases` : null);

export const useRoles = (project: string, branch: string | undefined): Resource<{ roles: RoleInfo[] }> =>
  useResource(branch ? `/projects/${seg(project)}/branches/${seg(branch)}/roles` : null);
