// Prisma's client 7 on @prisma/adapter-neon: over WebSocket and over HTTP. The client is that of pool_prisma.mjs.
// See gateway_checks.mjs.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { load, loadModule, modules } from './dsn.mjs';
import { begin, check, driver, fail, finish, sleep, url } from './gateway_checks.mjs';

const generated = join(modules, 'prisma', 'client');
begin('prisma');
if (!existsSync(generated)) fail(`${generated} is missing: run scripts/setup --tests`);
await driver();
const { PrismaClient } = load(generated);
const { PrismaNeon, PrismaNeonHttp } = await loadModule('@prisma/adapter-neon');

const socket = new PrismaClient({ adapter: new PrismaNeon({ connectionString: url, max: 3 }) });
await check('over WebSocket', async () => {
  await socket.$executeRawUnsafe('create table if not exists pool_prisma_owner (id int primary key, name text not null unique)');
  await socket.$executeRawUnsafe('create table if not exists pool_prisma_thing (id serial primary key, tag text not null, owner_id int not null references pool_prisma_owner)');
  await socket.$executeRawUnsafe('truncate pool_prisma_owner, pool_prisma_thing');
  await socket.owner.create({ data: { id: 1, name: 'one', things: { create: [{ tag: 'x' }, { tag: 'y' }] } } });
  await socket.$transaction([socket.thing.create({ data: { tag: 'z', ownerId: 1 } }), socket.thing.deleteMany({ where: { tag: 'x' } })]);
  await assert.rejects(socket.$transaction(async (tx) => {
    await tx.owner.create({ data: { id: 2, name: 'dropped' } });
    await tx.owner.create({ data: { id: 3, name: 'one' } });
  }), { code: 'P2002' });
  const [owner] = await socket.owner.findMany({ include: { things: { orderBy: { tag: 'asc' } } } });
  assert.deepEqual(owner.things.map((t) => t.tag), ['y', 'z']);
});

const http = new PrismaClient({ adapter: new PrismaNeonHttp(url, { arrayMode: false, fullResults: true }) });
await check('over HTTP', async () => {
  assert.equal(await http.owner.count(), 1);
  await http.owner.create({ data: { id: 5, name: 'five' } });
  // The adapter passes the driver's error on as it is, with the SQLSTATE.
  await assert.rejects(http.owner.create({ data: { id: 6, name: 'five' } }), { code: '23505' });
  assert.deepEqual(await http.owner.findMany({ where: { name: 'five' } }), [{ id: 5, name: 'five' }]);
  const rows = await http.$queryRawUnsafe('select 1 as n, $1::text as t', 'text');
  assert.deepEqual(rows, [{ n: 1, t: 'text' }]);
});

await check('asleep', async () => {
  await sleep();
  assert.equal(await http.owner.count(), 2);
  await sleep();
  assert.equal(await socket.thing.count(), 2);
  await socket.$executeRawUnsafe('drop table pool_prisma_thing, pool_prisma_owner');
  await socket.$disconnect();
  await http.$disconnect();
});
finish();
