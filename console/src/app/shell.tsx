// What stands around every page: where one is, where one can go, and who is signed in. On a phone the navigation is a
// drawer behind a button.
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { useResource } from '../api/resource';
import type { Project } from '../api/types';
import { seg } from '../api/client';
import { useStore } from '../api/store';
import { Button } from '../ui/button';
import { Bell, BranchIcon, Clock, Close, Coins, Contrast, Gauge, Gear, Grid, Home, Key, ListIcon, Logo, MenuIcon, Moon, Plug, Scroll, SignOut, Sun, Terminal } from '../ui/icons';
import { Menu } from '../ui/menu';
import { failed } from '../ui/toast';
import { GoneBanner } from './banner';
import { Link, usePlace, type Params } from './router';
import { signOut, type SignedIn } from './session';
import { setTheme, theme } from './theme';
import './shell.css';

type Entry = [path: string, label: string, icon: typeof Grid];

const PROJECT: Entry[] = [
  ['', 'Overview', Home],
  ['/branches', 'Branches', BranchIcon],
  ['/endpoints', 'Endpoints', Plug],
  ['/sql', 'SQL editor', Terminal],
  ['/queries', 'Queries', ListIcon],
  ['/usage', 'Usage', Gauge],
  ['/cost', 'Cost', Coins],
  ['/operations', 'Operations', Clock],
  ['/settings', 'Settings', Gear],
];

const SERVER: Entry[] = [
  ['/', 'Projects', Grid],
  ['/usage', 'Usage', Gauge],
  ['/cost', 'Cost', Coins],
  ['/alerts', 'Alerts', Bell],
  ['/api-keys', 'API keys', Key],
  ['/audit', 'Audit', Scroll],
  ['/settings', 'Settings', Gear],
];

/** What a key for one project may see of the server. */
const FOR_ONE_PROJECT = ['/'];

function NavList({ entries, base, label }: { entries: Entry[]; base: string; label: string }) {
  const { path } = usePlace();
  return (
    <ul aria-label={label}>
      {entries.map(([to, words, Icon]) => {
        const href = base + to || '/';
        const here = to === '' || to === '/' ? path === href : path === href || path.startsWith(`${href}/`);
        return <li key={to}><Link href={href} class={here ? 'nav-here' : ''} aria-current={here ? 'page' : undefined}><Icon />{words}</Link></li>;
      })}
    </ul>
  );
}

function Nav({ project, bound }: { project: string | undefined; bound: boolean }) {
  const reply = useResource<{ project: Project }>(project ? `/projects/${seg(project)}` : null);
  return (
    <>
      {project && (
        <>
          <p class="nav-title truncate" title={reply.data?.project.name}>{reply.data?.project.name ?? project}</p>
          <NavList entries={PROJECT} base={`/projects/${seg(project)}`} label="Project" />
          <p class="nav-title">Server</p>
        </>
      )}
      <NavList entries={bound ? SERVER.filter(([path]) => FOR_ONE_PROJECT.includes(path)) : SERVER} base="" label="Server" />
    </>
  );
}

function Account({ state }: { state: SignedIn }) {
  const chosen = useStore(theme);
  const mark = (words: string, on: boolean) => (on ? `${words} (chosen)` : words);
  return (
    <Menu
      label="Theme and session"
      icon={chosen === 'dark' ? <Moon /> : chosen === 'light' ? <Sun /> : <Contrast />}
      items={[
        { label: mark('System theme', chosen === 'system'), icon: <Contrast />, onSelect: () => setTheme('system') },
        { label: mark('Light theme', chosen === 'light'), icon: <Sun />, onSelect: () => setTheme('light') },
        { label: mark('Dark theme', chosen === 'dark'), icon: <Moon />, onSelect: () => setTheme('dark') },
        { label: `Sign out (${state.session.name})`, icon: <SignOut />, separated: true, onSelect: () => { signOut().catch((error) => failed('Not signed out', error)); } },
      ]}
    />
  );
}

export function Shell({ params, state, children }: { params: Params; state: SignedIn; children: ComponentChildren }) {
  const [open, setOpen] = useState(false);
  const { path } = usePlace();
  const drawer = useRef<HTMLDialogElement>(null);
  useEffect(() => setOpen(false), [path]);
  useEffect(() => {
    if (open) drawer.current?.showModal();
    else drawer.current?.close();
  }, [open]);
  const nav = <Nav project={params.project} bound={Boolean(state.session.project_id)} />;
  return (
    <div class="shell">
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); document.getElementById('main')?.focus(); }}>Skip to content</a>
      <header class="topbar">
        <div class="topbar-menu"><Button kind="quiet" icon={<MenuIcon />} aria-label="Navigation" aria-expanded={open} onClick={() => setOpen(true)} /></div>
        <Link href="/" class="brand"><Logo /><span>Dormouse</span></Link>
        <span class="grow" />
        <Account state={state} />
      </header>
      <nav class="sidebar" aria-label="Main">{nav}</nav>
      <dialog class="drawer" ref={drawer} aria-label="Navigation" onClose={() => setOpen(false)} onClick={(event) => { if (event.target === drawer.current) setOpen(false); }}>
        <div class="drawer-frame">
          <div class="row between"><span class="brand"><Logo /><span>Dormouse</span></span><Button kind="quiet" icon={<Close />} aria-label="Close" onClick={() => setOpen(false)} /></div>
          {open && <nav aria-label="Main">{nav}</nav>}
        </div>
      </dialog>
      <main id="main" tabIndex={-1}>{children}</main>
      <GoneBanner />
    </div>
  );
}
