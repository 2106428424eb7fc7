//! PostgreSQL's own word on its heap and its B-trees, from the extension amcheck, where there is one
//! (not in version 16 as `scripts/postgres` installs it).

use tokio_postgres::{Client, Error};

use super::super::world::World;

/// Tables with all their pages, and B-trees with every entry that the heap asks for.
const CHECKS: [(&str, &str); 2] = [
    (
        "select oid::regclass::text, format('select format(''block %%s: %%s'', blkno, msg) \
         from verify_heapam(%s, check_toast := true) limit 5', oid) \
         from pg_class where relkind in ('r', 't', 'm') and relpersistence = 'p'",
        "heap",
    ),
    (
        "select indexrelid::regclass::text, \
         format('select '''' from bt_index_parent_check(%s, true)', indexrelid) \
         from pg_index join pg_class c on c.oid = indexrelid join pg_am a on a.oid = c.relam \
         where amname = 'btree' and indisvalid and relpersistence = 'p'",
        "index",
    ),
];

/// Checks everything in this database.
pub(super) async fn all(world: &World, client: &Client, name: &str) -> Result<(), Error> {
    if client.batch_execute("create extension if not exists amcheck").await.is_err() {
        return Ok(());
    }
    for (list, kind) in CHECKS {
        for row in client.query(list, &[]).await? {
            let (what, check): (String, String) = (row.get(0), row.get(1));
            match client.query(&check, &[]).await {
                Ok(found) => {
                    for line in found {
                        let told: String = line.get(0);
                        // An index that is well still gives a row, an empty one.
                        if told.is_empty() {
                            continue;
                        }
                        world.complain("amcheck", &format!("{name}: {kind} {what}: {told}"));
                    }
                }
                Err(error) if error.as_db_error().is_some() => {
                    let told = dormouse_base::causes::with_causes(&error);
                    world.complain("amcheck", &format!("{name}: {kind} {what}: {told}"));
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}
