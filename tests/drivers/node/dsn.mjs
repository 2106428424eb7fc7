// What the node-postgres programs share: the driver itself, and DSN in the
// form it takes.
//
// `pg` is not beside these files: scripts/setup puts node_modules into the
// build directory so that the checkout stays clean.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const checkout = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');
const home = resolve(checkout, process.env.DORMOUSE_TEST_HOME || 'target/drivers');

// Where scripts/setup put the modules.
export const modules = join(home, 'node');
export const load = createRequire(join(modules, 'package.json'));
// For those that come as ES modules.
export const loadModule = (name) => import(pathToFileURL(load.resolve(name)).href);
export const pg = load('pg');

// node-postgres reads URLs itself, but it leaves %40 and %2F in database names
// as they are and takes sslmode=require for verify-full. So we read the URL and
// give it a configuration object with libpq's meanings.
export function config(dsn = process.env.DSN) {
  if (!dsn) throw new Error('set DSN to a postgresql:// URL');
  const url = new URL(dsn);
  const parameter = (name) => url.searchParams.get(name) ?? undefined;
  return {
    host: decodeURIComponent(url.hostname).replace(/^\[(.*)\]$/, '$1') || parameter('host'),
    port: Number(url.port || parameter('port') || 5432),
    user: decodeURIComponent(url.username) || parameter('user'),
    password: decodeURIComponent(url.password) || parameter('password'),
    database: decodeURIComponent(url.pathname.slice(1)) || parameter('dbname'),
    options: parameter('options'),
    ssl: tls(parameter('sslmode'), parameter('sslrootcert')),
    sslnegotiation: parameter('sslnegotiation'),
    enableChannelBinding: ['require', 'prefer'].includes(parameter('channel_binding')),
    connectionTimeoutMillis: 30_000,
  };
}

function tls(mode, rootFile) {
  if (!['require', 'verify-ca', 'verify-full'].includes(mode)) return false;
  const ca = rootFile && rootFile !== 'system' ? readFileSync(rootFile, 'utf8') : undefined;
  if (mode === 'verify-full') return { ca };
  if (mode === 'verify-ca' || ca) return { ca, checkServerIdentity: () => undefined };
  return { rejectUnauthorized: false };
}
