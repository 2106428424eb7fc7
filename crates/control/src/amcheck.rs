//! Lets PostgreSQL look at all databases of a running compute: tables and B-trees, with the extension amcheck
//! where it is installed, else by reading every table to its end (page checksums are compared on the way).
//!
//! The compute is a temporary one: the extension stays in it.

use dormouse_base::{EndpointId, Kind, with_causes};
use tokio_postgres::{Client, Error};

use crate::computes::{ComputeError, Computes};

/// The most problems that are told of one branch.
const MAX_PROBLEMS: usize = 100;

/// A check of a large index takes its time.
const PATIENT: &str = "SET statement_timeout = 0; SET search_path = pg_catalog";

const DATABASES: &str = "SELECT datname FROM pg_database WHERE datallowconn ORDER BY datname";

/// In a schema of its own, so that nothing of the owner's can be taken for it.
const AMCHECK: &str =
    "CREATE SCHEMA IF NOT EXISTS dormouse_fsck; CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA dormouse_fsck";

const WHERE: &str = "SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace \
     WHERE e.extname = 'amcheck'";

/// Tables with what is stored beside them; a row is (name, object ID).
const TABLES: &str = "SELECT c.oid::regclass::text, c.oid::bigint FROM pg_class c \
     WHERE relkind IN ('r', 't', 'm') AND relpersistence = 'p' ORDER BY c.oid";

/// Unlogged ones are empty after a recovery.
const INDEXES: &str = "SELECT indexrelid::regclass::text, indexrelid::bigint FROM pg_index \
     JOIN pg_class c ON c.oid = indexrelid JOIN pg_am a ON a.oid = c.relam \
     WHERE a.amname = 'btree' AND indisvalid AND indisready AND c.relkind = 'i' \
     AND c.relpersistence = 'p' ORDER BY c.oid";

/// What was looked at, and what is wrong.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    pub(crate) databases: u64,
    pub(crate) tables: u64,
    pub(crate) indexes: u64,
    /// What could not be looked at.
    pub(crate) note: Option<String>,
    /// Object and problem.
    pub(crate) problems: Vec<(String, String)>,
}

/// Looks at everything.
///
/// # Errors
/// When the compute cannot be asked at all.
pub(crate) async fn look(computes: &dyn Computes, endpoint: &EndpointId) -> Result<Looked, ComputeError> {
    let mut looked = Looked::default();
    let client = computes.admin(endpoint, "postgres").await?;
    let rows = client.query(DATABASES, &[]).await.map_err(|error| unanswered(&error))?;
    for row in rows {
        let database: String = row.get(0);
        // Keeps it awake as long as it is held.
        let client = computes.admin(endpoint, &database).await?;
        looked.databases += 1;
        if let Err(error) = one(&client, &database, &mut looked).await {
            looked.problems.push((format!("database {database}"), with_causes(&error)));
        }
        if looked.problems.len() >= MAX_PROBLEMS {
            break;
        }
    }
    looked.problems.truncate(MAX_PROBLEMS);
    Ok(looked)
}

fn unanswered(error: &Error) -> ComputeError {
    ComputeError {
        kind: Kind::Unavailable,
        code: "compute-did-not-start",
        message: format!("PostgreSQL does not answer: {}", with_causes(error)),
    }
}

async fn one(client: &Client, database: &str, looked: &mut Looked) -> Result<(), Error> {
    client.batch_execute(PATIENT).await?;
    let version: String = client.query_one("SHOW server_version", &[]).await?.get(0);
    // Whoever has it already has it elsewhere.
    let has = client.query_opt(WHERE, &[]).await?.is_some() || client.batch_execute(AMCHECK).await.is_ok();
    let schema = client.query_opt(WHERE, &[]).await?.filter(|_| has).map(|row| row.get::<_, String>(0));
    if schema.is_none() {
        looked.note = Some(format!(
            "PostgreSQL {version} here has no amcheck: every table was read to its end, indexes were not looked at"
        ));
    }
    for row in client.query(TABLES, &[]).await? {
        let (name, oid): (String, i64) = (row.get(0), row.get(1));
        looked.tables += 1;
        let ask = match &schema {
            Some(schema) => table_check(schema, oid),
            None => format!("SELECT ''::text FROM {name} HAVING count(*) < 0"),
        };
        note(client, &ask, &format!("database {database}, table {name}"), looked).await?;
    }
    let Some(schema) = schema else { return Ok(()) };
    for row in client.query(INDEXES, &[]).await? {
        let (name, oid): (String, i64) = (row.get(0), row.get(1));
        looked.indexes += 1;
        let ask = index_check(&schema, oid);
        note(client, &ask, &format!("database {database}, index {name}"), looked).await?;
    }
    Ok(())
}

fn table_check(schema: &str, oid: i64) -> String {
    let schema = crate::model::sql::ident(schema);
    format!(
        "SELECT format('block %s, item %s: %s', blkno, offnum, msg) \
         FROM {schema}.verify_heapam({oid}::oid::regclass, check_toast := true) LIMIT 5"
    )
}

fn index_check(schema: &str, oid: i64) -> String {
    let schema = crate::model::sql::ident(schema);
    format!("SELECT ''::text FROM {schema}.bt_index_parent_check({oid}::oid::regclass, true)")
}

/// Runs a check; its rows with a text, or its refusal, are problems.
async fn note(client: &Client, ask: &str, object: &str, looked: &mut Looked) -> Result<(), Error> {
    match client.query(ask, &[]).await {
        Ok(rows) => {
            let told = rows.iter().map(|row| row.get::<_, Option<String>>(0).unwrap_or_default());
            let told = told.filter(|text| !text.is_empty());
            looked.problems.extend(told.map(|text| (object.to_owned(), text)));
        }
        Err(error) if error.is_closed() => return Err(error),
        Err(error) => looked.problems.push((object.to_owned(), with_causes(&error))),
    }
    Ok(())
}
