// @neondatabase/serverless, unmodified, against the gateway: neon() over HTTP,
// transaction(), Pool and Client over WebSocket. DSN is a postgresql:// URL;
// HTTP is the base of the HTTP port. See gateway_checks.mjs.

import assert from 'node:assert/strict';
import { begin, check, driver, finish, refused, sleep, unique, url } from './gateway_checks.mjs';

const { neon, neonConfig, Pool, Client, types } = await driver();
begin('neon');
const sql = neon(url);

await check('the first request wakes the endpoint', async () => {
  assert.deepEqual(await sql`select ${40}::int + 2 as n`, [{ n: 42 }]);
});

await check('types of parameters and results', async () => {
  const when = new Date('2026-01-02T03:04:05.678Z');
  const [row] = await sql`select ${1}::int i, ${'9007199254740993'}::int8 b, ${1.5}::float8 f, ${true}::bool t,
    ${null}::text nothing, ${'a"b\\c\n€😀'}::text s, ${when}::timestamptz w, ${{ a: [1, { b: null }] }}::jsonb j,
    ${[1, null, 3]}::int[] ints, ${['a"b', 'c,d', '']}::text[] texts, ${[[1, 2], [3, 4]]}::int[] deep,
    ${Buffer.from([0, 255, 16])} bytes, ${'1.10'}::numeric num, ${'{"x":1}'}::json js`;
  assert.deepEqual(row, {
    i: 1, b: '9007199254740993', f: 1.5, t: true, nothing: null, s: 'a"b\\c\n€😀', w: when, j: { a: [1, { b: null }] },
    ints: [1, null, 3], texts: ['a"b', 'c,d', ''], deep: [[1, 2], [3, 4]], bytes: Buffer.from([0, 255, 16]),
    num: '1.10', js: { x: 1 },
  });
});

await check('array mode and full results', async () => {
  const full = neon(url, { arrayMode: true, fullResults: true });
  const result = await full.query('select g, g * 2 as twice from generate_series(1, 3) g');
  assert.deepEqual(result.rows, [[1, 2], [2, 4], [3, 6]]);
  assert.equal(result.command, 'SELECT');
  assert.equal(result.rowCount, 3);
  assert.equal(result.rowAsArray, true);
  assert.deepEqual(result.fields.map((f) => [f.name, f.dataTypeID]), [['g', 23], ['twice', 23]]);
});

const table = unique('gw');
await check('commands and counts', async () => {
  const full = neon(url, { fullResults: true });
  const told = async (text, ...v) => { const r = await full.query(text, v); return [r.command, r.rowCount, r.rows.length]; };
  assert.deepEqual(await told(`create table ${table} (id int primary key, v text not null)`), ['CREATE', null, 0]);
  assert.deepEqual(await told(`insert into ${table} values (1, 'a'), (2, 'b')`), ['INSERT', 2, 0]);
  assert.deepEqual(await told(`update ${table} set v = v || $1 returning id`, 'x'), ['UPDATE', 2, 2]);
  assert.deepEqual(await told(`select * from ${table} where id = $1`, 7), ['SELECT', 0, 0]);
  const empty = await full.query('-- nothing');
  assert.deepEqual([empty.command, empty.rowCount, empty.rows], ['', null, []]);
});

await check('errors have all their fields', async () => {
  const error = await refused('23505', sql.query(`insert into ${table} values ($1, 'twice')`, [1]));
  assert.equal(error.name, 'NeonDbError');
  assert.equal(error.severity, 'ERROR');
  assert.equal(error.table, table);
  assert.equal(error.schema, 'public');
  assert.equal(error.constraint, `${table}_pkey`);
  assert.match(error.detail, /\(id\)=\(1\) already exists/);
  assert.equal(error.routine, '_bt_check_unique');
  assert.ok(error.file && error.line);
  const syntax = await refused('42601', sql.query('selec 1'));
  assert.equal(syntax.position, '1');
  await refused('22P02', sql`select ${'x'}::int`);
  await refused('42601', sql.query('select 1; select 2'));
  const late = await refused('22012', sql.query('select 1 / (100000 - g) from generate_series(1, 100000) g'));
  assert.equal(late.message, 'division by zero');
  const missing = await refused('23502', sql.query(`insert into ${table} values (9, null)`));
  assert.equal(missing.column, 'v');
});

await check('a batch is one transaction', async () => {
  const [a, b] = await sql.transaction([sql`select txid_current() t`, sql`select txid_current() t`]);
  assert.equal(a[0].t, b[0].t);
  await refused('23505', sql.transaction((tx) => [
    tx.query(`insert into ${table} values (10, 'dropped')`),
    tx.query(`insert into ${table} values (1, 'twice')`),
  ]));
  assert.deepEqual(await sql.query(`select id from ${table} where id >= 10`), []);
  assert.deepEqual(await sql.query('select count(*)::int n from pg_stat_activity where state like $1', ['idle in tr%']), [{ n: 0 }]);
  await refused('25006', sql.transaction([sql.query(`delete from ${table}`)], { readOnly: true }));
  for (const isolationLevel of ['ReadUncommitted', 'ReadCommitted', 'RepeatableRead', 'Serializable']) {
    const [[row]] = await sql.transaction([sql`select current_setting('transaction_isolation') l, current_setting('transaction_deferrable') d`],
      { isolationLevel, readOnly: true, deferrable: true });
    assert.equal(row.l.replace(' ', '').toLowerCase(), isolationLevel.toLowerCase());
    assert.equal(row.d, 'on');
  }
  const results = await sql.transaction([sql`select 1 a`, sql`select 2 b`], { arrayMode: true, fullResults: true });
  assert.deepEqual(results.map((r) => r.rows), [[[1]], [[2]]]);
  assert.deepEqual(await sql.transaction([]), []);
});

await check('what one request sets, the next does not see', async () => {
  const before = (await sql`select current_setting('TimeZone') tz`)[0].tz;
  await sql.query("set time zone 'Pacific/Auckland'");
  await sql.query("select set_config('my.tenant', 'a', false)");
  await sql.query('create temp table gw_hidden (v int)');
  await sql.query('select pg_advisory_lock(4711)');
  await sql.query('begin');
  for (let i = 0; i < 4; i++) {
    const [row] = await sql`select current_setting('TimeZone') tz, coalesce(current_setting('my.tenant', true), '') tenant,
      to_regclass('pg_temp.gw_hidden') hidden, pg_try_advisory_xact_lock(4711) free,
      (select count(*)::int from pg_stat_activity where state like 'idle in tr%') open`;
    assert.deepEqual(row, { tz: before, tenant: '', hidden: null, free: true, open: 0 });
  }
});

await check('many at once', async () => {
  const all = await Promise.all(Array.from({ length: 200 }, (_, i) => sql`select ${i}::int as i, ${'v' + i} as v`));
  all.forEach(([row], i) => assert.deepEqual(row, { i, v: `v${i}` }));
});

await check('large results and large parameters', async () => {
  const text = '0123456789abcdef'.repeat(300_000);
  const [row] = await sql`select ${text}::text t, length(${text}) n`;
  assert.ok(row.t === text && row.n === text.length);
  const rows = await sql`select g, md5(g::text) m from generate_series(1, 100000) g`;
  assert.equal(rows.length, 100_000);
  assert.equal(rows[99_999].g, 100_000);
  // More than the server holds back: it comes while the statement runs, and is whole or an error.
  const many = await sql.query('select g, repeat(md5(g::text), 50) t from generate_series(1, 20000) g');
  assert.equal(many.length, 20_000);
  assert.equal(many[19_999].t.length, 1600);
  await assert.rejects(sql.query('select repeat(md5(g::text), 50) t, 1 / (20000 - g) n from generate_series(1, 20000) g'));
  assert.deepEqual(await sql`select 1 as n`, [{ n: 1 }]);
});

await check('wrong passwords and unknown names', async () => {
  const other = (change) => { const u = new URL(url); change(u); return neon(u.href); };
  await refused('28P01', other((u) => { u.password = 'wrong'; })`select 1`);
  await refused('28P01', other((u) => { u.username = 'nobody'; })`select 1`);
  await refused('3D000', other((u) => { u.pathname = '/nosuch'; })`select 1`);
  await refused('3D000', other((u) => { u.searchParams.set('options', 'endpoint=ep-no-such-1'); })`select 1`);
});

async function sockets(name, settings) {
  Object.assign(neonConfig, settings);
  await check(`Client over WebSocket, ${name}`, async () => {
    const client = new Client(url);
    const notices = [];
    client.on('notice', (n) => notices.push(n.message));
    await client.connect();
    assert.deepEqual((await client.query('select $1::int + 1 as n', [41])).rows, [{ n: 42 }]);
    await client.query("do $$ begin raise notice 'hello'; end $$");
    assert.deepEqual(notices, ['hello']);
    await refused('22012', client.query('select 1/0'));
    await client.query('begin');
    await client.query(`insert into ${table} values (20, 'dropped')`);
    await client.query('rollback');
    assert.equal((await client.query(`select * from ${table} where id = 20`)).rowCount, 0);
    const text = 'x'.repeat(3_000_000);
    assert.ok((await client.query('select $1::text t', [text])).rows[0].t === text);
    await client.end();
  });
  await check(`Pool over WebSocket, ${name}`, async () => {
    const pool = new Pool({ connectionString: url, max: 5 });
    pool.on('error', (error) => { throw error; });
    const all = await Promise.all(Array.from({ length: 40 }, (_, i) => pool.query('select $1::int as i', [i])));
    all.forEach((r, i) => assert.equal(r.rows[0].i, i));
    await pool.end();
  });
  await check(`a refused login over WebSocket, ${name}`, async () => {
    const u = new URL(url);
    u.password = 'wrong';
    const client = new Client(u.href);
    client.on('error', () => {});
    await refused('28P01', client.connect().then(() => client.query('select 1')));
  });
}
await sockets('pipelined', { pipelineConnect: 'password' });
await check('a frame for each message', async () => {
  Object.assign(neonConfig, { pipelineConnect: 'password', coalesceWrites: false });
  // On a machine that is very busy the password may come too late to be taken for one that comes unasked.
  for (let left = 5; ; left -= 1) {
    const client = new Client(url);
    client.on('error', () => {});
    try {
      await client.connect();
      assert.deepEqual((await client.query('select 42 as n')).rows, [{ n: 42 }]);
      await client.end();
      break;
    } catch (error) {
      if (left === 0) throw error;
    }
  }
});
await sockets('waiting', { pipelineConnect: false, coalesceWrites: true });

await check('Pool.query over HTTP', async () => {
  // It makes a URL of its own from the parts it knows, without `options`: name the endpoint elsewhere.
  const named = new URL(url);
  named.pathname += `@${named.searchParams.get('options').replace('endpoint=', '')}`;
  named.search = '';
  neonConfig.poolQueryViaFetch = true;
  const pool = new Pool({ connectionString: named.href });
  const result = await pool.query('select $1::int as n', [7]);
  assert.deepEqual(result.rows, [{ n: 7 }]);
  await refused('22012', pool.query('select 1/0'));
  neonConfig.poolQueryViaFetch = false;
  await pool.end();
});

neonConfig.pipelineConnect = 'password';
await check('a backend of its own by the direct name', async () => {
  const direct = new Client(process.env.DIRECT);
  await direct.connect();
  await direct.query("set my.own = 'kept'");
  await direct.query('create temp table gw_own (v int)');
  const [pid, again] = [await direct.query('select pg_backend_pid() p'), await direct.query('select pg_backend_pid() p')];
  assert.equal(pid.rows[0].p, again.rows[0].p);
  assert.equal((await direct.query("select current_setting('my.own') v")).rows[0].v, 'kept');
  await direct.end();
});

const client = new Client(url);
client.on('error', (error) => { throw error; });
await check('sleep under an idle WebSocket and before HTTP', async () => {
  await client.connect();
  await client.query("set application_name = 'sleeper'");
  await sleep();
  assert.equal((await client.query("select current_setting('application_name') a")).rows[0].a, 'sleeper');
  await sleep();
  assert.deepEqual(await sql.transaction([sql`select 1 as n`]), [[{ n: 1 }]]);
  await sleep();
  const fresh = new Client(url);
  await fresh.connect();
  assert.equal((await fresh.query('select 1 as n')).rows[0].n, 1);
  await fresh.end();
  await client.end();
});

await check('clean up', async () => {
  assert.ok(types);
  await sql.query(`drop table ${table}`);
});
finish();
