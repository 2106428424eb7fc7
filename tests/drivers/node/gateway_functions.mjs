// Functions as the clouds run them: a Lambda-style handler with a global pool of one, a Workers-style fetch handler,
// and plain fetch without any driver. See gateway_checks.mjs and docs/guides.

import assert from 'node:assert/strict';
import { load, pg } from './dsn.mjs';
import { base, begin, check, driver, finish, sleep, url } from './gateway_checks.mjs';

const { neon, Pool } = await driver();
begin('functions');

// Lambda: the module is loaded once, the handler is called for each event; between two events the process may be
// frozen for hours.
const lambda = (() => {
  const pool = new Pool({ connectionString: url, max: 1 });
  pool.on('error', () => {});
  return async (event) => {
    const { rows } = await pool.query('select $1::int * 2 as twice', [event.n]);
    return { statusCode: 200, body: JSON.stringify(rows[0]) };
  };
})();
const lambdaTcp = (() => {
  const parsed = new URL(url);
  const pool = new pg.Pool({
    host: parsed.hostname, port: Number(parsed.port), user: parsed.username, password: decodeURIComponent(parsed.password),
    database: parsed.pathname.slice(1), options: parsed.searchParams.get('options') ?? undefined, max: 1,
  });
  pool.on('error', () => {});
  return async (event) => {
    const { rows } = await pool.query('select $1::int * 2 as twice', [event.n]);
    return { statusCode: 200, body: JSON.stringify(rows[0]) };
  };
})();
for (const [name, handler] of [['WebSocket', lambda], ['the pooled URL', lambdaTcp]]) {
  await check(`a Lambda-style handler over ${name}`, async () => {
    for (let n = 0; n < 5; n++) assert.equal((await handler({ n })).body, `{"twice":${n * 2}}`);
    const burst = await Promise.all(Array.from({ length: 10 }, (_, n) => handler({ n })));
    burst.forEach((reply, n) => assert.equal(reply.body, `{"twice":${n * 2}}`));
    await sleep();
    assert.equal((await handler({ n: 21 })).body, '{"twice":42}');
  });
}

// Workers: nothing outlives a request.
const worker = {
  async fetch(request, env) {
    const sql = neon(env.DATABASE_URL);
    const id = new URL(request.url).searchParams.get('id');
    const [row] = await sql`select ${id}::int as id, 'dormouse' as name`;
    return Response.json(row);
  },
};
await check('a Workers-style handler', async () => {
  for (let round = 0; round < 2; round++) {
    const reply = await worker.fetch(new Request(`https://worker.example/?id=${round}`), { DATABASE_URL: url });
    assert.deepEqual(await reply.json(), { id: round, name: 'dormouse' });
    if (round === 0) await sleep();
  }
});
await check('a Workers-style handler with a socket of its own', async () => {
  const pool = new Pool({ connectionString: url });
  const { rows } = await pool.query('select 1 as n');
  assert.deepEqual(rows, [{ n: 1 }]);
  await pool.end();
});

await check('fetch, without a driver', async () => {
  const reply = await fetch(`${base}/sql`, {
    method: 'POST',
    headers: { 'Neon-Connection-String': url, 'Content-Type': 'application/json' },
    body: JSON.stringify({ query: 'select $1::int as n, $2::jsonb as j, $3::int[] as a', params: [1, { x: [1, null] }, [1, null, 3]] }),
  });
  assert.equal(reply.status, 200);
  assert.match(reply.headers.get('neon-request-id'), /^[A-Za-z0-9]{20}$/);
  assert.deepEqual((await reply.json()).rows, [{ n: 1, j: { x: [1, null] }, a: [1, null, 3] }]);
});

// The platform's own WebSocket, where there is one (Node 22 and newer), behaves like ws.
if (globalThis.WebSocket) {
  await check('the WebSocket of the platform', async () => {
    assert.ok(load);
    const socket = new WebSocket(`${base.replace('http', 'ws')}/v2`);
    await new Promise((resolve, reject) => Object.assign(socket, { onopen: resolve, onerror: reject }));
    socket.close();
  });
}
finish();
