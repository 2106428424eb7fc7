// Pages by address. Addresses are below /console; the table of pages is routes.ts. Pages are loaded when they are first
// needed, or a moment earlier when a pointer rests on a link to them.
//
//   <Link href="/projects/…"> or navigate() ─► history ─► match ─► load the page's file ─► show it
import { createContext, type ComponentType, type HTMLAttributes, type JSX, type TargetedMouseEvent } from 'preact';
import { useContext, useEffect, useMemo, useState } from 'preact/hooks';
import { connection } from '../api/connection';
import { createStore, useStore } from '../api/store';

export const BASE = '/console';

export type Params = Record<string, string>;
export type PageProps = { params: Params };
export type PageModule = { default: ComponentType<PageProps> };

export interface RouteDef {
  /** Such as `/projects/:project`. */
  path: string;
  load: () => Promise<PageModule>;
}

export interface Place {
  /** Below /console, starts with a slash. */
  path: string;
  /** With the question mark, or empty. */
  search: string;
}

function here(): Place {
  const path = location.pathname.startsWith(BASE) ? location.pathname.slice(BASE.length) : '';
  return { path: path.replace(/\/+$/, '') || '/', search: location.search };
}

const place = createStore<Place>(here());
window.addEventListener('popstate', () => place.set(here()));

/** Goes to an address below /console. */
export function navigate(to: string, options: { replace?: boolean } = {}): void {
  const url = BASE + to;
  if (url !== location.pathname + location.search) {
    if (options.replace) history.replaceState(null, '', url);
    else history.pushState(null, '', url);
    const before = place.get();
    place.set(here());
    if (place.get().path !== before.path) {
      window.scrollTo(0, 0);
      // A screen reader starts where a sighted reader does.
      document.getElementById('main')?.focus({ preventScroll: true });
    }
  }
}

export function usePlace(): Place {
  return useStore(place);
}

/** The values of the query, and how to change some of them without leaving a trace in the history. */
export function useQuery(): [URLSearchParams, (changes: Record<string, string | null>) => void] {
  const { search } = usePlace();
  const query = useMemo(() => new URLSearchParams(search), [search]);
  const change = (changes: Record<string, string | null>) => {
    const next = new URLSearchParams(location.search);
    for (const [name, value] of Object.entries(changes)) {
      if (value === null || value === '') next.delete(name);
      else next.set(name, value);
    }
    const text = next.toString();
    navigate(here().path + (text ? `?${text}` : ''), { replace: true });
  };
  return [query, change];
}

function match(pattern: string, path: string): Params | null {
  const want = pattern.split('/');
  const have = path.split('/');
  if (want.length !== have.length) return null;
  const params: Params = {};
  for (const [n, part] of want.entries()) {
    const value = have[n] ?? '';
    if (part.startsWith(':')) {
      if (!value) return null;
      try { params[part.slice(1)] = decodeURIComponent(value); } catch { return null; }
    } else if (part !== value) {
      return null;
    }
  }
  return params;
}

function find(routes: RouteDef[], path: string): { route: RouteDef; params: Params } | null {
  for (const route of routes) {
    const params = match(route.path, path);
    if (params) return { route, params };
  }
  return null;
}

const loaded = new Map<RouteDef, ComponentType<PageProps>>();
const Routes = createContext<RouteDef[]>([]);

async function load(route: RouteDef): Promise<ComponentType<PageProps>> {
  const page = (await route.load()).default;
  loaded.set(route, page);
  return page;
}

/** Loads all pages, one after the other, so that they are there when they are wanted, even while the server is gone. */
export async function prefetch(routes: RouteDef[]): Promise<void> {
  for (const route of routes) {
    try {
      if (!loaded.has(route)) await load(route);
    } catch {
      // It is loaded when it is needed.
      return;
    }
  }
}

export interface RouterProps {
  routes: RouteDef[];
  /** While a page's file is on its way. */
  loading: () => JSX.Element;
  /** Its file cannot be had. */
  failed: (error: Error, retry: () => void) => JSX.Element;
  missing: () => JSX.Element;
  children: (page: JSX.Element, params: Params) => JSX.Element;
}

export function Router({ routes, loading, failed, missing, children }: RouterProps) {
  const { path } = usePlace();
  const found = useMemo(() => find(routes, path), [routes, path]);
  const [, renderAgain] = useState(0);
  const [error, setError] = useState<Error>();
  const route = found?.route;
  const { up, epoch } = useStore(connection.store);
  const begin = () => {
    setError(undefined);
    if (!route || loaded.has(route)) return;
    load(route).then(
      () => renderAgain((n) => n + 1),
      async (error: Error) => {
        // Gone, or another version that does not have this file? When it is back, the file is asked for again.
        if (await connection.answers()) setError(error);
      },
    );
  };
  useEffect(begin, [route, epoch]);
  const params = found?.params ?? {};
  const Page = route && loaded.get(route);
  const page = !found ? missing() : Page ? <Page key={path} params={params} /> : error && up ? failed(error, begin) : loading();
  return <Routes.Provider value={routes}>{children(page, params)}</Routes.Provider>;
}

type LinkProps = Omit<HTMLAttributes<HTMLAnchorElement>, 'href' | 'role'> & { href: string };

/** A link to another page of the console. */
export function Link({ href, onClick, ...rest }: LinkProps) {
  const routes = useContext(Routes);
  const click = (event: TargetedMouseEvent<HTMLAnchorElement>) => {
    onClick?.(event);
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    navigate(href);
  };
  const soon = () => {
    const route = find(routes, href.split('?')[0] ?? '')?.route;
    // Whether it works is seen when it is needed.
    if (route && !loaded.has(route)) load(route).catch(() => {});
  };
  return <a {...rest} href={BASE + href} onClick={click} onPointerEnter={soon} onFocus={soon} />;
}
