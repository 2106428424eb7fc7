// drizzle on @neondatabase/serverless: neon-http and neon-serverless. See gateway_checks.mjs.

import assert from 'node:assert/strict';
import { loadModule } from './dsn.mjs';
import { begin, check, driver, finish, refused, sleep, unique, url } from './gateway_checks.mjs';

const { neon, Pool } = await driver();
const http = await loadModule('drizzle-orm/neon-http');
const serverless = await loadModule('drizzle-orm/neon-serverless');
const { eq, sql } = await loadModule('drizzle-orm');
const { integer, jsonb, pgTable, text, timestamp } = await loadModule('drizzle-orm/pg-core');
begin('drizzle');

const animals = pgTable(unique('gw_animals'), {
  id: integer('id').primaryKey(),
  name: text('name').notNull(),
  tags: text('tags').array(),
  extra: jsonb('extra'),
  born: timestamp('born', { withTimezone: true }),
});
const table = animals[Symbol.for('drizzle:Name')];
const born = new Date('2026-01-02T03:04:05Z');

async function orm(db) {
  await db.insert(animals).values([
    { id: 1, name: 'dormouse', tags: ['small', 'sleepy'], extra: { legs: 4 }, born },
    { id: 2, name: 'hare', tags: null, extra: null, born: null },
  ]);
  const rows = await db.select().from(animals).orderBy(animals.id);
  assert.deepEqual(rows[0], { id: 1, name: 'dormouse', tags: ['small', 'sleepy'], extra: { legs: 4 }, born });
  assert.deepEqual(rows[1], { id: 2, name: 'hare', tags: null, extra: null, born: null });
  const updated = await db.update(animals).set({ name: 'Dormouse' }).where(eq(animals.id, 1)).returning({ name: animals.name });
  assert.deepEqual(updated, [{ name: 'Dormouse' }]);
  await refused('23505', db.insert(animals).values({ id: 1, name: 'twice' }));
  const named = db.select({ id: animals.id }).from(animals).where(eq(animals.id, sql.placeholder('id'))).prepare('p1');
  for (const id of [1, 2, 3]) assert.equal((await named.execute({ id })).length, id < 3 ? 1 : 0);
  await db.delete(animals);
}

const overHttp = http.drizzle(neon(url));
await check('neon-http', async () => {
  await overHttp.execute(sql.raw(`create table ${table} (id int primary key, name text not null, tags text[], extra jsonb, born timestamptz)`));
  await orm(overHttp);
});
await check('neon-http, batch', async () => {
  const [inserted, selected] = await overHttp.batch([
    overHttp.insert(animals).values({ id: 7, name: 'seven' }).returning(),
    overHttp.select().from(animals),
  ]);
  assert.deepEqual([inserted.length, selected.length], [1, 1]);
  await overHttp.delete(animals);
});

const pool = new Pool({ connectionString: url, max: 3 });
pool.on('error', (error) => { throw error; });
const overSocket = serverless.drizzle(pool);
await check('neon-serverless', () => orm(overSocket));
await check('neon-serverless, transactions', async () => {
  await assert.rejects(overSocket.transaction(async (tx) => {
    await tx.insert(animals).values({ id: 1000, name: 'dropped' });
    await tx.transaction((inner) => inner.insert(animals).values({ id: 1000, name: 'twice' }));
  }), (error) => (error.code ?? error.cause?.code) === '23505');
  assert.equal((await overSocket.select().from(animals)).length, 0);
});
await check('asleep', async () => {
  await sleep();
  assert.equal((await overHttp.select().from(animals)).length, 0);
  await sleep();
  assert.equal((await overSocket.select().from(animals)).length, 0);
  await pool.end();
  await overHttp.execute(sql.raw(`drop table ${table}`));
});
finish();
