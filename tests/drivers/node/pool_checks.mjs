// The pool matrix for Node.js drivers; see ../python/pool_checks.py, which says
// what is checked, why, and what `--survives yes|no` and `SLEEP` mean.
//
// A driver's program gives `everything` a function that connects. What it
// returns is one connection in autocommit:
//   rows(text, ...values)  one statement with parameters ($1, $2): an array of arrays
//   plain(text)            statements without parameters
//   state(error)           the SQLSTATE of this driver's errors
//   close()
//   reconnects             true for drivers that hide the end of a connection
//   fragile                true for those that drop a connection after any error

import assert from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import { createInterface } from 'node:readline/promises';
import { parseArgs } from 'node:util';

const PROGRAM_LIMIT_MS = 90_000;
const CROWD = 20;
const OPEN = 3;
const ROUNDS = 200;
const BIG = 5 * 1024 * 1024;
const DEFAULTS = ['search_path', 'TimeZone', 'statement_timeout', 'application_name', 'DateStyle'];

const { values } = parseArgs({ options: { survives: { type: 'string' } }, allowPositionals: true });
assert.ok(['yes', 'no'].includes(values.survives), '--survives yes|no');
export const pooled = values.survives === 'yes';

let driver = '?';
let passed = 0;
let current = 'start';

export function begin(name) {
  driver = `pool_${name}`;
  setTimeout(() => fail(`still running after ${PROGRAM_LIMIT_MS} ms`), PROGRAM_LIMIT_MS).unref();
  process.on('uncaughtException', (error) => fail(error.stack));
  process.on('unhandledRejection', (error) => fail(error?.stack ?? error));
}

export function fail(reason) {
  console.log(`FAIL ${driver}: ${current}: ${reason}`);
  process.exit(1);
}

export async function check(name, body) {
  current = name;
  try {
    await body();
  } catch (error) {
    const code = error?.code ? ` [${error.code}]` : '';
    fail(`${error?.name}${code}: ${String(error?.message ?? error).slice(0, 600)}`);
  }
  passed += 1;
}

export function finish() {
  console.log(`ok ${driver} ${passed} checks`);
  process.exit(0);
}

export const unique = (prefix) => `${prefix}_${process.pid}_${randomBytes(4).toString('hex')}`;
export const one = async (client, text, ...v) => (await client.rows(text, ...v))[0][0];
export const setting = (client, name) => one(client, 'select current_setting($1)', name);
async function all(client, names) {
  const found = {};
  for (const name of names) found[name] = await setting(client, name);
  return found;
}

export async function refused(client, state, promise) {
  let error;
  try {
    await promise;
  } catch (e) {
    error = e;
  }
  assert.ok(error, `it succeeded, wanted ${state}`);
  assert.equal(client.state(error), state, `SQLSTATE of ${error}`);
}

// While `body` runs, `other` holds the backend that was free last.
export async function elsewhere(other, body) {
  await other.plain('begin');
  try {
    await one(other, 'select 1 + $1::int', 1);
    return await body();
  } finally {
    await other.plain('rollback');
  }
}

export async function everything(connect) {
  let a, b;
  await check('connect', async () => {
    [a, b] = [await connect(), await connect()];
    assert.deepEqual([await one(a, 'select 40 + $1::int', 2), await one(b, 'select 40 + $1::int', 3)], [42, 43]);
  });
  await moves(a, b);
  await errors(a, b);
  await transactions(a, b);
  await settings(a, b);
  await literals(a, b);
  await sessionState(connect);
  await discard(connect);
  await big(a);
  await crowd(connect);
  return [a, b];
}

async function moves(a, b) {
  await check('one connection, many backends', async () => {
    const seen = new Set();
    for (let i = 0; i < 4; i++) {
      seen.add(await one(a, 'select pg_backend_pid()'));
      await elsewhere(b, async () => seen.add(await one(a, 'select pg_backend_pid()')));
    }
    assert.equal(seen.size > 1, pooled, `moved between ${[...seen]}`);
  });
  await check('prepared statements follow the connection', async () => {
    for (let i = 0; i < 12; i++) {
      const text = 'select $1::int * 2, $2::text';
      assert.deepEqual(await a.rows(text, i, `t${i}`), [[i * 2, `t${i}`]]);
      await elsewhere(b, async () => assert.deepEqual(await a.rows(text, i, `u${i}`), [[i * 2, `u${i}`]]));
      assert.deepEqual(await b.rows('select $1::int * 3, $2::text', i, `b${i}`), [[i * 3, `b${i}`]]);
      assert.deepEqual(await b.rows(text, i, `b${i}`), [[i * 2, `b${i}`]]);
    }
  });
}

async function errors(a, b) {
  await check('an error outside of a transaction', async () => {
    for (let i = 0; i < 8; i++) {
      await refused(a, '22012', a.rows('select 1 / $1::int', 0));
      await elsewhere(b, async () => {
        await refused(a, '42P01', a.rows('select * from there_is_no_such_table where id = $1::int', i));
        assert.equal(await one(a, 'select 1 / $1::int', 1), 1);
      });
    }
  });
  if (a.fragile) return;
  await check('an error inside of a transaction', async () => {
    for (let i = 0; i < 3; i++) {
      await a.plain('begin');
      await refused(a, '22012', a.rows('select 1 / $1::int', 0));
      await elsewhere(b, () => refused(a, '25P02', a.rows('select 1 / $1::int', 1)));
      await a.plain('rollback');
      await elsewhere(b, async () => assert.equal(await one(a, 'select 1 / $1::int', 1), 1));
    }
  });
}

async function transactions(a, b) {
  const table = unique('pool_tx');
  const count = (client) => one(client, `select count(*)::int from ${table}`);
  const insert = (id, v) => a.rows(`insert into ${table} values ($1::int, $2::text)`, id, v);
  await check('transactions', async () => {
    await a.plain(`create table ${table} (id int primary key, v text)`);
    await a.plain('begin');
    await insert(1, 'kept');
    assert.equal(await count(b), 0);
    await elsewhere(b, () => insert(2, 'kept'));
    await a.plain('commit');
    assert.equal(await count(b), 2);
    await a.plain('begin');
    await insert(3, 'dropped');
    await a.plain('savepoint s');
    if (!a.fragile) await refused(a, '23505', insert(1, 'twice'));
    await a.plain('rollback to savepoint s');
    assert.equal(await count(a), 3);
    await a.plain('rollback');
    assert.equal(await count(b), 2);
    await a.plain(`drop table ${table}`);
  });
}

async function settings(a, b) {
  const fresh = await all(b, DEFAULTS);
  const kept = async (client, wanted) => assert.deepEqual(await all(client, Object.keys(wanted)), wanted);
  const mine = { TimeZone: 'Pacific/Auckland', statement_timeout: '54321ms', application_name: 'mine', search_path: 'pg_catalog, public' };
  await check('settings stay with their connection', async () => {
    await a.plain("set time zone 'Pacific/Auckland'");
    await a.plain('set statement_timeout = 54321');
    await a.plain("set session application_name to 'mine'");
    await a.plain('set search_path = pg_catalog, public');
    for (let i = 0; i < 3; i++) {
      await kept(b, fresh);
      await elsewhere(b, () => kept(a, mine));
      await kept(a, mine);
      await kept(b, fresh);
    }
  });
  await check('settings of a transaction', async () => {
    await a.plain('begin');
    await a.plain('set local statement_timeout = 1111');
    await a.plain("set time zone 'Asia/Tokyo'");
    await a.rows("select set_config('application_name', $1, true)", 'only here');
    await kept(a, { statement_timeout: '1111ms', TimeZone: 'Asia/Tokyo', application_name: 'only here' });
    await a.plain('rollback');
    await elsewhere(b, () => kept(a, mine));
    await kept(b, fresh);
    await a.plain('begin');
    await a.plain("set time zone 'Asia/Tokyo'");
    await a.plain('commit');
    await elsewhere(b, () => kept(a, { ...mine, TimeZone: 'Asia/Tokyo' }));
  });
  await check('set_config and custom settings', async () => {
    await a.rows('select set_config($1, $2, false)', 'application_name', 'by function');
    await a.rows("select set_config('my.tenant', $1, false)", 'tenant a');
    await elsewhere(b, async () => {
      await kept(a, { application_name: 'by function', 'my.tenant': 'tenant a' });
      assert.equal(await one(b, "select coalesce(current_setting('my.tenant', true), '')"), '');
    });
    await kept(a, { application_name: 'by function', 'my.tenant': 'tenant a' });
  });
  await check('RESET', async () => {
    await a.plain('reset time zone');
    await elsewhere(b, () => kept(a, { TimeZone: fresh.TimeZone, statement_timeout: '54321ms' }));
    await a.plain('reset all');
    const { application_name: _, ...others } = fresh;
    await elsewhere(b, () => kept(a, others));
  });
}

async function literals(a, b) {
  await check('a literal means what it means to its own connection', async () => {
    await a.plain("set time zone 'Asia/Tokyo'");
    await b.plain("set time zone 'UTC'");
    const text = "select (extract(epoch from timestamptz '2024-06-01') - 1717200000)::int + $1::int";
    for (let i = 0; i < 8; i++) {
      assert.equal(await one(a, text, i), i - 32400);
      assert.equal(await one(b, text, i), i);
    }
    for (const client of [a, b]) await client.plain('reset time zone');
  });
}

async function sessionState(connect) {
  const [a, b] = [await connect(), await connect()];
  await check('advisory locks of a session', async () => {
    const key = randomInt(2 ** 31);
    await a.rows('select pg_advisory_lock($1::int)::text', key);
    for (let i = 0; i < 2; i++) {
      assert.equal(await one(b, 'select pg_try_advisory_lock($1::int)', key), false, 'the lock is taken');
      await elsewhere(b, async () => assert.equal(await one(a, 'select 1'), 1));
    }
    assert.equal(await one(a, 'select pg_advisory_unlock($1::int)', key), true, 'the holder unlocks');
    assert.equal(await one(b, 'select pg_try_advisory_lock($1::int)', key), true, 'the lock is free');
    assert.equal(await one(b, 'select pg_advisory_unlock($1::int)', key), true);
  });
  await check('temporary tables', async () => {
    const name = unique('pool_temp');
    await a.plain(`create temp table ${name} (v text)`);
    for (let i = 0; i < 3; i++) {
      await a.rows(`insert into ${name} values ($1::text)`, String(i));
      await refused(b, '42P01', b.rows(`select count(*) from ${name} where v = $1::text`, 'x'));
      await elsewhere(b, async () => assert.equal(await one(a, `select count(*)::int from ${name}`), i + 1));
    }
    await a.plain(`drop table ${name}`);
  });
  await check('PREPARE and EXECUTE by text, a cursor WITH HOLD', async () => {
    await a.plain('prepare plan_of_a(int) as select $1 * 10');
    await b.plain('prepare plan_of_a(int) as select $1 * 20');
    for (let i = 0; i < 2; i++) {
      await elsewhere(b, async () => assert.equal(await one(a, 'execute plan_of_a(4)'), 40));
      assert.equal(await one(b, 'execute plan_of_a(4)'), 80);
    }
    await a.plain('deallocate plan_of_a');
    await b.plain('deallocate plan_of_a');
    await a.plain('declare held cursor with hold for select g from generate_series(1, 30) g');
    for (let i = 0; i < 3; i++) {
      await elsewhere(b, async () => assert.equal((await a.rows('fetch 10 from held'))[0][0], i * 10 + 1));
    }
    await a.plain('close held');
  });
  await a.close();
  await b.close();
}

async function discard(connect) {
  await check('DISCARD ALL', async () => {
    let [a, b] = [await connect(), await connect()];
    const before = await all(a, DEFAULTS);
    await a.close();
    a = await connect();
    await a.plain("set time zone 'Asia/Tokyo'");
    await a.plain(`create temp table ${unique('pool_discard')} (v int)`);
    await a.plain('discard all');
    await elsewhere(b, async () => assert.equal(await one(a, "select current_setting('TimeZone') /* after */"), before.TimeZone));
    await a.close();
    const c = await connect();
    assert.deepEqual(await all(c, DEFAULTS), before);
    await c.close();
    await b.close();
  });
}

async function big(a) {
  await check('a row of 5 MB there and back', async () => {
    const text = '0123456789abcdef'.repeat(BIG / 16);
    assert.ok((await one(a, 'select $1::text', text)) === text, 'same text');
  });
}

// Equal statements, different search paths, in random order; some in transactions.
async function crowd(connect) {
  const prefix = unique('pool');
  await check(`${CROWD} clients, each with its own world`, async () => {
    const clients = await Promise.all(Array.from({ length: CROWD }, () => connect()));
    const state = clients.map(() => ({ open: false, n: 0 }));
    // Each goes at its own pace, so that many want a backend at the same time.
    await Promise.all(clients.map(async (client, i) => {
      await client.plain(`create schema ${prefix}_${i}`);
      await client.plain(`set search_path = ${prefix}_${i}`);
      await client.plain(`set application_name = 'client ${i}'`);
      await client.plain('create table t (tag text, n int)');
      await client.rows('insert into t values ($1::text, $2::int)', `tag ${i}`, 0);
    }));
    let open = 0;
    await Promise.all(clients.map(async (client, i) => {
      const me = state[i];
      for (let turn = 0; turn < ROUNDS / CROWD; turn++) {
        if (!me.open && open < OPEN && randomInt(3) === 0) {
          open += 1;
          me.open = true;
          await client.plain('begin');
        }
        const row = await client.rows("select tag, n, current_setting('application_name'), $1::int from t", turn);
        assert.deepEqual(row, [[`tag ${i}`, me.n, `client ${i}`, turn]]);
        if (!me.open && !client.fragile && randomInt(4) === 0) await refused(client, '22012', client.rows('select n / $1::int from t', 0));
        await client.rows('update t set n = n + $1::int', 1);
        me.n += 1;
        if (me.open && randomInt(2) === 0) {
          await client.plain('commit');
          me.open = false;
          open -= 1;
        }
      }
      if (me.open) {
        await client.plain('commit');
        open -= 1;
      }
      assert.equal(await one(client, 'select n from t'), me.n);
      await client.plain(`drop schema ${prefix}_${i} cascade`);
      await client.close();
    }));
  });
}

export async function sleep(connect, a, b) {
  await check('before the sleep', async () => {
    await a.plain("set time zone 'Asia/Tokyo'");
    await a.plain("set application_name = 'sleeper'");
    for (let i = 0; i < 8; i++) {
      assert.equal(await one(a, 'select $1::int + 7', i), i + 7);
      assert.equal(await one(b, 'select $1::int + 7', i), i + 7);
    }
  });
  await check('sleep', async () => {
    console.log('SLEEP');
    const lines = createInterface({ input: process.stdin });
    const answer = await lines[Symbol.asyncIterator]().next();
    assert.ok(!answer.done, 'nobody suspended the endpoint');
    lines.close();
  });
  await check('after the sleep', async () => {
    if (!pooled) {
      // A driver that connects again by itself hides the end; its settings do not come back.
      for (const client of [a, b].filter((c) => !c.reconnects)) {
        await assert.rejects(client.rows('select $1::int + 7', 1), 'a direct connection has outlived the sleep');
      }
      [a, b] = [await connect(), await connect()];
      await a.plain("set time zone 'Asia/Tokyo'");
      await a.plain("set application_name = 'sleeper'");
    }
    for (let i = 0; i < 8; i++) {
      assert.equal(await one(a, 'select $1::int + 7', i), i + 7);
      await elsewhere(b, async () => {
        assert.deepEqual(await all(a, ['TimeZone', 'application_name']), { TimeZone: 'Asia/Tokyo', application_name: 'sleeper' });
      });
      assert.equal(await one(b, 'select $1::int + 7', i), i + 7);
    }
    await a.close();
    await b.close();
  });
  finish();
}
