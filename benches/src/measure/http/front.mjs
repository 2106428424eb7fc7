// The HTTP front that people write themselves: one route, a pool of `pg`, JSON in and out.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

const { Pool, types } = createRequire(`${process.env.MODULES}/package.json`)('pg');
types.setTypeParser(23, (text) => text);
const url = new URL(process.env.DSN);
const pool = new Pool({
  host: url.hostname, port: Number(url.port), user: url.username, password: decodeURIComponent(url.password),
  database: url.pathname.slice(1), options: url.searchParams.get('options') ?? undefined, max: 25,
});
const server = createServer(async (request, reply) => {
  let body = '';
  for await (const piece of request) body += piece;
  const { query, params } = JSON.parse(body);
  const { rows, fields, command, rowCount } = await pool.query({ text: query, values: params, rowMode: 'array' });
  const text = JSON.stringify({ fields, rows, command, rowCount, rowAsArray: true });
  reply.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }).end(text);
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
