// The server dies, is gone for a while, and comes back on the same port; somebody looks on. The test ends it when the
// file GO appears, and starts it again when BACK does. Then the server is only slow, then it refuses, then the session ends; what
// somebody typed is there all the time.
import { writeFileSync } from 'node:fs';
import { api, base, check, equal, key, run, settled, signIn } from './house.mjs';

const project = process.env.PROJECT;
const path = `/console/projects/${project}`;

/** What cannot be had again is told, with what was had; what is not there any more is not shown any more. */
async function refused(page) {
  await page.goto(`${base}${path}/endpoints`);
  await settled(page);
  const list = (status, body) => page.route('**/endpoints', (route) => route.fulfill({ status, json: body }));
  const table = page.getByRole('table', { name: 'Endpoints' });
  await list(500, { message: 'the disk is full', code: 'internal' });
  await page.getByText('Some of this is old: it cannot be had again now. The disk is full.').waitFor();
  check(await table.isVisible(), 'what was seen stays');
  await page.unrouteAll({ behavior: 'wait' });
  await page.getByText('Some of this is old').waitFor({ state: 'detached' });
  await list(404, { message: 'there is no such project', code: 'project-not-found' });
  await page.getByText('The endpoints cannot be shown').waitFor();
  check(!(await table.isVisible()), 'what is gone is not shown');
  await page.unrouteAll({ behavior: 'wait' });
}

/** The session ends while somebody types; whoever comes back with the same key goes on where they were. */
async function ended(page) {
  await page.goto(`${base}${path}/settings`);
  await settled(page);
  await page.getByLabel('Name').fill('a new name');
  await page.getByLabel('Days').fill('5');
  const { sessions } = await api('GET', '/console_sessions');
  for (const { id } of sessions) await api('DELETE', `/console_sessions/${id}`);
  const save = page.locator('section').filter({ has: page.getByRole('heading', { name: 'General' }) }).getByRole('button', { name: 'Save' });
  await save.click();
  const again = page.getByRole('dialog', { name: 'Sign in again' });
  await again.getByText('The session has ended.').waitFor();
  await page.keyboard.press('Escape');
  check(await again.isVisible(), 'nobody gets past it');
  await again.getByLabel('API key').fill(key);
  await again.getByRole('button', { name: 'Sign in' }).click();
  await again.waitFor({ state: 'detached' });
  equal([await page.getByLabel('Name').inputValue(), await page.getByLabel('Days').inputValue()], ['a new name', '5'], 'what was typed');
  await save.click();
  await page.getByText('Saved.').waitFor();
  await page.getByRole('navigation').getByText('a new name').waitFor();
  equal(await page.getByLabel('Days').inputValue(), '5', 'what is not saved yet');
}

await run('console_gone', async (open) => {
  const { page, wrong } = await open();
  await signIn(page);
  await page.goto(`${base}${path}`);
  await settled(page);
  const heading = page.getByRole('heading', { level: 1 });
  const name = await heading.textContent();
  await page.getByRole('button', { name: 'Connect', exact: true }).click();
  await page.getByLabel('connection string', { exact: true }).waitFor();
  writeFileSync(process.env.GO, '');
  await page.getByText('The server does not answer.').waitFor();
  await page.locator('.gone:popover-open').waitFor();
  await page.keyboard.press('Escape');
  check((await heading.textContent()) === name && (await page.getByRole('table', { name: 'Endpoints' }).isVisible()), 'what was seen stays');
  // Another page can be opened, and says that it waits.
  await page.getByRole('link', { name: 'Operations', exact: true }).click();
  await page.getByText('Next try in').or(page.getByText('Trying…')).first().waitFor();
  writeFileSync(process.env.BACK, '');
  await page.getByText('The server does not answer.').waitFor({ state: 'detached', timeout: 60_000 });
  await page.getByRole('heading', { name: 'Operations', level: 1 }).waitFor();
  await page.getByRole('row', { name: /Create project/ }).first().waitFor();
  // The session has survived, and nothing has to be reloaded.
  await page.getByRole('link', { name: 'Overview' }).click();
  await page.getByText('Active endpoints').waitFor();
  await settled(page);
  // It is slow: that is said, once, and not as an error.
  await page.route('**/api/v2/**', async (route) => {
    await new Promise((resolve) => setTimeout(resolve, 4000));
    await route.continue().catch(() => {});
  });
  await page.getByRole('link', { name: 'Branches', exact: true }).click();
  await page.getByText('The server takes its time to answer.').waitFor();
  await page.unrouteAll({ behavior: 'ignoreErrors' });
  await page.getByText('The server takes its time to answer.').waitFor({ state: 'detached' });
  await page.getByText('1 branch').waitFor();
  await refused(page);
  await ended(page);
  // A server that is gone is one that the browser reports.
  const other = wrong.splice(0).filter((line) => !/ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_SOCKET_NOT_CONNECTED|Failed to load resource/.test(line));
  check(other.length === 0, other.join('\n'));
});
