// What people do in the console: sign in, make a project and a branch of its past, connect, wake, manage keys and
// settings, sign out. In a wide window, then once more with nothing but the keyboard.
import { api, base, check, equal, inspect, key, run, settled, signIn } from './house.mjs';

/** Postgres's own words for who is asked. */
const LINK = process.env.LINK;

async function signingIn(open) {
  const { page, wrong } = await open();
  await page.goto(`${base}/console/projects/nonsense`);
  await page.getByLabel('API key').fill('dm_wrong');
  await page.keyboard.press('Enter');
  await page.getByText('This API key is not known.').waitFor();
  await inspect(page, 'sign in');
  // The page about the error is part of the server.
  await page.getByRole('button', { name: 'What bad-api-key means' }).click();
  await page.getByRole('dialog').getByRole('heading', { name: 'What to do' }).waitFor();
  await page.keyboard.press('Escape');
  // The refusal is one that the browser reports.
  equal(wrong.splice(0).map((line) => /401/.test(line)), [true], 'what the browser says about a refusal');
  await page.getByLabel('API key').fill(key);
  await page.keyboard.press('Enter');
  await page.getByText('This project does not exist').waitFor();
  equal(wrong.splice(0).map((line) => /404/.test(line)).every(Boolean), true, 'a project that does not exist');

  // A link from the terminal is good once, and leaves nothing in the address.
  const other = await open();
  await other.page.goto(LINK);
  await other.page.getByRole('heading', { name: 'Projects', level: 1 }).waitFor();
  equal(new URL(other.page.url()).hash, '', 'what is left of the link');
  const third = await open();
  await third.page.goto(LINK);
  await third.page.getByLabel('API key').waitFor();
  equal(third.wrong.splice(0).map((line) => /401/.test(line)), [true], 'a link that was used');

  const cookies = await page.context().cookies();
  equal(cookies.map((cookie) => [cookie.name.startsWith('dormouse_session_'), cookie.httpOnly, cookie.sameSite]), [[true, true, 'Strict']], 'cookies');
  equal(await page.evaluate(() => [document.cookie, localStorage.length, sessionStorage.length]), ['', 0, 0], 'what scripts can read');
  // The cookie without the header is nothing, and the header without the cookie neither.
  const statuses = await page.evaluate(async () => [
    (await fetch('/api/v2/projects')).status,
    (await fetch('/api/v2/projects', { headers: { 'X-Dormouse-Console': '1' } })).status,
    (await fetch('/api/v2/projects', { headers: { 'X-Dormouse-Console': '1' }, credentials: 'omit' })).status,
  ]);
  equal(statuses, [401, 200, 401], 'requests without header or cookie');
  wrong.splice(0);
  return { page, wrong };
}

async function project(page) {
  await page.goto(`${base}/console/`);
  await settled(page);
  await page.getByRole('button', { name: 'New project' }).click();
  await page.getByLabel('Name').fill('tour');
  await page.getByRole('button', { name: 'Create project' }).click();
  await page.getByRole('heading', { name: 'tour', level: 1 }).waitFor();
  const id = new URL(page.url()).pathname.split('/')[3];
  equal((await api('GET', `/projects/${id}`)).project.name, 'tour', 'the project');
  return id;
}

async function endpoint(page, id) {
  await page.getByRole('row', { name: /main/ }).first().getByRole('button', { name: 'Wake' }).click();
  await page.getByText(/main is awake after/).waitFor();
  await page.getByRole('row', { name: /main.*Active/ }).first().waitFor();
  equal((await api('GET', `/projects/${id}/endpoints`)).endpoints[0].state, 'active', 'after Wake');
}

async function connect(page) {
  await page.locator('.page-actions').getByRole('button', { name: 'Connect' }).click();
  const dialog = page.getByRole('dialog', { name: 'Connect' });
  const string = dialog.getByLabel('connection string', { exact: true });
  await string.waitFor();
  check((await string.textContent()).includes('••••••••@'), 'the password is hidden');
  await dialog.getByRole('button', { name: 'Show password' }).click();
  const shown = await string.textContent();
  check(!shown.includes('•'), 'the password is shown');
  check(shown.includes('-pooler'), 'pooled is first');
  await dialog.getByRole('button', { name: 'Hide password' }).click();
  await dialog.getByRole('button', { name: 'Copy connection string' }).click();
  equal(await page.evaluate(() => navigator.clipboard.readText()), shown, 'what is copied has the password');
  for (const name of ['psql', '.env', 'psycopg', 'node-postgres', 'JDBC', 'Prisma', 'Drizzle']) {
    await dialog.getByRole('tab', { name, exact: true }).click();
    const text = await dialog.getByLabel(`snippet for ${name}`, { exact: true }).textContent();
    check(text.includes('••••••••') && !text.includes('%E2'), `${name} hides the password: ${text}`);
  }
  await dialog.getByText('Direct', { exact: true }).click();
  await page.waitForFunction(() => !document.querySelector('dialog pre')?.textContent.includes('-pooler'));
  await dialog.getByText('HTTP', { exact: true }).click();
  await dialog.getByRole('tab', { name: 'curl' }).click();
  check((await dialog.getByLabel('snippet for curl', { exact: true }).textContent()).includes(`${base}/sql`), 'the address of SQL over HTTP');
  await inspect(page, 'connect', { shift: false });
  await page.keyboard.press('Escape');
  return shown;
}

async function branches(page, id) {
  await page.getByRole('link', { name: 'Branches', exact: true }).first().click();
  await settled(page);
  await page.getByRole('button', { name: 'New branch' }).click();
  const dialog = page.getByRole('dialog', { name: 'New branch' });
  await dialog.getByLabel('Name').fill('preview');
  await dialog.getByText('Time', { exact: true }).click();
  const slider = dialog.getByRole('slider', { name: 'Time' });
  const before = await dialog.getByLabel('Exactly').inputValue();
  await slider.focus();
  await page.keyboard.press('Home');
  check((await dialog.getByLabel('Exactly').inputValue()) <= before, 'the slider goes into the past');
  await page.keyboard.press('End');
  for (let n = 0; n < 3; n += 1) await page.keyboard.press('ArrowLeft');
  await inspect(page, 'new branch', { shift: false });
  await dialog.getByRole('button', { name: 'Create branch' }).click();
  const details = page.getByRole('dialog', { name: /preview/ });
  await details.getByText(/^main/).waitFor();
  const made = (await api('GET', `/projects/${id}/branches`)).branches.find((one) => one.name === 'preview');
  check(made.parent_timestamp, 'it left its parent at a time');
  await page.keyboard.press('Escape');

  // Rename and protect by the menu of the row.
  const row = (name) => page.getByRole('row', { name: new RegExp(name) });
  await row('preview').getByRole('button', { name: 'Actions for preview' }).click();
  await page.getByRole('menuitem', { name: 'Rename…' }).click();
  await page.getByRole('dialog').getByLabel('Name').fill('preview/one');
  await page.keyboard.press('Enter');
  await page.getByText('preview is now preview/one.').waitFor();
  await row('preview/one').getByRole('button', { name: 'Actions for preview/one' }).click();
  await page.getByRole('menuitem', { name: 'Protect' }).click();
  await page.getByText('preview/one is protected.').waitFor();
  await row('preview/one').getByText('Protected').waitFor();
  await row('preview/one').getByRole('button', { name: 'Actions for preview/one' }).click();
  equal(await page.getByRole('menuitem', { name: 'Delete…' }).getAttribute('aria-disabled'), 'true', 'a protected branch cannot be deleted');
  await page.getByRole('menuitem', { name: 'Take protection away' }).click();
  await page.getByText('preview/one is not protected any more.').waitFor();
}

/** Nothing but keys: the tree, a branch below, its deletion. */
async function byKeyboard(page, id) {
  const focused = () => page.evaluate(() => document.activeElement?.textContent ?? '');
  const key = (name) => page.keyboard.press(name);
  await page.reload();
  await settled(page);
  for (let n = 0; n < 60 && !(await page.evaluate(() => document.activeElement?.getAttribute('role') === 'row')); n += 1) await key('Tab');
  check((await focused()).startsWith('main'), `the first branch can be reached: ${await focused()}`);
  await key('ArrowDown');
  await page.waitForFunction(() => document.activeElement?.textContent.startsWith('preview/one'));
  await key('ArrowLeft');
  await page.waitForFunction(() => document.activeElement?.textContent.startsWith('main'));
  await key('ArrowLeft');
  await page.waitForFunction(() => document.activeElement?.getAttribute('aria-expanded') === 'false');
  check(!(await page.getByText('preview/one').isVisible().catch(() => false)), 'it is collapsed');
  await key('ArrowRight');
  await page.waitForFunction(() => document.activeElement?.getAttribute('aria-expanded') === 'true');
  await key('ArrowRight');
  await page.waitForFunction(() => document.activeElement?.textContent.startsWith('preview/one'));
  await key('m');
  await page.getByRole('menu').waitFor();
  await key('End');
  equal(await focused(), 'Delete…', 'the last entry');
  await key('Enter');
  const dialog = page.getByRole('dialog', { name: 'Delete preview/one' });
  await dialog.waitFor();
  check(await dialog.getByRole('button', { name: 'Delete branch' }).isDisabled(), 'the name has to be typed');
  await page.keyboard.type('preview/one');
  await key('Enter');
  await page.getByText('preview/one is deleted.').waitFor();
  equal((await api('GET', `/projects/${id}/branches`)).branches.map((one) => one.name), ['main'], 'what is left');
}

async function keysAndSettings(page, id) {
  await page.getByRole('link', { name: 'API keys' }).click();
  await settled(page);
  await page.getByRole('button', { name: 'New key' }).click();
  await page.getByRole('dialog').getByLabel('Name').fill('ci');
  await page.getByRole('dialog').getByLabel('May use').selectOption({ label: 'Only tour' });
  await page.getByRole('button', { name: 'Create key' }).click();
  const made = (await page.getByLabel('API key', { exact: true }).textContent()).trim();
  const projects = await (await fetch(`${base}/api/v2/projects`, { headers: { Authorization: `Bearer ${made}` } })).json();
  equal(projects.projects.map((one) => one.name), ['tour'], 'what the new key sees');
  await page.getByRole('button', { name: 'I have copied it' }).click();
  await page.getByRole('button', { name: 'Revoke ci' }).click();
  await page.getByRole('dialog').getByRole('textbox').fill('ci');
  await page.getByRole('button', { name: 'Revoke key' }).click();
  await page.getByText('The key ci is revoked.').waitFor();
  equal((await fetch(`${base}/api/v2/projects`, { headers: { Authorization: `Bearer ${made}` } })).status, 401, 'the revoked key');

  await page.goto(`${base}/console/projects/${id}/settings`);
  await settled(page);
  await page.getByLabel('Days').fill('3');
  const history = page.locator('section').filter({ has: page.getByRole('heading', { name: 'History' }) });
  await history.getByRole('button', { name: 'Save' }).click();
  await page.getByText('Saved.').waitFor();
  equal((await api('GET', `/projects/${id}`)).project.history_retention_seconds, 3 * 86_400, 'the setting');

  await page.goto(`${base}/console/settings`);
  await settled(page);
  await page.getByRole('button', { name: 'Change default_pool_size' }).click();
  await page.getByRole('textbox', { name: 'default_pool_size' }).fill('33');
  await page.keyboard.press('Enter');
  await page.getByText('default_pool_size is 33.').waitFor();

  await page.goto(`${base}/console/projects/${id}/operations`);
  await page.getByRole('row', { name: /Create branch.*Finished/ }).first().waitFor();
  await page.goto(`${base}/console/audit`);
  for (const what of ['Sign in', 'Create project', 'Update pooler', 'Revoke API key']) await page.getByRole('row', { name: new RegExp(what) }).first().waitFor();
}

await run('console_tour', async (open) => {
  const { page, wrong } = await signingIn(open);
  const id = await project(page);
  await endpoint(page, id);
  await connect(page);
  await branches(page, id);
  await byKeyboard(page, id);
  await keysAndSettings(page, id);

  // The theme is chosen, and stays.
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await background();
  await page.getByRole('button', { name: 'Theme and session' }).click();
  await page.getByRole('menuitem', { name: 'Dark theme' }).click();
  check((await background()) !== light, 'it is dark');
  await page.reload();
  await settled(page);
  check((await background()) !== light, 'it stays dark');

  equal(wrong, [], 'errors in the browser');
  await page.getByRole('button', { name: 'Theme and session' }).click();
  await page.getByRole('menuitem', { name: /Sign out/ }).click();
  await page.getByLabel('API key').waitFor();
  equal(await page.evaluate(async () => (await fetch('/api/v2/projects', { headers: { 'X-Dormouse-Console': '1' } })).status), 401, 'after signing out');
  wrong.splice(0);
});
