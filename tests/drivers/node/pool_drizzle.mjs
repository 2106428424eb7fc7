// drizzle (on node-postgres) and its migrator through a pool. Its `.prepare('p1')`
// names a statement alike on every client. See pool_checks.mjs.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { config, loadModule, pg } from './dsn.mjs';
import { begin, check, elsewhere, everything, one, sleep, unique } from './pool_checks.mjs';

const { drizzle } = await loadModule('drizzle-orm/node-postgres');
const { migrate } = await loadModule('drizzle-orm/node-postgres/migrator');
const { eq, sql } = await loadModule('drizzle-orm');
const { integer, pgTable, text } = await loadModule('drizzle-orm/pg-core');

// Texts with $1 as pieces of drizzle's template.
const template = (query, values) => sql.join(
  query.split(/(\$\d+)/).map((part) => (/^\$\d+$/.test(part) ? sql`${values[Number(part.slice(1)) - 1]}` : sql.raw(part))),
);

async function connect() {
  const client = new pg.Client(config());
  client.on('error', () => {});
  await client.connect();
  const db = drizzle(client);
  return {
    db,
    client,
    rows: async (query, ...values) => {
      const { rows, fields } = await db.execute(template(query, values));
      return rows.map((row) => fields.map((f) => row[f.name]));
    },
    plain: (query) => db.execute(sql.raw(query)),
    state: (error) => error.cause?.code ?? error.code,
    close: () => client.end(),
  };
}

const animals = pgTable(unique('pool_animals'), { id: integer('id').primaryKey(), name: text('name').notNull(), legs: integer('legs') });
const table = animals[Symbol.for('drizzle:Name')];

async function migrations(a, b) {
  const folder = mkdtempSync(join(tmpdir(), 'pool-drizzle-'));
  const schema = unique('pool_drizzle');
  const write = (entries) => {
    mkdirSync(join(folder, 'meta'), { recursive: true });
    const list = entries.map(([tag, body], idx) => {
      writeFileSync(join(folder, `${tag}.sql`), body);
      return { idx, version: '7', when: 1_700_000_000_000 + idx, tag, breakpoints: true };
    });
    writeFileSync(join(folder, 'meta/_journal.json'), JSON.stringify({ version: '7', dialect: 'postgresql', entries: list }));
  };
  const first = ['0000_one', `create table ${table} (id int primary key, name text not null);\n--> statement-breakpoint\ncreate index on ${table} (name);`];
  await check('migrator', async () => {
    write([first]);
    await migrate(a.db, { migrationsFolder: folder, migrationsSchema: schema });
    await migrate(b.db, { migrationsFolder: folder, migrationsSchema: schema });
    write([first, ['0001_two', `alter table ${table} add column legs int default 4;`]]);
    await elsewhere(b, () => migrate(a.db, { migrationsFolder: folder, migrationsSchema: schema }));
    assert.equal(await one(a, `select count(*)::int from ${schema}.__drizzle_migrations`), 2);
    rmSync(folder, { recursive: true });
  });
  return () => a.plain(`drop schema ${schema} cascade`);
}

async function orm(a, b) {
  await check('rows and transactions', async () => {
    await a.db.insert(animals).values(Array.from({ length: 200 }, (_, id) => ({ id, name: `n${id % 10}`, legs: id % 5 })));
    await assert.rejects(a.db.transaction(async (tx) => {
      await tx.insert(animals).values({ id: 1000, name: 'dropped' });
      await tx.transaction(async (inner) => inner.insert(animals).values({ id: 1, name: 'twice' }));
    }), (error) => a.state(error) === '23505');
    await elsewhere(b, async () => {
      assert.equal((await a.db.select().from(animals).where(eq(animals.legs, 2))).length, 40);
      assert.equal((await a.db.select().from(animals).where(eq(animals.id, 1000))).length, 0);
    });
  });
  await check('.prepare under equal names', async () => {
    const mine = a.db.select({ id: animals.id }).from(animals).where(eq(animals.id, sql.placeholder('id'))).prepare('p1');
    const theirs = b.db.select({ name: animals.name }).from(animals).where(eq(animals.name, sql.placeholder('name'))).prepare('p1');
    for (let i = 0; i < 5; i++) {
      await elsewhere(b, async () => assert.deepEqual(await mine.execute({ id: i }), [{ id: i }]));
      await elsewhere(a, async () => assert.equal((await theirs.execute({ name: `n${i}` })).length, 20));
    }
  });
}

begin('drizzle');
const [a, b] = await everything(connect);
const undo = await migrations(a, b);
await orm(a, b);
await check('clean up', async () => {
  await a.plain(`drop table ${table}`);
  await undo();
});
await sleep(connect, a, b);
