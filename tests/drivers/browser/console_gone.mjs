// The server dies, is gone for a while, and comes back on the same port; somebody looks on. The test ends it when the
// file GO appears, and starts it again when BACK does. At the end the server is only slow.
import { writeFileSync } from 'node:fs';
import { base, check, run, settled, signIn } from './house.mjs';

await run('console_gone', async (open) => {
  const { page, wrong } = await open();
  await signIn(page);
  await page.goto(`${base}/console/projects/${process.env.PROJECT}`);
  await settled(page);
  const heading = page.getByRole('heading', { level: 1 });
  const name = await heading.textContent();
  writeFileSync(process.env.GO, '');
  await page.getByText('The server does not answer.').waitFor();
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
  // A server that is gone is one that the browser reports.
  const other = wrong.splice(0).filter((line) => !/ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_SOCKET_NOT_CONNECTED|Failed to load resource/.test(line));
  check(other.length === 0, other.join('\n'));
});
