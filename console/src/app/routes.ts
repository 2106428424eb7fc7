// The table of pages. A page is a file in ../pages with a default export that takes { params }.
import type { RouteDef } from './router';

export const routes: RouteDef[] = [
  { path: '/', load: () => import('../pages/projects') },
  { path: '/projects/:project', load: () => import('../pages/overview') },
  { path: '/projects/:project/branches', load: () => import('../pages/branches') },
  { path: '/projects/:project/endpoints', load: () => import('../pages/endpoints') },
  { path: '/projects/:project/endpoints/:endpoint', load: () => import('../pages/endpoint') },
  { path: '/projects/:project/usage', load: () => import('../pages/usage') },
  { path: '/projects/:project/cost', load: () => import('../pages/cost') },
  { path: '/projects/:project/queries', load: () => import('../pages/queries') },
  { path: '/projects/:project/sql', load: () => import('../pages/sql') },
  { path: '/projects/:project/operations', load: () => import('../pages/operations') },
  { path: '/projects/:project/settings', load: () => import('../pages/project-settings') },
  { path: '/usage', load: () => import('../pages/usage') },
  { path: '/cost', load: () => import('../pages/cost') },
  { path: '/alerts', load: () => import('../pages/alerts') },
  { path: '/api-keys', load: () => import('../pages/api-keys') },
  { path: '/audit', load: () => import('../pages/audit') },
  { path: '/settings', load: () => import('../pages/settings') },
];
