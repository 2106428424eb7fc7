// A page of another origin in a real browser (Chromium, driven by Playwright) with the unmodified driver: over fetch, with
// everything CORS asks for, and over WebSocket; in the clear, and over TLS (HTTPS is the same port). See gateway_checks.mjs.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { modules } from './dsn.mjs';
import { base, begin, check, finish, sleep, url } from './gateway_checks.mjs';

const { chromium } = createRequire(join(modules, '../browser/package.json'))('playwright-core');
begin('browser');

// The page's own server: it has the page and the driver's file, and allows nobody anything.
const driver = readFileSync(resolve(modules, 'node_modules/@neondatabase/serverless/index.mjs'));
const files = {
  '/': ['text/html', '<!doctype html><meta charset="utf-8"><title>A page</title>'],
  '/serverless.mjs': ['text/javascript', driver],
};
const pages = createServer((request, response) => {
  const [type, body] = files[request.url] ?? ['text/plain', 'nothing here'];
  response.writeHead(files[request.url] ? 200 : 404, { 'Content-Type': type }).end(body);
});
await new Promise((done) => pages.listen(0, '127.0.0.1', done));
const port = pages.address().port;

// Chromium wants a home; root may not have its sandbox.
const home = mkdtempSync(join(tmpdir(), 'browser-'));
process.on('exit', () => rmSync(home, { recursive: true, force: true }));
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
  env: { PATH: process.env.PATH, HOME: home, LANG: 'C.UTF-8' },
});

async function open(base) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(error.message));
  const preflights = [];
  const network = await context.newCDPSession(page);
  network.on('Network.requestWillBeSent', ({ request }) => {
    if (request.method === 'OPTIONS') preflights.push(request.url);
  });
  await network.send('Network.enable');
  await page.goto(`http://127.0.0.1:${port}/`);
  await page.evaluate(async ({ base }) => {
    const neon = await import('/serverless.mjs');
    const { neonConfig } = neon;
    neonConfig.fetchEndpoint = () => `${base}/sql`;
    neonConfig.wsProxy = () => `${new URL(base).host}/v2`;
    neonConfig.useSecureWebSocket = base.startsWith('https:');
    // What a page's error is made of, as only plain objects come out of the page.
    const refused = async (promise) => {
      try { await promise; return null; } catch (error) { return { name: error.name, code: error.code, message: error.message }; }
    };
    Object.assign(globalThis, { neon, refused });
  }, { base });
  return { page, preflights, complaints, close: () => context.close() };
}

const https = base.replace('http://127.0.0.1', 'https://localhost');
for (const address of [base, https]) {
  const name = new URL(address).protocol;
  const { page, preflights, complaints, close } = await open(address);
  const run = (body, more) => page.evaluate(body, { url, base: address, port, ...more });

  await check(`rows by fetch, ${name}`, async () => {
    const rows = await run(({ url }) => neon.neon(url)`select ${40}::int + 2 as n, 'häsel' as name, ${[1, null]}::int[] as list`);
    assert.deepEqual(rows, [{ n: 42, name: 'häsel', list: [1, null] }]);
    assert.deepEqual(preflights, [`${address}/sql`], 'the browser asked first');
  });
  await check(`a batch by fetch, ${name}`, async () => {
    const results = await run(async ({ url }) => {
      const sql = neon.neon(url);
      return sql.transaction([sql`select 1 a`, sql`select 2 b`], { isolationLevel: 'Serializable', readOnly: true, deferrable: true });
    });
    assert.deepEqual(results, [[{ a: 1 }], [{ b: 2 }]]);
    assert.equal(preflights.length, 1, 'one question is enough, for the headers of a batch as well');
  });
  await check(`errors by fetch, ${name}`, async () => {
    const error = await run(({ url }) => refused(neon.neon(url)`select 1 / 0`));
    assert.deepEqual(error, { name: 'NeonDbError', code: '22012', message: 'division by zero' });
    const wrong = await run(({ url }) => {
      const other = new URL(url);
      other.password = 'wrong';
      return refused(neon.neon(other.href)`select 1`);
    });
    assert.equal(wrong.code, '28P01');
  });
  await check(`a large result by fetch, ${name}`, async () => {
    const sizes = await run(async ({ url }) => {
      const rows = await neon.neon(url).query('select g, repeat(md5(g::text), 50) t from generate_series(1, 10000) g');
      return [rows.length, rows.reduce((sum, row) => sum + row.t.length, 0)];
    });
    assert.deepEqual(sizes, [10_000, 16_000_000]);
    const cut = await run(({ url }) =>
      refused(neon.neon(url).query('select repeat(md5(g::text), 50) t, 1 / (10000 - g) from generate_series(1, 10000) g')));
    assert.ok(cut, 'a part is not taken for the whole');
  });
  await check(`plain fetch reads what is told to pages, ${name}`, async () => {
    const told = await run(async ({ url, base }) => {
      const reply = await fetch(`${base}/sql`, {
        method: 'POST',
        headers: { 'Neon-Connection-String': url, 'Content-Type': 'application/json' },
        body: JSON.stringify({ query: 'select $1::int as n', params: [7] }),
      });
      return [reply.status, reply.headers.get('neon-request-id').length, (await reply.json()).rows];
    });
    assert.deepEqual(told, [200, 20, [{ n: 7 }]]);
    // The browser means it: the API, which is not for pages of others, cannot be read.
    const other = await run(({ base }) => refused(fetch(`${base}/api/v2/openapi.json`)));
    assert.equal(other.name, 'TypeError');
  });
  await check(`rows by WebSocket, ${name}`, async () => {
    const result = await run(async ({ url }) => {
      const pool = new neon.Pool({ connectionString: url, max: 3 });
      const all = await Promise.all(Array.from({ length: 20 }, (_, i) => pool.query('select $1::int as i', [i])));
      await pool.end();
      const client = new neon.Client(url);
      client.on('error', () => {});
      await client.connect();
      await client.query('begin');
      await client.query('create temp table page_temp (v int) on commit drop');
      await client.query('insert into page_temp values (1), (2)');
      const { rows } = await client.query('select sum(v)::int as v from page_temp');
      const error = await refused(client.query('select 1 / 0'));
      await client.query('rollback');
      await client.end();
      return [all.map((one) => one.rows[0].i), rows, error.code];
    });
    assert.deepEqual(result, [Array.from({ length: 20 }, (_, i) => i), [{ v: 3 }], '22012']);
  });
  if (address === base) {
    await check('a socket of a page lives on while the endpoint sleeps', async () => {
      await run(async ({ url }) => {
        globalThis.kept = new neon.Client(url);
        kept.on('error', (error) => { throw error; });
        await kept.connect();
        await kept.query("set application_name = 'page'");
      });
      await sleep();
      const name = await run(async () => (await kept.query("select current_setting('application_name') a")).rows[0].a);
      assert.equal(name, 'page');
      await run(() => kept.end());
      await sleep();
      assert.deepEqual(await run(({ url }) => neon.neon(url)`select 1 as n`), [{ n: 1 }]);
    });
  }
  assert.deepEqual(complaints, []);
  await close();
}
await browser.close();
pages.close();
finish();
