// What the programs for the gateway share. DSN is the database's pooled URL,
// DIRECT the other one, HTTP the base of the HTTP port (http://127.0.0.1:5480). A program that prints SLEEP
// waits until the endpoint was put to sleep; it gets a line then.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline';
import { load } from './dsn.mjs';

const PROGRAM_LIMIT_MS = 90_000;

export const base = process.env.HTTP;
if (!process.env.DSN || !base) throw new Error('set DSN to a postgresql:// URL and HTTP to the HTTP port');

export const url = process.env.DSN;

let program = '?';
let passed = 0;
let current = 'start';

export function begin(name) {
  program = `gateway_${name}`;
  setTimeout(() => fail(`still running after ${PROGRAM_LIMIT_MS} ms`), PROGRAM_LIMIT_MS).unref();
  process.on('uncaughtException', (error) => fail(error.stack));
  process.on('unhandledRejection', (error) => fail(error?.stack ?? error));
}

export function fail(reason) {
  console.log(`FAIL ${program}: ${current}: ${reason}`);
  process.exit(1);
}

export async function check(name, body) {
  current = name;
  try {
    await body();
  } catch (error) {
    const code = error?.code ? ` [${error.code}]` : '';
    fail(`${error?.name}${code}: ${String(error?.message ?? error).slice(0, 600)}\n${error?.stack}`);
  }
  passed += 1;
}

export function finish() {
  console.log(`ok ${program} ${passed} checks`);
  process.exit(0);
}

export const unique = (prefix) => `${prefix}_${process.pid}_${randomBytes(4).toString('hex')}`;

export async function refused(state, promise) {
  let error;
  try {
    await promise;
  } catch (e) {
    error = e;
  }
  assert.ok(error, `it succeeded, wanted ${state}`);
  assert.equal(error.code ?? error.cause?.code, state, `SQLSTATE of ${error}`);
  return error;
}

let lines;
export async function sleep() {
  lines ??= createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  console.log('SLEEP');
  const answer = await lines.next();
  assert.ok(!answer.done, 'nobody suspended the endpoint');
}

// The driver, pointed to the gateway as its documentation says for other hosts.
export function driver() {
  // As drizzle and Prisma load it: settings are kept in the module.
  const neon = load('@neondatabase/serverless');
  const host = new URL(base).host;
  const { neonConfig } = neon;
  neonConfig.fetchEndpoint = () => `${base}/sql`;
  neonConfig.wsProxy = () => `${host}/v2`;
  neonConfig.useSecureWebSocket = base.startsWith('https:');
  neonConfig.webSocketConstructor = load('ws');
  return neon;
}
