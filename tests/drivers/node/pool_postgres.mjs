// postgres.js through a pool: pipelines without being asked, statements under
// random names, types read at the first query, COPY, cursors, LISTEN.
// See pool_checks.mjs.

import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { config, loadModule } from './dsn.mjs';
import { begin, check, elsewhere, everything, one, refused, setting, sleep, unique } from './pool_checks.mjs';

const postgres = (await loadModule('postgres')).default;

function options(more = {}) {
  const { host, port, user, password, database, options: o, ssl } = config();
  const { connection, ...rest } = more;
  return { host, port, username: user, password, database, ssl, max: 1, onnotice: () => {}, connect_timeout: 30, connection: { ...(o ? { options: o } : {}), ...connection }, ...rest };
}

async function connect(more = {}) {
  const raw = postgres(options(more));
  const adapter = {
    raw,
    rows: async (text, ...values) => (await raw.unsafe(text, values, { prepare: more.prepare !== false }).values()).map((row) => [...row]),
    plain: async (text) => await raw.unsafe(text),
    state: (error) => error.code,
    close: () => raw.end({ timeout: 5 }),
    reconnects: true,
  };
  await adapter.rows('select 1');
  return adapter;
}

async function own(a, b) {
  await check('many queries before the first answer', async () => {
    const got = await Promise.all(Array.from({ length: 80 }, (_, i) => a.raw`select ${i}::int as v, ${`x${i}`}::text as t`));
    got.forEach((r, i) => assert.deepEqual({ ...r[0] }, { v: i, t: `x${i}` }));
    const mixed = await Promise.allSettled(Array.from({ length: 30 }, (_, i) => a.raw`select 100 / (${i}::int - 15) as v`));
    mixed.forEach((r, i) => (i === 15 ? assert.equal(r.reason.code, '22012') : assert.equal(r.value[0].v, Math.trunc(100 / (i - 15)))));
    await elsewhere(b, async () => assert.equal(await one(a, 'select $1::int', 4), 4));
  });
  await check('transactions of its own, savepoints', async () => {
    const name = unique('pool_begin');
    await a.plain(`create table ${name} (i int primary key)`);
    await a.raw.begin(async (tx) => {
      await tx`insert into ${tx(name)} values (${1})`;
      await assert.rejects(tx.savepoint(async (s) => s`insert into ${s(name)} values (${1})`), { code: '23505' });
      await elsewhere(b, () => tx`insert into ${tx(name)} ${tx([{ i: 2 }, { i: 3 }])}`);
    });
    await assert.rejects(a.raw.begin((tx) => [tx`insert into ${tx(name)} values (${4})`, tx`select 1 / 0`]), { code: '22012' });
    assert.equal(await one(b, `select count(*)::int from ${name}`), 3);
    await a.plain(`drop table ${name}`);
  });
  await check('cursors and COPY', async () => {
    let sum = 0;
    for await (const rows of a.raw`select g from generate_series(1, 1000) g`.cursor(90)) {
      sum += rows.reduce((s, r) => s + r.g, 0);
      assert.equal(await one(b, 'select 1'), 1);
    }
    assert.equal(sum, 500_500);
    const name = unique('pool_copy');
    await a.plain(`create table ${name} (i int, v text)`);
    await pipeline(Readable.from(Array.from({ length: 3000 }, (_, i) => `${i}\tv${i}\n`)), await a.raw`copy ${a.raw(name)} from stdin`.writable());
    assert.equal(await one(b, `select count(*)::int from ${name}`), 3000);
    let bytes = 0;
    // Little enough for one buffer of the stream: with more, this driver's socket may stay paused for ever.
    for await (const chunk of await a.raw`copy (select * from ${a.raw(name)} where i < 500) to stdout`.readable()) bytes += chunk.length;
    assert.equal(bytes, Array.from({ length: 500 }, (_, i) => `${i}\tv${i}\n`).join('').length);
    await a.plain(`drop table ${name}`);
  });
  await check('arrays and json', async () => {
    const [row] = await a.raw`select ${a.raw.array(['a', 'b"c'])}::text[] as a, ${a.raw.json({ x: [1] })}::jsonb as j`;
    assert.deepEqual({ ...row }, { a: ['a', 'b"c'], j: { x: [1] } });
  });
}

async function startup(b) {
  await check('settings of the startup packet', async () => {
    const a = await connect({ connection: { statement_timeout: 3456, application_name: 'from startup', search_path: 'pg_catalog' } });
    for (let i = 0; i < 3; i++) {
      await elsewhere(b, async () => {
        assert.equal(await setting(a, 'statement_timeout'), '3456ms');
        assert.equal(await setting(a, 'search_path'), 'pg_catalog');
        assert.equal(await setting(a, 'application_name'), 'from startup');
      });
    }
    await a.close();
  });
}

async function listening(b) {
  await check('LISTEN and NOTIFY', async () => {
    const listener = postgres(options());
    const channel = unique('ch');
    const got = [];
    let arrived = () => {};
    await listener.listen(channel, (payload) => { got.push(payload); arrived(); });
    for (let i = 0; i < 3; i++) {
      const next = new Promise((resolve, reject) => { arrived = resolve; setTimeout(() => reject(new Error('no notification')), 10_000).unref(); });
      await b.raw.notify(channel, String(i));
      await next;
    }
    assert.deepEqual(got, ['0', '1', '2']);
    await listener.end({ timeout: 5 });
  });
}

async function unprepared(b) {
  await check('prepare: false', async () => {
    const a = await connect({ prepare: false });
    for (let i = 0; i < 10; i++) {
      await elsewhere(b, async () => assert.deepEqual(await a.rows('select $1::int * 2', i), [[i * 2]]));
      await refused(a, '22012', a.rows('select 1 / $1::int', 0));
    }
    await a.close();
  });
}

async function ownPool() {
  await check('its own pool in front of the pool', async () => {
    const sql = postgres(options({ max: 10 }));
    const got = await Promise.all(Array.from({ length: 300 }, (_, i) => sql`select ${i}::int as v`));
    got.forEach((r, i) => assert.equal(r[0].v, i));
    await sql.end({ timeout: 5 });
  });
}

begin('postgres');
const [a, b] = await everything(connect);
await own(a, b);
await startup(b);
await listening(b);
await unprepared(b);
await ownPool();
await sleep(connect, a, b);
