// The pages of figures: an endpoint with its timeline, controls and bounds, usage, cost, alerts. What they show is compared
// with what the API says. How they look in other dresses is seen by console_looks.mjs.
import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import { api, base, check, equal, inspect, run, settled, signIn } from './house.mjs';

const project = process.env.PROJECT;

/** The text behind a label in the row of figures. */
const figure = (page, label) => page.locator('.stat').filter({ has: page.locator('dt', { hasText: new RegExp(`^${label}$`) }) }).locator('dd').first().textContent();

async function endpoint(page, id) {
  const path = `/projects/${project}/endpoints/${id}`;
  const state = async () => (await api('GET', path)).endpoint.state;
  const button = (name) => page.getByRole('button', { name, exact: true });
  await api('POST', `${path}/start`);
  await page.goto(`${base}/console${path}`);
  await settled(page);
  await inspect(page, 'an endpoint');
  await button('Suspend').click();
  await page.getByText(/Asleep after/).waitFor();
  equal(await state(), 'stopped', 'after Suspend');
  await button('Wake').click();
  await page.getByText(/Awake after/).waitFor();
  await button('Pause').click();
  await page.getByText(/Paused after/).waitFor();
  equal(await state(), 'paused', 'after Pause');
  await button('Wake').click();
  await page.locator('.page-head').getByText('Active').waitFor();
  await button('Restart').click();
  await page.getByText(/Restarted after/).waitFor();
  equal(await state(), 'active', 'after Restart');

  const woken = async () => (await api('GET', `${path}/events?limit=400`)).events.filter((event) => event.kind === 'woke').length;
  await page.waitForFunction((many) => document.querySelectorAll('.wake-row').length === many, Math.min(8, await woken()));
  // The timeline by keyboard: from the end back to a wake, with where its time went.
  const band = page.getByRole('img', { name: /^States: active for/ });
  await band.focus();
  await page.keyboard.press('ArrowLeft');
  await page.locator('.tip').getByText(/^Active, from/).waitFor();
  await page.keyboard.press('ArrowLeft');
  await page.locator('.tip').getByText(/^Waking, from/).waitFor();
  await page.locator('.tip .legend').getByText('PostgreSQL start').waitFor();
  check((await page.locator('figure').first().locator('[aria-live]').textContent()).startsWith('Waking'), 'a screen reader hears it');
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'States as a table' }).click();
  const states = await page.getByRole('region', { name: 'States, figures' }).locator('tbody tr td:nth-child(2)').allTextContents();
  for (const one of ['Active', 'Paused', 'Asleep', 'Waking']) check(states.includes(one), `${one} is in the table: ${states}`);
  await page.getByRole('button', { name: 'States as a table' }).click();

  await page.getByRole('row', { name: /woke in/i }).first().waitFor();

  await page.getByLabel('Idle before sleep').selectOption({ label: '30 s' });
  await page.getByLabel('Largest size').selectOption({ index: 2 });
  await page.locator('form').getByRole('button', { name: 'Save' }).click();
  await page.getByText('Saved', { exact: true }).waitFor();
  const changed = (await api('GET', path)).endpoint;
  equal([changed.suspend_timeout_seconds, changed.autoscaling_limit_max_cu], [30, 1], 'what was saved');

  await page.getByRole('button', { name: 'Add a window' }).click();
  await page.getByRole('dialog').getByLabel('From (UTC)').fill('07:30');
  await page.getByRole('dialog').getByLabel('To (UTC)').fill('17:00');
  await inspect(page, 'a window', { shift: false });
  await page.getByRole('dialog').getByRole('button', { name: 'Add', exact: true }).click();
  await page.getByText('Monday to Friday, 07:30 to 17:00 UTC').waitFor();
  await page.getByText('47.5 of the 168 hours').waitFor();
  equal((await api('GET', path)).endpoint.keep_warm, [{ schedule: '30 7 * * 1-5', minutes: 570 }], 'the window');
  await page.getByRole('button', { name: /^Remove Monday to Friday/ }).click();
  await page.getByText('It sleeps whenever there is nothing to do').waitFor();

  // What was measured: as soon as there is a sample, there is a line.
  await page.getByRole('figure', { name: 'Size' }).locator('path.line, circle.dot').first().waitFor({ state: 'attached', timeout: 60_000 });
  check(/CU/.test(await figure(page, 'Size now')), 'the size now');
  await page.getByRole('button', { name: 'Size as a table' }).click();
  await page.getByRole('region', { name: 'Size, figures' }).getByRole('row').nth(1).waitFor();
}

async function usage(page) {
  for (const path of ['/usage?span=day', `/projects/${project}/usage?span=day`]) {
    await page.goto(`${base}/console${path}`);
    await settled(page);
    const wakes = Number(await figure(page, 'Wakes'));
    const { totals } = await api('GET', '/usage');
    check(wakes > 0 && wakes <= totals.wakes, `${path}: ${wakes} wakes, the API has ${totals.wakes}`);
    const bars = page.getByRole('img', { name: /^Wakes\./ });
    await bars.focus();
    await page.keyboard.press('End');
    equal(Number(await page.locator('.tip b').textContent()), wakes, 'all of them in the last hour');
    await page.keyboard.press('Escape');
    await page.getByRole('table', { name: 'Usage by branch' }).getByText('main').waitFor();
    await inspect(page, path);
  }
  await page.getByRole('button', { name: 'Change quotas' }).click();
  const dialog = page.getByRole('dialog', { name: 'Quotas' });
  await dialog.getByRole('button', { name: 'Compute' }).click();
  await dialog.getByLabel('Limit, CU-hours').fill('2.5');
  await dialog.getByLabel('When used up').selectOption({ label: 'Suspend and refuse' });
  await inspect(page, 'quotas', { shift: false });
  await dialog.getByRole('button', { name: 'Save' }).click();
  await page.getByText(/of 2\.5 CU-hours/).waitFor();
  const { quotas } = await api('GET', `/projects/${project}/quotas`);
  equal(quotas.map(({ measure, limit, action }) => [measure, limit, action]), [['cu_seconds', 9000, 'suspend']], 'the quota');
}

async function cost(page) {
  await page.goto(`${base}/console/cost`);
  await settled(page);
  await page.locator('.whatif .bill').first().waitFor();
  await inspect(page, 'cost');
  const { sheets } = await api('GET', '/cost');
  const section = page.locator('section').filter({ has: page.getByRole('heading', { name: 'On each price sheet' }) });
  equal(await section.locator('.bill').count(), sheets.length, 'a line for each sheet');
  const estimate = { hours_active: 730, hours_in_month: 730, average_cu: 1, peak_cu: 2, storage_gb: 10, history_gb: 2, io_million: 10, egress_gb: 10 };
  const always = (await api('POST', '/cost/estimate', estimate)).sheets;
  // One key from 10 % to always.
  await page.getByLabel(/Hours active in a month/).focus();
  await page.keyboard.press('End');
  const words = (amount, currency) => new Intl.NumberFormat('en', { style: 'currency', currency, minimumFractionDigits: 2, maximumFractionDigits: 2 }).format(amount);
  for (const sheet of always) {
    await page.locator(`.whatif .bill[data-sheet="${sheet.id}"] .bill-total b`).filter({ hasText: words(sheet.total, sheet.currency) }).waitFor();
  }
  const first = page.locator('.whatif .bill').first();
  await first.getByRole('button').click();
  const id = await first.getAttribute('data-sheet');
  const shown = always.find((sheet) => sheet.id === id);
  equal(await first.locator('.bill-lines tbody tr').count(), shown.lines.length, 'the lines of a bill');
  await inspect(page, 'a bill', { shift: false });
}

async function alerts(page) {
  await page.goto(`${base}/console/alerts?tab=rules`);
  await settled(page);
  const before = (await api('GET', '/alerts/rules')).rules;
  equal(await page.getByRole('table', { name: 'Rules' }).locator('tbody tr').count(), before.length, 'the rules that come with the server');
  await page.getByRole('button', { name: 'New rule' }).click();
  const dialog = page.getByRole('dialog', { name: 'New rule' });
  await dialog.getByLabel('Name').fill('many clients');
  await dialog.getByLabel('Metric').selectOption('database_connections');
  await dialog.getByLabel('Warning, count').fill('50');
  await dialog.getByLabel('Periods in a row').fill('2');
  await inspect(page, 'a rule', { shift: false });
  await dialog.getByRole('button', { name: 'Save' }).click();
  await page.getByRole('row', { name: /many clients.*warning above 50, 2 times in a row/ }).waitFor();
  const made = (await api('GET', '/alerts/rules')).rules.find(({ name }) => name === 'many clients');
  equal([made.metric, made.warning, made.datapoints, made.comparison], ['database_connections', 50, 2, '>'], 'the rule');
  await page.getByRole('button', { name: 'More about many clients' }).click();
  await page.getByRole('menuitem', { name: 'Edit' }).click();
  await page.getByRole('dialog').getByLabel('Critical, count').fill('90');
  await page.getByRole('dialog').getByLabel('Warning, count').fill('');
  await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click();
  await page.getByRole('row', { name: /many clients.*critical above 90/ }).waitFor();
  await page.getByRole('button', { name: 'More about many clients' }).click();
  await page.getByRole('menuitem', { name: 'Delete…' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Delete rule' }).click();
  await page.getByText('many clients is deleted.').waitFor();
  equal((await api('GET', '/alerts/rules')).rules.length, before.length, 'the rule is gone');

  // A receiver that checks the signature.
  const got = [];
  const receiver = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk) => { body += chunk; });
    request.on('end', () => {
      got.push({ body, signature: request.headers['dormouse-signature'] });
      response.end();
    });
  });
  await new Promise((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  await page.getByRole('tab', { name: 'Webhooks' }).click();
  await page.getByRole('button', { name: 'Add a webhook' }).click();
  await page.getByLabel('Address').fill(`http://127.0.0.1:${receiver.address().port}/hook`);
  await page.getByLabel('Name').fill('pager');
  await page.getByRole('dialog').getByRole('button', { name: 'Add', exact: true }).click();
  const secret = (await page.getByRole('dialog').locator('pre').textContent()).trim();
  await page.getByRole('button', { name: 'I have it' }).click();
  await page.getByRole('button', { name: 'Test', exact: true }).click();
  await page.getByText('pager answered 200').waitFor();
  const [, time, mark] = /^t=(\d+),v1=([0-9a-f]+)$/.exec(got[0].signature);
  equal(createHmac('sha256', secret).update(`${time}.${got[0].body}`).digest('hex'), mark, 'the signature');
  receiver.closeAllConnections();
  receiver.close();
  await page.getByRole('button', { name: 'Remove pager' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Remove webhook' }).click();
  await page.getByText('Nobody is told yet').waitFor();
  for (const tab of ['Now', 'History']) {
    await page.getByRole('tab', { name: tab }).click();
    await settled(page);
    await inspect(page, `alerts ${tab}`, { shift: false });
  }
}

await run('console_figures', async (open) => {
  const { page } = await open();
  await signIn(page);
  const { endpoints } = await api('GET', `/projects/${project}/endpoints`);
  await endpoint(page, endpoints[0].id);
  await usage(page);
  await cost(page);
  await alerts(page);
});
