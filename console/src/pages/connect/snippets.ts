// How each driver takes a connection string. Pure: what is shown and what is copied differ only in the password.

export type Way = 'direct' | 'pooled' | 'http';

export interface Snippet {
  name: string;
  /** For which ways it makes sense. */
  ways: Way[];
  text: (target: Target) => string;
}

export interface Target {
  uri: string;
  way: Way;
  /** Of the console: SQL over HTTP is on the same port. */
  origin: string;
}

/** Everything in parts, for those that take no URI. */
function parts(uri: string) {
  const url = new URL(uri.replace(/^postgresql:/, 'http:'));
  const query = new URLSearchParams(url.search);
  return {
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    host: url.hostname,
    port: url.port || '5432',
    /** Encoded, as JDBC takes it. */
    database: url.pathname.slice(1),
    query,
  };
}

/** Shell text in single quotes. */
const shell = (text: string) => `'${text.replace(/'/g, `'\\''`)}'`;
const javaString = (text: string) => JSON.stringify(text);

function jdbc({ uri }: Target): string {
  const { user, password, host, port, database, query } = parts(uri);
  // The driver has its own words: what libpq calls sslmode is the same, options are not taken from the URL in every version.
  const settings = query.toString();
  return `// org.postgresql:postgresql
String url = ${javaString(`jdbc:postgresql://${host}:${port}/${database}${settings ? `?${settings}` : ''}`)};
Connection connection = DriverManager.getConnection(url, ${javaString(user)}, ${javaString(password)});`;
}

function serverless({ uri, origin }: Target): string {
  const { protocol, host } = new URL(origin);
  return `// npm install @neondatabase/serverless
import { neon, neonConfig } from '@neondatabase/serverless';

neonConfig.fetchEndpoint = () => '${origin}/sql';
neonConfig.wsProxy = () => '${host}/v2';
neonConfig.useSecureWebSocket = ${protocol === 'https:'};

const sql = neon(process.env.DATABASE_URL);
const rows = await sql\`SELECT now()\`;

// .env
// DATABASE_URL=${uri}`;
}

export const SNIPPETS: Snippet[] = [
  { name: 'psql', ways: ['direct', 'pooled'], text: ({ uri }) => `psql ${shell(uri)}` },
  { name: '.env', ways: ['direct', 'pooled', 'http'], text: ({ uri }) => `DATABASE_URL=${shell(uri)}` },
  { name: 'curl', ways: ['http'], text: ({ uri, origin }) => `curl ${origin}/sql \\
  -H ${shell(`Neon-Connection-String: ${uri}`)} \\
  -d '{"query": "SELECT $1::int + 1 AS n", "params": [41]}'` },
  { name: 'Serverless driver', ways: ['http'], text: serverless },
  { name: 'psycopg', ways: ['direct', 'pooled'], text: ({ uri }) => `# pip install "psycopg[binary]"
import os, psycopg

# DATABASE_URL=${uri}
with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    print(connection.execute("SELECT now()").fetchone())` },
  { name: 'node-postgres', ways: ['direct', 'pooled'], text: ({ uri }) => `// npm install pg
import pg from 'pg';

// DATABASE_URL=${uri}
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
const { rows } = await pool.query('SELECT now()');` },
  { name: 'JDBC', ways: ['direct', 'pooled'], text: jdbc },
  { name: 'Prisma', ways: ['direct', 'pooled'], text: ({ uri }) => `// npm install @prisma/client @prisma/adapter-pg
import { PrismaPg } from '@prisma/adapter-pg';
import { PrismaClient } from './generated/prisma/client';

// DATABASE_URL=${uri}
const adapter = new PrismaPg({ connectionString: process.env.DATABASE_URL });
export const prisma = new PrismaClient({ adapter });` },
  { name: 'Drizzle', ways: ['direct', 'pooled'], text: ({ uri }) => `// npm install drizzle-orm pg
import { drizzle } from 'drizzle-orm/node-postgres';

// DATABASE_URL=${uri}
export const db = drizzle(process.env.DATABASE_URL);` },
  { name: 'Drizzle', ways: ['http'], text: ({ uri, origin }) => `// npm install drizzle-orm @neondatabase/serverless
import { neon, neonConfig } from '@neondatabase/serverless';
import { drizzle } from 'drizzle-orm/neon-http';

neonConfig.fetchEndpoint = () => '${origin}/sql';

// DATABASE_URL=${uri}
export const db = drizzle(neon(process.env.DATABASE_URL));` },
];

const HIDDEN = '••••••••';

/** The same URI with dots in the place of the password. */
export function masked(uri: string): string {
  return uri.replace(/^(postgresql:\/\/[^:@/]*:)[^@]*@/, `$1${HIDDEN}@`);
}

/** Text in which the password stands as dots. */
export function maskedText(text: (target: Target) => string, target: Target): string {
  const hidden = masked(target.uri);
  if (hidden === target.uri) return text(target);
  // The dots would be percent-encoded by whoever takes the URI apart.
  return text({ ...target, uri: hidden }).replaceAll(encodeURIComponent(HIDDEN), HIDDEN);
}
