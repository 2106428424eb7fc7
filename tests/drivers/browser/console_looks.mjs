// Every page in every dress: wide and phone, light and dark, with data, without, and with a thousand branches. And what a
// first visit costs.
import { api, base, check, equal, inspect, run, settled, signIn } from './house.mjs';

/** Bytes on the wire for the first page, files of the console only. */
const MAX_BYTES = 200 * 1024;
/** First contentful paint, milliseconds, cold, on loopback. The best of some visits counts, and of more when the machine is busy. */
const MAX_PAINT = 500;
const VISITS = 3;
const MOST_VISITS = 10;
const BRANCHES = 1000;
/** Rows that may be drawn of a thousand. */
const MAX_ROWS = 80;

const OF_SERVER = ['/', '/usage', '/cost', '/alerts', '/api-keys', '/audit', '/settings'];
const OF_PROJECT = ['', '/branches', '/endpoints', '/sql', '/queries', '/usage', '/cost', '/operations', '/settings'];

/** What one run looks at: `first`, or one dress. All together would be too long for a machine that does other things as well. */
const PART = process.env.PART;
const DRESSES = { light: { phone: false, dark: false }, dark: { phone: false, dark: true }, phone: { phone: true, dark: false } };

/** What this server's API has; a page may ask for more than a server of another version knows. */
const document = await (await fetch(`${base}/api/v2/openapi.json`)).json();
const known = Object.keys(document.paths).map((path) => new RegExp(`/api/v2${path.replace(/^\/api\/v2/, '').replace(/\{[^}]+\}/g, '[^/?]+')}(\\?|$)`));

function unexpected(line) {
  return !/status of 404/.test(line) || !line.includes('/api/v2/') || known.some((path) => path.test(line));
}

async function firstVisit(open, storage) {
  const paints = [];
  let bytes = 0;
  for (let n = 0; n < VISITS || (Math.min(...paints) > MAX_PAINT && n < MOST_VISITS); n += 1) {
    const { page, context } = await open({ storage });
    bytes = 0;
    const sizes = [];
    page.on('requestfinished', (request) => { if (new URL(request.url()).pathname.startsWith('/console/')) sizes.push(request.sizes()); });
    await page.goto(`${base}/console/`);
    await settled(page);
    for (const size of await Promise.all(sizes)) bytes += size.responseBodySize;
    paints.push(await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime));
    await context.close();
  }
  const best = Math.min(...paints);
  check(bytes > 5000 && bytes <= MAX_BYTES, `the first page takes ${bytes} bytes`);
  check(best <= MAX_PAINT, `the first paint comes after ${best} ms`);
  return `first page ${(bytes / 1024).toFixed(1)} KiB, first paint ${paints.map(Math.round).join(' ')} ms`;
}

/** The answer of the server with many branches more; making them would take minutes. */
async function withMany(page, project) {
  await page.route(`**/api/v2/projects/${project}/branches?*`, async (route) => {
    const response = await route.fetch();
    const json = await response.json();
    const first = json.branches[0];
    const made = Array.from({ length: BRANCHES - json.branches.length }, (_, n) => ({
      ...first,
      id: `br-made-${n}`,
      name: `preview/pr-${n}`,
      default: false,
      primary: false,
      protected: n % 50 === 0,
      // Chains of ten, many siblings.
      parent_id: n % 10 === 0 ? first.id : `br-made-${n - 1}`,
      created_at: new Date(Date.now() - n * 3_600_000).toISOString(),
    }));
    await route.fulfill({ response, json: { branches: [...json.branches, ...made] } });
  });
  await page.route('**/branches/br-made-*', (route) => route.fulfill({ json: { branch: { logical_size: 31_000_000, own_size: 0, history_size: 0 } } }));
}

async function thousand(open, storage, project) {
  const { page, context } = await open({ storage });
  await withMany(page, project);
  await page.goto(`${base}/console/projects/${project}/branches`);
  await page.getByText('1,000 branches').waitFor();
  const drawn = () => page.locator('.tree-row').count();
  check((await drawn()) < MAX_ROWS, `${await drawn()} rows are drawn`);
  // Scrolling through all of it: how long a frame takes at the worst of times.
  const frames = await page.evaluate(async () => {
    const times = [];
    const bottom = document.documentElement.scrollHeight;
    for (let y = 0; y < bottom; y += 900) {
      const start = performance.now();
      window.scrollTo(0, y);
      await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
      times.push(performance.now() - start);
    }
    return times.sort((a, b) => a - b);
  });
  const p95 = frames[Math.floor(frames.length * 0.95)];
  check((await drawn()) < MAX_ROWS, `${await drawn()} rows are drawn after scrolling`);
  await page.waitForFunction(() => [...document.querySelectorAll('.tree-row')].some((row) => row.getBoundingClientRect().bottom < innerHeight && row.getBoundingClientRect().top > 0));
  // The last by one key, from the first.
  await page.evaluate(() => window.scrollTo(0, 0));
  await page.locator('.tree-row').first().focus();
  await page.keyboard.press('End');
  await page.waitForFunction((last) => document.activeElement?.getAttribute('data-index') === String(last), BRANCHES - 1);
  await page.keyboard.press('Home');
  await page.waitForFunction(() => document.activeElement?.getAttribute('data-index') === '0');
  await page.getByLabel('Search branches').fill('pr-777');
  await page.getByText('preview/pr-777').waitFor();
  check((await drawn()) <= 12, 'what was searched for, and what is above it');
  await inspect(page, 'a thousand branches', { shift: false });
  await page.getByLabel('Search branches').fill('');
  await page.getByRole('button', { name: 'Collapse all' }).click();
  await page.waitForFunction(() => document.querySelectorAll('.tree-row').length === 1);
  await context.close();
  return `frame p95 ${p95.toFixed(0)} ms`;
}

async function everyPage(open, storage, project, endpoint, dress) {
  // All complaints, not the first alone.
  const complaints = [];
  const look = async (where, at) => {
    try { await at(); } catch (error) { complaints.push(`${where}: ${error.message}`); }
  };
  let worst = 0;
  const { page, wrong } = await open({ ...dress, storage });
  const paths = [...OF_SERVER, ...OF_PROJECT.map((path) => `/projects/${project}${path}`), `/projects/${project}/endpoints/${endpoint}`, '/nothing-here'];
  for (const path of paths) {
    const where = `${path} ${dress.phone ? 'phone' : 'wide'} ${dress.dark ? 'dark' : 'light'}`;
    await page.goto(`${base}/console${path}`);
    await settled(page).catch(() => complaints.push(`${where}: a skeleton stays`));
    await look(where, async () => { worst = Math.max(worst, await inspect(page, where)); });
    if (process.env.PICTURES) await page.screenshot({ path: `${process.env.PICTURES}/${where.replace(/[/ ]/g, '_')}.png` });
    await look(where, () => equal(wrong.splice(0).filter(unexpected), [], where));
  }
  if (dress.phone) {
    await page.getByRole('button', { name: 'Navigation' }).click();
    await page.getByRole('dialog', { name: 'Navigation' }).getByRole('link', { name: 'Audit' }).click();
    await page.getByRole('heading', { name: 'Audit', level: 1 }).waitFor();
  }
  check(complaints.length === 0, complaints.join('\n'));
  return `${paths.length} pages, worst shift ${worst.toFixed(3)}`;
}

/** Nobody has made anything yet. */
async function nothing(open, storage) {
  for (const { id } of (await api('GET', '/projects')).projects) await api('DELETE', `/projects/${id}`);
  const { page } = await open({ storage });
  await page.goto(`${base}/console/`);
  await page.getByText('No projects yet').waitFor();
  await inspect(page, 'no projects');
  for (const path of ['/usage', '/cost', '/alerts']) {
    await page.goto(`${base}/console${path}`);
    await settled(page);
    await inspect(page, `${path} without projects`);
  }
}

await run('console_looks', async (open) => {
  const project = process.env.PROJECT;
  const first = await open();
  const storage = await signIn(first.page);
  await first.page.goto('about:blank');
  if (PART === 'first') {
    const said = [await firstVisit(open, storage), await thousand(open, storage, project)];
    await nothing(open, storage);
    return said.join(', ');
  }
  await api('POST', `/projects/${project}/branches`, { branch: { name: 'staging', protected: true }, endpoints: [{ type: 'read_write' }] });
  const { endpoints } = await api('GET', `/projects/${project}/endpoints`);
  return everyPage(open, storage, project, endpoints[0].id, DRESSES[PART]);
});
