// node-postgres through a pool: unnamed and named statements, pg-cursor,
// pipelines, LISTEN, startup parameters, its own Pool. See pool_checks.mjs.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { config, load, pg } from './dsn.mjs';
import { begin, check, elsewhere, everything, one, refused, setting, sleep, unique } from './pool_checks.mjs';

const Cursor = load('pg-cursor');

async function connect(more = {}) {
  const raw = new pg.Client({ ...config(), ...more });
  raw.on('error', () => {}); // The end of a direct connection; queries fail then.
  await raw.connect();
  let named = 0;
  return {
    raw,
    rows: async (text, ...values) => {
      // Named by its text, as ORMs do: every client uses the same names.
      const name = values.length && named++ % 2 ? `q${text.length}_${Buffer.from(text).toString('hex').slice(0, 40)}` : undefined;
      return (await raw.query({ text, values, name, rowMode: 'array' })).rows;
    },
    plain: (text) => raw.query(text),
    state: (error) => error.code,
    close: () => raw.end(),
  };
}

async function names(a, b) {
  await check('equal names, different texts', async () => {
    for (let i = 0; i < 5; i++) {
      const ask = (c, k) => c.raw.query({ name: 'fetch-a', text: `select $1::int * ${k} as v`, values: [i] });
      assert.equal((await ask(a, 2)).rows[0].v, i * 2);
      assert.equal((await ask(b, 3)).rows[0].v, i * 3);
      await elsewhere(b, async () => assert.equal((await ask(a, 2)).rows[0].v, i * 2));
    }
  });
}

async function moments(a) {
  await check('now is when it is said', async () => {
    const seen = new Set();
    for (let i = 0; i < 6; i++) {
      const { rows } = await a.raw.query({ text: "select extract(epoch from timestamptz 'now')::text || $1 as at", values: [''] });
      seen.add(rows[0].at);
    }
    assert.equal(seen.size, 6);
  });
}

async function cursors(a, b) {
  await check('pg-cursor', async () => {
    const cursor = a.raw.query(new Cursor('select g from generate_series(1, $1::int) g', [1000]));
    let sum = 0;
    for (;;) {
      const rows = await cursor.read(90);
      if (rows.length === 0) break;
      sum += rows.reduce((s, r) => s + r.g, 0);
      // The portal is open and the series has no Sync yet: the backend stays.
      assert.equal(await one(b, 'select $1::int', sum % 7), sum % 7);
    }
    await cursor.close();
    assert.equal(sum, 500_500);
    const left = a.raw.query(new Cursor('select g from generate_series(1, 1000) g'));
    assert.equal((await left.read(5)).length, 5);
    await left.close();
    await elsewhere(b, async () => assert.equal(await one(a, 'select 3'), 3));
  });
  await check('portals with a limit of rows', async () => {
    const { rows } = await a.raw.query({ text: 'select g from generate_series(1, $1::int) g', values: [1000], rows: 70 });
    assert.equal(rows.reduce((s, r) => s + r.g, 0), 500_500);
  });
}

async function pipelines(b) {
  await check('pipelines', async () => {
    const a = await connect({ pipeline: true });
    const results = await Promise.allSettled(
      Array.from({ length: 60 }, (_, i) => a.raw.query({ text: 'select 100 / ($1::int - 25) as v', values: [i], name: i % 3 ? undefined : 'piped' })),
    );
    results.forEach((r, i) => (i === 25 ? assert.equal(r.reason?.code, '22012') : assert.equal(r.value.rows[0].v, Math.trunc(100 / (i - 25)))));
    await elsewhere(b, async () => assert.equal(await one(a, 'select 3'), 3));
    await a.close();
  });
}

async function startup(b) {
  await check('settings of the startup packet', async () => {
    const fresh = await setting(b, 'statement_timeout');
    const a = await connect({ statement_timeout: 3456, lock_timeout: 2345, idle_in_transaction_session_timeout: 9999, application_name: 'from startup' });
    for (let i = 0; i < 3; i++) {
      await elsewhere(b, async () => {
        assert.equal(await setting(a, 'statement_timeout'), '3456ms');
        assert.equal(await setting(a, 'lock_timeout'), '2345ms');
        assert.equal(await setting(a, 'application_name'), 'from startup');
        assert.equal(await setting(b, 'statement_timeout'), fresh);
      });
    }
    await a.plain('set statement_timeout = 77');
    await refused(a, '57014', a.rows('select pg_sleep(10)::text'));
    await a.plain('reset statement_timeout');
    assert.equal(await setting(a, 'statement_timeout'), '3456ms');
    await a.close();
  });
}

async function listening() {
  await check('LISTEN and NOTIFY', async () => {
    const [listener, teller] = [await connect(), await connect()];
    const channel = unique('ch');
    await listener.plain(`listen ${channel}`);
    for (let i = 0; i < 3; i++) {
      const next = once(listener.raw, 'notification', { signal: AbortSignal.timeout(10_000) });
      await teller.rows('select pg_notify($1, $2)', channel, String(i));
      assert.equal((await next)[0].payload, String(i));
      assert.equal(await one(listener, 'select $1::int', i), i);
    }
    await listener.plain('unlisten *');
    await listener.close();
    await teller.close();
  });
}

async function ownPool() {
  await check('its own pool in front of the pool', async () => {
    const pool = new pg.Pool({ ...config(), max: 10 });
    const got = await Promise.all(Array.from({ length: 100 }, (_, i) => pool.query('select $1::int as v', [i])));
    got.forEach((r, i) => assert.equal(r.rows[0].v, i));
    await Promise.all(Array.from({ length: 20 }, async (_, i) => {
      const client = await pool.connect();
      await client.query('begin');
      await client.query("select set_config('my.tenant', $1, true)", [`t${i}`]);
      assert.equal((await client.query("select current_setting('my.tenant') as v")).rows[0].v, `t${i}`);
      await client.query('commit');
      assert.notEqual((await client.query("select current_setting('my.tenant', true) as v")).rows[0].v, `t${i}`);
      client.release();
    }));
    await pool.end();
  });
}

begin('pg');
const [a, b] = await everything(connect);
await names(a, b);
await moments(a);
await cursors(a, b);
await pipelines(b);
await startup(b);
await listening();
await ownPool();
await sleep(connect, a, b);
