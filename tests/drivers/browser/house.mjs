// A browser for the tests of the console, and what every page is held to: no error, no violation of the policy, no
// shift of the layout, nothing wider than the window, nothing that axe calls serious.
//
// Environment: HTTP (base address), KEY (an API key), and what a program says. Any failure ends with exit code 1.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const home = process.env.BROWSER_HOME;
const need = createRequire(join(home, 'package.json'));
const { chromium } = need('playwright-core');
const axe = readFileSync(need.resolve('axe-core/axe.min.js'), 'utf8');

export const base = process.env.HTTP;
export const key = process.env.KEY;

/** Layout shift that nobody sees. */
const MAX_SHIFT = 0.02;
/** Milliseconds for one step on a busy machine. */
const PATIENCE = 40_000;

const directory = mkdtempSync(join(tmpdir(), 'console-'));
const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: flags, env: { ...process.env, HOME: directory } });

export function check(holds, what) {
  if (!holds) throw new Error(what);
}

export function equal(is, should, what) {
  check(JSON.stringify(is) === JSON.stringify(should), `${what}: ${JSON.stringify(is)} instead of ${JSON.stringify(should)}`);
}

/** The API as a program uses it. */
export async function api(method, path, body) {
  for (let tries = 0; ; tries += 1) {
    const response = await fetch(`${base}/api/v2${path}`, { method, headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' }, body: body && JSON.stringify(body) });
    if (response.status === 423 && tries < 100) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      continue;
    }
    check(response.ok, `${method} ${path}: ${response.status} ${await response.clone().text()}`);
    return response.json();
  }
}

/** A window of its own: `wide`, `phone`; `dark` or light. What goes wrong in it is collected in `wrong`. */
export async function open({ phone = false, dark = false, storage } = {}) {
  const context = await browser.newContext({
    viewport: phone ? { width: 360, height: 740 } : { width: 1280, height: 800 },
    colorScheme: dark ? 'dark' : 'light',
    isMobile: phone,
    hasTouch: phone,
    storageState: storage,
    permissions: ['clipboard-read', 'clipboard-write'],
  });
  context.setDefaultTimeout(PATIENCE);
  context.setDefaultNavigationTimeout(PATIENCE);
  await context.addInitScript(() => {
    window.shift = 0;
    window.shifted = [];
    window.violations = [];
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) {
        if (entry.hadRecentInput) continue;
        window.shift += entry.value;
        window.shifted.push(...entry.sources.map(({ node, previousRect, currentRect }) => `${node?.className || node?.nodeName} ${Math.round(previousRect.top)} to ${Math.round(currentRect.top)}`));
      }
    }).observe({ type: 'layout-shift', buffered: true });
    document.addEventListener('securitypolicyviolation', (event) => window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
  });
  const page = await context.newPage();
  const wrong = [];
  page.on('pageerror', (error) => wrong.push(`error: ${error.message}`));
  page.on('console', (message) => { if (message.type() === 'error' || message.type() === 'warning') wrong.push(`console: ${message.text()} ${message.location().url}`); });
  return { context, page, wrong };
}

/** Signs in by the form; gives back the cookies for further windows. */
export async function signIn(page) {
  await page.goto(`${base}/`);
  await page.getByLabel('API key').fill(key);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Projects', level: 1 }).waitFor();
  return page.context().storageState();
}

/** Waits until a page has its data: no skeleton is left. */
export async function settled(page) {
  await page.locator('.page h1').first().waitFor();
  await page.waitForFunction(() => document.querySelector('.page h1')?.textContent && !document.querySelector('.skeleton'), undefined, { timeout: PATIENCE });
}

/** Holds the present page to the rules. */
export async function inspect(page, where, { shift = true } = {}) {
  const seen = await page.evaluate(() => ({
    shift: window.shift,
    shifted: window.shifted,
    violations: window.violations,
    wider: document.documentElement.scrollWidth - window.innerWidth,
  }));
  equal(seen.violations, [], `${where}: violations of the policy`);
  check(seen.wider <= 0, `${where}: the page is ${seen.wider} px wider than the window`);
  if (shift) check(seen.shift < MAX_SHIFT, `${where}: the layout shifts by ${seen.shift.toFixed(3)}: ${seen.shifted.join(', ')}`);
  const found = await page.evaluate(`${axe}; axe.run(document, { resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] })`);
  const serious = found.violations.filter((one) => one.impact === 'serious' || one.impact === 'critical');
  equal(serious.map((one) => `${one.id} (${one.nodes.map((node) => node.target.join(' ')).slice(0, 3).join(', ')}: ${one.nodes[0]?.failureSummary})`), [], `${where}: accessibility`);
  return seen.shift;
}

/** Runs a program and says how it went; a picture of what was last seen helps to understand a failure. */
export async function run(name, program) {
  const windows = [];
  let code = 0;
  try {
    const said = await program(async (options) => {
      const window = await open(options);
      windows.push(window);
      return window;
    });
    for (const { wrong } of windows) equal(wrong, [], 'errors in the browser');
    console.log(`ok ${name} ${said ?? ''}`);
  } catch (error) {
    code = 1;
    console.log(`failed ${name}: ${error.stack}`);
    for (const [n, { page, wrong }] of windows.entries()) {
      console.log(`window ${n}: ${page.url()} ${wrong.join(' | ')}`);
      if (process.env.PICTURES) await page.screenshot({ path: join(process.env.PICTURES, `${name}-${n}.png`) }).catch(() => {});
    }
  }
  await browser.close();
  rmSync(directory, { recursive: true, force: true });
  process.exit(code);
}
