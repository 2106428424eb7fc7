// Functions in workerd, the runtime of Cloudflare Workers: its fetch and its WebSocket are its own, and nothing outlives a
// request. The functions are in ../workerd/worker.mjs. See gateway_checks.mjs.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { modules } from './dsn.mjs';
import { base, begin, check, fail, finish, sleep, url } from './gateway_checks.mjs';

begin('workerd');
const here = dirname(fileURLToPath(import.meta.url));
const home = mkdtempSync(join(tmpdir(), 'workerd-'));
process.on('exit', () => rmSync(home, { recursive: true, force: true }));
copyFileSync(resolve(here, '../workerd/worker.mjs'), join(home, 'worker.mjs'));
copyFileSync(join(modules, 'node_modules/@neondatabase/serverless/index.mjs'), join(home, 'serverless.mjs'));

const port = await new Promise((done) => {
  const probe = createServer().listen(0, '127.0.0.1', () => {
    const { port } = probe.address();
    probe.close(() => done(port));
  });
});
// Loopback only, in both directions.
writeFileSync(join(home, 'config.capnp'), `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = (
      modules = [
        (name = "worker.mjs", esModule = embed "worker.mjs"),
        (name = "serverless.mjs", esModule = embed "serverless.mjs"),
      ],
      bindings = [
        (name = "DATABASE_URL", text = ${JSON.stringify(url)}),
        (name = "BASE", text = ${JSON.stringify(base)}),
      ],
      compatibilityDate = "2026-01-01",
      globalOutbound = "loopback",
    )),
    (name = "loopback", network = (allow = ["local"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);
`);
// The program itself: what npm puts into bin is a parent that would leave it behind.
const { default: binary } = createRequire(join(modules, '../workerd/package.json'))('workerd');
const runtime = spawn(binary, ['serve', join(home, 'config.capnp')], { stdio: ['ignore', 'pipe', 'pipe'] });
let said = '';
for (const stream of [runtime.stdout, runtime.stderr]) stream.on('data', (text) => { said += text; });
runtime.on('exit', (code) => fail(`workerd ended with ${code}: ${said}`));
process.on('exit', () => runtime.kill('SIGKILL'));

async function ask(path) {
  for (;;) {
    try {
      const reply = await fetch(`http://127.0.0.1:${port}/${path}`);
      return [reply.status, await reply.json()];
    } catch (error) {
      // It is still starting; the program has a limit of its own.
      if (error.cause?.code !== 'ECONNREFUSED') throw error;
      await new Promise((done) => setTimeout(done, 20));
    }
  }
}

await check('the handler of the guide wakes the endpoint', async () => {
  assert.deepEqual(await ask('one?id=7'), [200, { id: 7, name: 'dormouse' }]);
});
await check('many requests at once', async () => {
  const all = await Promise.all(Array.from({ length: 50 }, (_, id) => ask(`one?id=${id}`)));
  all.forEach((reply, id) => assert.deepEqual(reply, [200, { id, name: 'dormouse' }]));
});
await check('a batch', async () => {
  assert.deepEqual(await ask('batch'), [200, [[{ a: 1 }], [{ b: 2 }]]]);
});
await check('errors have their codes', async () => {
  assert.deepEqual(await ask('error'), [500, { name: 'NeonDbError', code: '22012', message: 'division by zero' }]);
});
await check('a large result', async () => {
  assert.deepEqual(await ask('large'), [200, { rows: 10_000, bytes: 16_000_000 }]);
});
await check('a transaction over a socket, inside of the request', async () => {
  const all = await Promise.all(Array.from({ length: 5 }, () => ask('socket')));
  all.forEach((reply) => assert.deepEqual(reply, [200, { answer: '42' }]));
});
await check('asleep, by fetch and by socket', async () => {
  await sleep();
  assert.deepEqual(await ask('one?id=8'), [200, { id: 8, name: 'dormouse' }]);
  await sleep();
  assert.deepEqual(await ask('socket'), [200, { answer: '42' }]);
});
runtime.removeAllListeners('exit');
finish();
