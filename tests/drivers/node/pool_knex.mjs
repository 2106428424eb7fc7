// Knex, its pool, its query builder and its migrations through a pool. See pool_checks.mjs.

import assert from 'node:assert/strict';
import { config, load } from './dsn.mjs';
import { begin, check, elsewhere, everything, one, sleep, unique } from './pool_checks.mjs';

const knex = load('knex');

const make = (max) => knex({ client: 'pg', connection: config(), pool: { min: 0, max } });

// One connection of Knex's pool, as its transactions and `.connection()` use it.
async function connect() {
  const k = make(1);
  const connection = await k.client.acquireConnection();
  connection.on('error', () => {});
  return {
    k,
    rows: async (text, ...values) => {
      // Knex has `?` for values; a `?` of a text would be escaped.
      const bound = values.length ? k.raw(text.replace(/\$\d+/g, '?'), values) : k.raw(text);
      const { rows, fields } = await bound.connection(connection);
      return rows.map((row) => fields.map((f) => row[f.name]));
    },
    plain: (text) => k.raw(text).connection(connection),
    state: (error) => error.code,
    close: async () => {
      await k.client.releaseConnection(connection);
      await k.destroy();
    },
  };
}

const table = unique('pool_animals');

// Migrations without files.
const source = (names) => ({
  getMigrations: async () => names,
  getMigrationName: (name) => name,
  getMigration: async (name) => ({
    one: { up: (k) => k.schema.createTable(table, (t) => { t.increments('id'); t.string('name').unique(); t.integer('legs'); }), down: (k) => k.schema.dropTable(table) },
    two: { up: (k) => k.schema.alterTable(table, (t) => t.boolean('tail').defaultTo(true)), down: (k) => k.schema.alterTable(table, (t) => t.dropColumn('tail')) },
    three: { config: { transaction: false }, up: (k) => k.raw(`create index concurrently ${table}_ix on ${table} (legs)`), down: (k) => k.raw(`drop index concurrently ${table}_ix`) },
  })[name],
});

async function migrations(k) {
  const options = (names) => ({ migrationSource: source(names), tableName: `${table}_log` });
  await check('migrations up, down and up', async () => {
    assert.deepEqual((await k.migrate.latest(options(['one', 'two'])))[1], ['one', 'two']);
    assert.deepEqual((await k.migrate.latest(options(['one', 'two', 'three'])))[1], ['three']);
    await k.migrate.rollback(options(['one', 'two', 'three']), true);
    assert.deepEqual((await k.migrate.latest(options(['one', 'two', 'three'])))[1].length, 3);
  });
  return () => k.migrate.rollback(options(['one', 'two', 'three']), true);
}

async function builder(k, b) {
  await check('builder and transactions', async () => {
    await k(table).insert(Array.from({ length: 100 }, (_, i) => ({ name: `n${i}`, legs: i % 5 })));
    await assert.rejects(k.transaction(async (tx) => {
      await tx(table).insert({ name: 'dropped' });
      await assert.rejects(tx.transaction((inner) => inner(table).insert({ name: 'n1' })), { code: '23505' });
      assert.equal(Number((await tx(table).count())[0].count), 101);
      await tx(table).insert({ name: 'n1' });
    }), { code: '23505' });
    await elsewhere(b, async () => assert.equal((await k(table).where({ legs: 2 }).select('id')).length, 20));
    const parallel = await Promise.all(Array.from({ length: 60 }, (_, i) => k(table).where({ name: `n${i}` }).first('legs')));
    parallel.forEach((row, i) => assert.equal(row.legs, i % 5));
  });
  await check('a stream', async () => {
    let sum = 0;
    const stream = k(table).select('legs').stream({ highWaterMark: 7 });
    for await (const row of stream) sum += row.legs;
    assert.equal(sum, 200);
  });
}

begin('knex');
const [a, b] = await everything(connect);
const k = make(8);
const undo = await migrations(k);
await builder(k, b);
await check('clean up', async () => {
  await undo();
  await k.schema.dropTable(`${table}_log`);
  await k.schema.dropTable(`${table}_log_lock`);
  await k.destroy();
  assert.equal(await one(a, 'select 1'), 1);
});
await sleep(connect, a, b);
