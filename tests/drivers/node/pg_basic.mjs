// node-postgres (pure JavaScript protocol) against one database. The rules are
// those of ../python/checks.py: stop at the first failing check, one last line.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { config, pg } from './dsn.mjs';

const PROGRAM_LIMIT_MS = 90_000;
const CANCEL_LIMIT_MS = 5_000;
const NOTIFY_LIMIT_MS = 10_000;
const ROWS = 10_000;
const MEGABYTE = 'ä'.repeat(512 * 1024);

let passed = 0;
let current = 'start';

function fail(reason) {
  console.log(`FAIL pg: ${current}: ${reason}`);
  process.exit(1);
}

async function check(name, body) {
  current = name;
  try {
    await body();
  } catch (error) {
    const text = String(error?.message ?? error).slice(0, 500);
    fail(`${error?.name}${error?.code ? ` [${error.code}]` : ''}: ${text}`);
  }
  passed += 1;
}

async function connect(more = {}) {
  const client = new pg.Client({ ...config(), ...more });
  client.on('error', (error) => fail(`the connection broke: ${error.message}`));
  await client.connect();
  return client;
}

const unique = (prefix) => `${prefix}_${process.pid}_${randomBytes(4).toString('hex')}`;

async function basics(client, schema) {
  await check('unnamed parameters 10 times', async () => {
    for (let i = 0; i < 10; i++) {
      const { rows } = await client.query('select $1::int + 2 as v', [i]);
      assert.deepEqual(rows, [{ v: i + 2 }]);
    }
  });
  await check('prepared statement 10 times', async () => {
    for (let i = 0; i < 10; i++) {
      const { rows } = await client.query({ name: 'twice', text: 'select $1::int * 2 as v, $2::text as t', values: [i, `t${i}`] });
      assert.deepEqual(rows, [{ v: i * 2, t: `t${i}` }]);
    }
  });
  await check('many statements of one simple query', async () => {
    const results = await client.query('select 1 as v; select 2 as v; select 3 as v');
    assert.deepEqual(results.map((r) => r.rows[0].v), [1, 2, 3]);
  });

  const count = async () => Number((await client.query(`select count(*) from ${schema}.t`)).rows[0].count);
  await client.query(`create table ${schema}.t (id int primary key, v text)`);
  await check('commit', async () => {
    await client.query('begin');
    await client.query(`insert into ${schema}.t values ($1, $2)`, [1, 'kept']);
    await client.query('commit');
    assert.equal(await count(), 1);
  });
  await check('rollback', async () => {
    await client.query('begin');
    await client.query(`insert into ${schema}.t values (2, 'dropped')`);
    assert.equal(await count(), 2);
    await client.query('rollback');
    assert.equal(await count(), 1);
  });
  await check('error 22012 and the connection still works', async () => {
    await assert.rejects(client.query('select 1 / $1::int', [0]), { code: '22012' });
    assert.equal(await count(), 1);
  });
  await check('pipeline with an error in the middle', async () => {
    const piped = await connect({ pipeline: true });
    // 100 / (i - 25): the one in the middle fails, the others must not notice.
    const results = await Promise.allSettled(
      Array.from({ length: 50 }, (_, i) => piped.query('select 100 / ($1::int - 25) as v', [i])),
    );
    results.forEach((result, i) => {
      if (i === 25) assert.equal(result.reason?.code, '22012');
      else assert.equal(result.value?.rows[0].v, Math.trunc(100 / (i - 25)));
    });
    await piped.end();
  });
}

async function values(client) {
  await check('1 MB text there and back', async () => {
    const { rows } = await client.query('select $1::text as v', [MEGABYTE]);
    assert.ok(rows[0].v === MEGABYTE, 'the text changed');
  });
  const array = ['a', 'b"c', 'd\\e', '', '{f,g}', null];
  const json = { a: [1, 2.5, null, "x'y"], ü: { nested: true } };
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
  await check('array, json, bytea, null', async () => {
    const { rows } = await client.query('select $1::text[] as a, $2::jsonb as j, $3::bytea as b, $4::int as n', [array, json, bytes, null]);
    assert.deepEqual(rows, [{ a: array, j: json, b: bytes, n: null }]);
  });
}

async function bulk(client) {
  await check('10,000 rows', async () => {
    const { rows } = await client.query("select g, repeat('x', 100) from generate_series(1, $1::int) g", [ROWS]);
    assert.equal(rows.length, ROWS);
    assert.equal(rows[ROWS - 1].g, ROWS);
  });
  await check('fetch size (suspended portal)', async () => {
    const { rows } = await client.query({ text: 'select g from generate_series(1, $1::int) g', values: [ROWS], rows: 500 });
    assert.equal(rows.reduce((sum, row) => sum + row.g, 0), (ROWS * (ROWS + 1)) / 2);
  });
  await check('server-side cursor', async () => {
    await client.query('begin');
    await client.query(`declare c1 cursor for select g from generate_series(1, ${ROWS}) g`);
    let total = 0;
    for (;;) {
      const { rows } = await client.query('fetch 500 from c1');
      if (rows.length === 0) break;
      total += rows.reduce((sum, row) => sum + row.g, 0);
    }
    await client.query('commit');
    assert.equal(total, (ROWS * (ROWS + 1)) / 2);
  });
}

async function notifications(client) {
  const channel = unique('ch');
  const next = async () => {
    const [message] = await once(client, 'notification', { signal: AbortSignal.timeout(NOTIFY_LIMIT_MS) });
    return message.payload;
  };
  await check('NOTIFY to itself', async () => {
    await client.query(`listen ${channel}`);
    const arrived = next();
    await client.query('select pg_notify($1, $2)', [channel, 'self']);
    assert.equal(await arrived, 'self');
  });
  await check('NOTIFY from another connection while idle', async () => {
    const arrived = next();
    const other = await connect();
    await other.query('select pg_notify($1, $2)', [channel, 'other']);
    await other.end();
    assert.equal(await arrived, 'other');
    await client.query(`unlisten ${channel}`);
  });
}

async function cancel(client) {
  await check('cancel a running statement', async () => {
    const query = new pg.Query('select pg_sleep(30)');
    const ended = once(query, 'end').then(() => 'not cancelled', (error) => error.code);
    client.query(query);
    await sleep(500);
    // A cancel request is a connection of its own. node-postgres sends it in
    // the clear even if the session has TLS; servers must accept that. With
    // sslnegotiation=direct it also starts TLS, so a reset afterwards is normal.
    const errors = [];
    const canceller = new pg.Client(config());
    canceller.connection.on('error', (error) => errors.push(error.message));
    canceller.cancel(client, query);
    const tooLate = sleep(CANCEL_LIMIT_MS, 'too late', { ref: false });
    assert.equal(await Promise.race([ended, tooLate]), '57014', `the cancel did not work ${errors}`);
    assert.deepEqual((await client.query('select 1 as v')).rows, [{ v: 1 }]);
  });
}

setTimeout(() => fail(`still running after ${PROGRAM_LIMIT_MS} ms`), PROGRAM_LIMIT_MS).unref();
const schema = unique('drv_pg');
let client;
await check('connect', async () => {
  client = await connect();
  if (config().ssl) assert.ok(client.connection.stream.encrypted, 'TLS was asked for and is not in use');
});
await check('make a schema', () => client.query(`create schema ${schema}`));
await basics(client, schema);
await values(client);
await bulk(client);
await notifications(client);
await cancel(client);
await check('clean up and close', async () => {
  await client.query(`drop schema ${schema} cascade`);
  await client.end();
});
console.log(`ok pg ${passed} checks`);
