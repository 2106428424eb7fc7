// The fetch handler of docs/guides/edge.md, and one with a socket of its own, as Cloudflare's runtime runs them.
// BASE is the HTTP port of a server without a domain.

import { neon, neonConfig, Pool } from 'serverless.mjs';

function point(env) {
  neonConfig.fetchEndpoint = () => `${env.BASE}/sql`;
  neonConfig.wsProxy = () => `${new URL(env.BASE).host}/v2`;
  neonConfig.useSecureWebSocket = false;
}

const handlers = {
  async one(request, env) {
    const sql = neon(env.DATABASE_URL);
    const id = new URL(request.url).searchParams.get('id');
    const [row] = await sql`SELECT ${id}::int AS id, 'dormouse' AS name`;
    return Response.json(row);
  },
  async batch(request, env) {
    const sql = neon(env.DATABASE_URL);
    const results = await sql.transaction([sql`SELECT 1 AS a`, sql`SELECT 2 AS b`], { isolationLevel: 'Serializable' });
    return Response.json(results);
  },
  async socket(request, env, context) {
    const pool = new Pool({ connectionString: env.DATABASE_URL });
    try {
      const client = await pool.connect();
      await client.query('BEGIN');
      const { rows } = await client.query('SELECT $1::int + 1 AS n', [41]);
      await client.query(`SELECT set_config('my.answer', $1, true)`, [String(rows[0].n)]);
      const told = await client.query(`SELECT current_setting('my.answer') AS answer`);
      await client.query('COMMIT');
      client.release();
      return Response.json(told.rows[0]);
    } finally {
      context.waitUntil(pool.end());
    }
  },
  async large(request, env) {
    const sql = neon(env.DATABASE_URL);
    const rows = await sql.query('SELECT g, repeat(md5(g::text), 50) t FROM generate_series(1, 10000) g');
    return Response.json({ rows: rows.length, bytes: rows.reduce((sum, row) => sum + row.t.length, 0) });
  },
  async error(request, env) {
    const sql = neon(env.DATABASE_URL);
    return Response.json(await sql`SELECT 1 / 0`);
  },
};

export default {
  async fetch(request, env, context) {
    point(env);
    try {
      return await handlers[new URL(request.url).pathname.slice(1)](request, env, context);
    } catch (error) {
      return Response.json({ name: error.name, code: error.code, message: error.message }, { status: 500 });
    }
  },
};
