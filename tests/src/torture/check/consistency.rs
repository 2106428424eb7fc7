//! A database against itself: each query returns what is wrong, as text, and should return nothing.

use tokio_postgres::{Client, Error};

use super::super::work::schema::{ACCOUNTS, BALANCE, ORIGIN_ROWS};
use super::super::world::{World, connect};

/// The bank's sum, and the large values against their hashes: they hold at any moment.
pub(crate) async fn sums(world: &World, client: &Client, name: &str) -> Result<(), Error> {
    let total = ACCOUNTS * BALANCE;
    let bank = format!(
        "select format('%s accounts have %s together', count(*), sum(balance)) from accounts \
         having count(*) <> {ACCOUNTS} or sum(balance) <> {total}"
    );
    let hashes = "select format('the value of (%s, %s) is not what was written', client, n) from large \
                  where md5(payload) <> hash"
        .to_owned();
    ask(world, client, name, &[bank, hashes]).await
}

/// What must hold when nobody writes.
const QUERIES: [&str; 7] = [
    "select format('(%s, %s): large row %s, ledger %s', client, n, a.client is not null, l.kind) \
     from large a full join (select * from ledger where kind = 'large') l using (client, n) \
     where a.client is null or l.kind is null",
    "select format('(%s, %s): %s bulk rows, ledger says %s', client, n, a.rows, l.rows) \
     from (select client, n, count(*) as rows from bulk group by 1, 2) a \
     full join (select * from ledger where kind in ('copy', 'big', 'savepoints') and rows > 0) l \
     using (client, n) where a.rows is distinct from l.rows",
    "select format('(%s, %s): %s numbers, ledger says %s', client, n, a.rows, l.rows) \
     from (select client, n, count(*) as rows from numbered group by 1, 2) a \
     full join (select * from ledger where kind = 'sequence') l using (client, n) \
     where a.rows is distinct from l.rows",
    "select format('the next number %s is not above %s', nextval('numbers'), max(number)) from numbered \
     having nextval('numbers') <= max(number)",
    "select format('(%s, %s): %s of 100 unlogged rows', client, n, count(*)) from scratch \
     group by client, n having count(*) <> 100",
    "select format('%s is there and noted nowhere', relname) from pg_class \
     where relkind = 'r' and relname like 'made\\_%' and relname not in (select name from tables_made)",
    "select format('database %s is noted and not there', name) from databases_made \
     where name not in (select datname from pg_database)",
];

/// The same for vectors, where there are any; the second reads the HNSW index.
const VECTORS: [&str; 2] = [
    "select format('(%s, %s): vector %s, ledger %s', client, n, a.client is not null, l.kind) \
     from vectors a full join (select * from ledger where kind = 'vector') l using (client, n) \
     where a.client is null or l.kind is null",
    "select format('the index finds %s vectors', found) from (select count(*) as found from \
     (select 1 from vectors order by v <-> '[1,2,3,4,5,6,7,8]' limit 5) nearest) counted \
     where found < least(5, (select count(*) from vectors))",
];

/// Everything.
pub(crate) async fn all(world: &World, client: &Client, dsn: &str, name: &str) -> Result<(), Error> {
    ask(world, client, name, &QUERIES.map(str::to_owned)).await?;
    let there = client.query_one("select to_regclass('vectors') is not null", &[]).await?;
    if there.get(0) {
        ask(world, client, name, &VECTORS.map(str::to_owned)).await?;
    }
    both_ways(world, client, name).await?;
    for row in client.query("select name, rows from tables_made", &[]).await? {
        let (table, wanted): (String, i64) = (row.get(0), row.get(1));
        let counted = client.query_one(&format!("select count(*) from {table}"), &[]).await?;
        let found: i64 = counted.get(0);
        if found != wanted {
            world.complain("check", &format!("{name}: {table} has {found} rows, noted were {wanted}"));
        }
    }
    for row in client.query("select name from databases_made", &[]).await? {
        copied_database(world, dsn, row.get(0), name).await?;
    }
    Ok(())
}

async fn ask(world: &World, client: &Client, name: &str, queries: &[String]) -> Result<(), Error> {
    for query in queries {
        for row in client.query(&format!("{query} limit 5"), &[]).await? {
            world.complain("check", &format!("{name}: {}", row.get::<_, String>(0)));
        }
    }
    Ok(())
}

/// The heap and its indexes must tell the same.
async fn both_ways(world: &World, client: &Client, name: &str) -> Result<(), Error> {
    let query = "select count(*), sum(hashtext(kind)), sum(n) from ledger where client >= 0 and kind > ''";
    let mut answers = Vec::new();
    for (sequential, index) in [("on", "off"), ("off", "on")] {
        client
            .batch_execute(&format!(
                "set enable_seqscan = {sequential}; set enable_indexscan = {index}; \
                 set enable_indexonlyscan = {index}; set enable_bitmapscan = {index}"
            ))
            .await?;
        let row = client.query_one(query, &[]).await?;
        answers.push((row.get::<_, i64>(0), row.get::<_, Option<i64>>(1), row.get::<_, Option<i64>>(2)));
    }
    client.batch_execute("reset all").await?;
    if answers[0] != answers[1] {
        world.complain("check", &format!("{name}: heap and indexes of ledger differ: {answers:?}"));
    }
    Ok(())
}

/// A copy of the template database has all its rows.
async fn copied_database(world: &World, dsn: &str, database: &str, name: &str) -> Result<(), Error> {
    let client = connect(&with_database(dsn, database)).await?;
    let found: i64 = client.query_one("select count(*) from t where t = md5(n::text)", &[]).await?.get(0);
    if found != ORIGIN_ROWS {
        world.complain("check", &format!("{name}: database {database} has {found} rows of {ORIGIN_ROWS}"));
    }
    Ok(())
}

/// The same connection string for another database.
pub(crate) fn with_database(dsn: &str, database: &str) -> String {
    let (server, rest) = dsn.rsplit_once('/').unwrap();
    let options = rest.split_once('?').map(|(_, options)| format!("?{options}")).unwrap_or_default();
    format!("{server}/{database}{options}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_the_database_changes() {
        let with = super::with_database("postgres://a:b@h:1/app?options=endpoint%3Dx", "other");
        assert_eq!(with, "postgres://a:b@h:1/other?options=endpoint%3Dx");
    }
}
