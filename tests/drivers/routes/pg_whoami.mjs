// Where does DSN lead with node-postgres? Output as in psycopg_whoami.py.

import { config, pg } from '../node/dsn.mjs';

try {
  const client = new pg.Client(config());
  await client.connect();
  const { rows } = await client.query('select current_database() as database, current_user as user');
  await client.end();
  console.log(JSON.stringify(rows[0]));
} catch (error) {
  console.log(JSON.stringify({ error: error.message, sqlstate: /^[0-9A-Z]{5}$/.test(error.code) ? error.code : null }));
  process.exit(1);
}
