// The SQL editor and the page of queries, as people use them: an endpoint that sleeps is woken by the first statement and
// not before, several statements are one session, errors have a place, large results scroll, plans are trees.
import { readFileSync } from 'node:fs';
import { api, base, check, equal, inspect, key, run, settled, signIn } from './house.mjs';

const project = process.env.PROJECT;

/** A query as a program asks it. */
async function ask(query) {
  const response = await fetch(`${base}/v1/queries`, { method: 'POST', headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' }, body: JSON.stringify({ query, project, branch: 'main', database: 'app', arrayMode: true }) });
  check(response.ok, `${query}: ${await response.clone().text()}`);
  return (await response.json()).rows;
}

/** Puts a text into the editor. It is pasted, so that nothing completes or closes brackets. */
async function write(page, text) {
  await page.locator('.cm-content').click();
  await page.keyboard.press('Control+a');
  await page.keyboard.press('Delete');
  if (text === '') return;
  await page.evaluate((words) => navigator.clipboard.writeText(words), text);
  await page.keyboard.press('Control+v');
}

async function runAll(page, text) {
  await write(page, text);
  await page.keyboard.press('Control+Shift+Enter');
  await ended(page);
}

const ended = (page) => page.getByText(/(Took|Cancelled after) .* in all/).waitFor();
const cells = (page) => page.getByRole('gridcell').allTextContents();

async function waking(page, endpoint) {
  await api('POST', `/projects/${project}/endpoints/${endpoint}/suspend`);
  await page.goto(`${base}/console/projects/${project}/sql`);
  await settled(page);
  await page.locator('.cm-content').waitFor();
  await page.getByText('The branch is asleep').waitFor();
  // Completion could have asked by now.
  await page.waitForTimeout(500);
  equal((await api('GET', `/projects/${project}/endpoints/${endpoint}`)).endpoint.state, 'stopped', 'opening the page wakes nothing');
  await inspect(page, 'the editor');
  await write(page, "select 1 as a, 2 as a, null as n, '' as t, 12345678901234567890::numeric as big");
  await page.keyboard.press('Control+Enter');
  await page.getByText(/Woke main in/).waitFor();
  await ended(page);
  equal(await page.getByRole('columnheader').allTextContents(), ['aint4', 'aint4', 'ntext', 'ttext', 'bignumeric'], 'columns, of the same name too');
  equal(await cells(page), ['1', '2', 'NULL', '', '12345678901234567890'], 'values, to the last digit');
  equal(await page.locator('.grid-null').count(), 1, 'NULL is not a text');
  await page.locator('[data-state=active]').first().waitFor();
}

async function session(page) {
  await runAll(page, "begin;\ncreate table cities (id int primary key, name text, note jsonb);\ninsert into cities select g, 'city ' || g, jsonb_build_object('n', g) from generate_series(1, 9) g;\ndo $$ begin raise notice 'a; b'; end $$;\ncommit;\nselect count(*) from cities");
  equal(await page.getByRole('tab').allTextContents(), ['1 BEGIN', '2 CREATE', '3 INSERT 9', '4 DO', '5 COMMIT', '6 SELECT 1'], 'a tab for each statement');
  equal(await cells(page), ['9'], 'what the last one brought');
  await page.getByRole('tab', { name: '4 DO' }).click();
  await page.getByRole('list', { name: 'Notices' }).getByText('a; b').waitFor();
  await runAll(page, 'begin;\ninsert into cities values (100);');
  await page.getByText(/has been rolled back/).waitFor();
  equal(await ask('select count(*)::int from cities'), [[9]], 'an open transaction leaves nothing');
}

async function mistakes(page) {
  await runAll(page, "select 'ü😀';\nselect nope from cities;\nselect 2");
  await page.getByText('column "nope" does not exist').waitFor();
  equal(await page.locator('.cm-problem').allTextContents(), ['nope'], 'what is underlined');
  equal(await page.getByRole('tab').allTextContents(), ['1 SELECT 1', '2 SELECT ✕', '3 SELECT · not run'], 'the rest is not run');
  await page.getByRole('button', { name: 'Line 2, column 8' }).click();
  await inspect(page, 'a mistake', { shift: false });
  // What is at the end of the text has a place, too.
  await runAll(page, 'select 1 from');
  equal(await page.locator('.cm-problem').count(), 1, 'the end of the input is underlined');
  await page.keyboard.type(' cities');
  equal(await page.locator('.cm-problem').count(), 0, 'who types is mending it');
}

async function large(page) {
  await page.getByLabel('At most').selectOption({ label: '100 rows' });
  await runAll(page, 'select generate_series(1, 5000) as n');
  await page.getByText('the limit was reached').waitFor();
  equal(await page.getByRole('grid').getAttribute('aria-rowcount'), '101', 'rows within the limit');
  await page.getByLabel('At most').selectOption({ label: '10,000 rows' });
  await runAll(page, "select n, repeat('dormouse ', 20) as text, n * 1.5 as x from generate_series(1, 10000) n");
  equal(await page.getByRole('grid').getAttribute('aria-rowcount'), '10001', 'all rows');
  check((await page.getByRole('row').count()) < 60, `${await page.getByRole('row').count()} rows are drawn`);
  await page.getByRole('gridcell').first().focus();
  await page.keyboard.press('Control+End');
  await page.waitForFunction(() => document.activeElement?.textContent === '15000.0');
  check((await page.getByRole('row').count()) < 60, 'few rows are drawn at the end');
  await page.keyboard.press('Control+c');
  await page.getByText('Copied', { exact: true }).waitFor();
  equal(await page.evaluate(() => navigator.clipboard.readText()), '15000.0', 'a copied cell');
  await page.keyboard.press('Home');
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').getByText(/dormouse dormouse/).waitFor();
  await page.keyboard.press('Escape');

  await runAll(page, 'select id, name, nullif(id, 2) as odd, note from cities where id < 3 order by id');
  const saved = async (kind) => {
    await page.getByRole('button', { name: 'Download' }).click();
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('menuitem', { name: kind }).click()]);
    return readFileSync(await download.path(), 'utf8');
  };
  equal(await saved('CSV'), 'id,name,odd,note\r\n1,city 1,1,"{""n"": 1}"\r\n2,city 2,,"{""n"": 2}"\r\n', 'CSV');
  equal(JSON.parse(await saved('JSON')), [{ id: 1, name: 'city 1', odd: 1, note: { n: 1 } }, { id: 2, name: 'city 2', odd: null, note: { n: 2 } }], 'JSON');
}

async function cancelled(page) {
  await write(page, 'select pg_sleep(120)');
  await page.keyboard.press('Control+Enter');
  await page.getByText(/Running…/).waitFor();
  for (let n = 0; n < 100 && (await ask("select count(*)::int from pg_stat_activity where query = 'select pg_sleep(120)' and state = 'active'"))[0][0] === 0; n += 1) await page.waitForTimeout(50);
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.getByText(/Cancelled after/).waitFor();
  await page.getByText(/has been told to stop/).waitFor();
  for (let n = 0; ; n += 1) {
    const [[left]] = await ask("select count(*)::int from pg_stat_activity where query = 'select pg_sleep(120)' and state = 'active'");
    if (left === 0) break;
    check(n < 100, 'PostgreSQL goes on with a cancelled statement');
    await page.waitForTimeout(50);
  }
}

async function plans(page) {
  await write(page, 'delete from cities where id > 4');
  const explain = async (kind) => {
    await page.getByRole('button', { name: 'Explain' }).click();
    await page.getByRole('menuitem', { name: kind }).click();
    await ended(page);
  };
  await explain('Plan only');
  await page.getByRole('treeitem').first().getByText('Delete', { exact: true }).waitFor();
  await page.getByText("in the planner's units").waitFor();
  await explain('Run and measure, then roll back');
  await page.getByText(/planned in/).waitFor();
  equal(await page.getByRole('tab').count(), 0, 'what surrounds the statement is not shown');
  equal(await ask('select count(*)::int from cities'), [[9]], 'a measured DELETE deletes nothing');
  await page.getByRole('treeitem').first().focus();
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await page.getByText('(id > 4)').waitFor();
  await inspect(page, 'a plan', { shift: false });
  await explain('Run and measure, then roll back');
  // A mistake in what is explained is marked where it is, not where EXPLAIN put it.
  await write(page, 'select 1,\n  nope from cities');
  await explain('Run and measure, then roll back');
  equal(await page.locator('.cm-problem').allTextContents(), ['nope'], 'the place of a mistake in an explained statement');
}

async function remembered(page) {
  await page.getByRole('button', { name: 'History' }).click();
  const dialog = page.getByRole('dialog', { name: 'History' });
  await dialog.getByLabel('Search the history').fill('generate_series(1, 5000)');
  await dialog.getByRole('button', { name: /generate_series\(1, 5000\)/ }).click();
  await page.waitForFunction(() => document.querySelector('[data-testid=sql-editor]').shadowRoot.querySelector('.cm-content').textContent.includes('generate_series(1, 5000)'));
  await write(page, 'select 77 as draft');
  await page.reload();
  await settled(page);
  await page.locator('.cm-content').getByText('draft').waitFor();
  // Completion knows the tables of an endpoint that is awake.
  await page.waitForTimeout(300);
  for (let n = 0; ; n += 1) {
    await write(page, '');
    await page.keyboard.type('select * from citi');
    if (await page.getByRole('option', { name: 'cities' }).waitFor({ timeout: 2000 }).then(() => true, () => false)) break;
    check(n < 5, 'the table is not offered');
  }
  // Just after it has opened, the list takes no Enter: it may be meant for the text.
  await page.waitForTimeout(200);
  await page.keyboard.press('Enter');
  await page.locator('.cm-content').getByText('cities').waitFor();
  await page.keyboard.press('Control+Enter');
  await page.getByText('9 rows').waitFor();
}

async function queries(page, storage, open) {
  await page.goto(`${base}/console/projects/${project}/queries`);
  await page.getByText('Statements are not counted yet').waitFor();
  await inspect(page, 'queries, not switched on');
  await page.getByRole('button', { name: 'Switch it on' }).click();
  await page.getByText('Switched on').waitFor();
  for (let n = 0; n < 3; n += 1) await ask("select count(*)::int from cities where name like '%5%'");
  await page.getByRole('button', { name: 'Refresh' }).click();
  const row = page.getByRole('row', { name: /select count\(\*\)::int from cities where name like \$1/ });
  await row.waitFor();
  await page.getByLabel('Search statements').fill('cities where name like');
  equal(await page.getByRole('row').count(), 2, 'what is searched for');
  await row.getByRole('button').click();
  await page.getByRole('dialog').getByText(/per call/).waitFor();
  await inspect(page, 'a statement', { shift: false });
  await page.getByRole('link', { name: 'Open in the SQL editor' }).click();
  await page.locator('.cm-content').getByText('like').waitFor();
  check(!new URL(page.url()).searchParams.has('text'), 'the text does not stay in the address');
  // The same pages in other dresses.
  for (const dress of [{ dark: true }, { phone: true }]) {
    const other = await open({ ...dress, storage });
    await other.page.goto(`${base}/console/projects/${project}/queries`);
    await other.page.getByRole('table', { name: 'Statements' }).waitFor();
    await inspect(other.page, `queries ${JSON.stringify(dress)}`);
    await other.page.goto(`${base}/console/projects/${project}/sql`);
    await settled(other.page);
    await runAll(other.page, 'select * from cities');
    await inspect(other.page, `results ${JSON.stringify(dress)}`, { shift: false });
    await other.context.close();
  }
}

await run('console_sql', async (open) => {
  const { page, wrong } = await open();
  const storage = await signIn(page);
  const { endpoints } = await api('GET', `/projects/${project}/endpoints`);
  await waking(page, endpoints[0].id);
  await session(page);
  await mistakes(page);
  await large(page);
  await cancelled(page);
  await plans(page);
  await remembered(page);
  equal(wrong, [], 'errors in the browser');
  await queries(page, storage, open);
});
