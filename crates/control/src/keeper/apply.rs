//! Makes PostgreSQL agree with the pending rows. Every statement may find its work done already: a
//! crash between PostgreSQL and the metadata repeats it.
//!
//! What concerns safety (a changed or locked login) must succeed, or the endpoint does not open. Any
//! other change that PostgreSQL refuses stays pending and is reported; the endpoint opens.

use std::collections::HashSet;

use dormouse_base::{EndpointId, Kind};
use rusqlite::Connection;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error};

use crate::computes::Computes;
use crate::db::{Db, DbError, branches, databases, endpoints, projects, roles};
use crate::model::record::{Database, Pending, Role};
use crate::model::sql;
use crate::operation::StepFailure;

/// What is to be done, read in one go.
#[derive(Debug, Default)]
pub(crate) struct Todo {
    roles: Vec<Role>,
    databases: Vec<Database>,
    owner: String,
    superuser: bool,
    pg_major: u16,
}

/// Something that PostgreSQL refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The role that it is about, if it is about one.
    pub(crate) role: Option<String>,
    /// The database that it is about, by its number, if it is about one.
    pub(crate) database: Option<i64>,
    /// What the caller can do about it.
    pub(crate) kind: Kind,
    /// PostgreSQL's words.
    pub(crate) message: String,
}

/// What was done, to be stored.
#[derive(Debug, Default)]
pub(crate) struct Done {
    roles: Vec<Role>,
    databases: Vec<Database>,
    pub(super) refused: Vec<Refusal>,
}

impl Todo {
    /// Whether roles that there are change, or go.
    pub(crate) fn alters_roles(&self) -> bool {
        self.roles.iter().any(|role| role.pending != Some(Pending::Create))
    }

    /// Reads what is pending for an endpoint.
    pub(crate) fn read(db: &Db, endpoint: &EndpointId) -> Result<Self, DbError> {
        db.read("read pending changes", |db| {
            let Some(endpoint) = endpoints::get(db, endpoint)? else { return Ok(Self::default()) };
            let project = projects::get(db, &endpoint.project_id)?;
            let owner = branches::get(db, &endpoint.branch_id)?.map(|b| b.owner).unwrap_or_default();
            let mut roles = roles::all(db, &endpoint.branch_id)?;
            let mut databases = databases::all(db, &endpoint.branch_id)?;
            roles.retain(|r| r.pending.is_some());
            databases.retain(|d| d.pending.is_some());
            let superuser = project.as_ref().is_some_and(|p| p.settings.owner_is_superuser);
            Ok(Self { roles, databases, owner, superuser, pg_major: project.map_or(0, |p| p.pg_version) })
        })
    }

    fn dropped_roles(&self) -> impl Iterator<Item = &Role> {
        self.roles.iter().filter(|r| r.pending == Some(Pending::Drop))
    }
}

impl Done {
    /// Stores what PostgreSQL now agrees with.
    pub(super) fn settle(&self, db: &Connection) -> rusqlite::Result<()> {
        self.roles.iter().try_for_each(|role| roles::settle(db, role))?;
        self.databases.iter().try_for_each(|database| databases::settle(db, database))
    }
}

/// An error of PostgreSQL as a step's failure.
pub(crate) fn failed(what: &str, error: &Error) -> StepFailure {
    let (kind, message) = words(error);
    StepFailure::fatal(kind, "refused-by-postgres", format!("cannot {what}: {message}"))
}

/// PostgreSQL's own message where there is one; it is about the caller's own database.
fn words(error: &Error) -> (Kind, String) {
    match error.as_db_error() {
        Some(db) if *db.code() == SqlState::INSUFFICIENT_RESOURCES || *db.code() == SqlState::DISK_FULL => {
            (Kind::Unavailable, db.message().to_owned())
        }
        Some(db) => {
            let detail = db.detail().map(|d| format!(" ({d})")).unwrap_or_default();
            (Kind::Conflict, format!("{}{detail}", db.message()))
        }
        None => (Kind::Unavailable, "the connection to the database was lost: try again".to_owned()),
    }
}

/// Does what can be done over a connection to the database `postgres`.
///
/// # Errors
/// When a login cannot be changed or locked.
pub(crate) async fn run(client: &Client, todo: &Todo) -> Result<Done, StepFailure> {
    let mut done = Done::default();
    if !todo.roles.is_empty() {
        let existing = names(client, "SELECT rolname::text FROM pg_catalog.pg_roles").await?;
        for role in todo.roles.iter().filter(|r| r.pending != Some(Pending::Drop)) {
            match write_role(client, todo, role, &existing).await {
                Ok(()) => done.roles.push(role.clone()),
                Err(error) if role.pending == Some(Pending::Create) => done.refuse_role(role, &error),
                Err(error) => return Err(failed("change a role", &error)),
            }
        }
    }
    if !todo.databases.is_empty() {
        let existing = names(client, "SELECT datname::text FROM pg_catalog.pg_database").await?;
        for database in &todo.databases {
            match write_database(client, database, &existing).await {
                Ok(()) => done.databases.push(database.clone()),
                Err(error) => done.refuse_database(database, &error),
            }
        }
    }
    for role in todo.dropped_roles() {
        drop_role(client, todo, role, &mut done).await?;
    }
    Ok(done)
}

impl Done {
    fn refuse_role(&mut self, role: &Role, error: &Error) {
        let (kind, message) = words(error);
        let message = format!("role `{}`: {message}", role.name);
        self.refused.push(Refusal { role: Some(role.name.clone()), database: None, kind, message });
    }

    fn refuse_database(&mut self, database: &Database, error: &Error) {
        let (kind, message) = words(error);
        let message = format!("database `{}`: {message}", database.name);
        self.refused.push(Refusal { role: None, database: Some(database.id), kind, message });
    }
}

async fn names(client: &Client, query: &str) -> Result<HashSet<String>, StepFailure> {
    let rows = client.query(query, &[]).await.map_err(|e| failed("list names", &e))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn write_role(
    client: &Client,
    todo: &Todo,
    role: &Role,
    existing: &HashSet<String>,
) -> Result<(), Error> {
    let mut exists = existing.contains(&role.name);
    let mut script = Vec::new();
    if let Some(old) = role.rename_from.as_ref().filter(|old| !exists && existing.contains(*old)) {
        script.push(sql::rename_role(old, &role.name));
        exists = true;
    }
    script.push(sql::write_role(role, exists));
    if role.protected {
        // The template's owner has its rights already; saying so again costs a millisecond of a wake.
        if !exists || role.pending == Some(Pending::Alter) || todo.superuser {
            script.push(sql::grant_owner(&role.name, todo.pg_major, todo.superuser));
        }
    } else if !exists && role.name != todo.owner && existing.contains(&todo.owner) {
        script.push(sql::grant_to_owner(&role.name, &todo.owner));
    }
    client.batch_execute(&script.join(";")).await
}

async fn write_database(
    client: &Client,
    database: &Database,
    existing: &HashSet<String>,
) -> Result<(), Error> {
    let exists = existing.contains(&database.name);
    let old = database.rename_from.as_ref().filter(|old| existing.contains(*old));
    if database.pending == Some(Pending::Drop) {
        let name = old.unwrap_or(&database.name);
        return client.batch_execute(&sql::drop_database(name)).await;
    }
    match old {
        Some(old) if !exists => client.batch_execute(&sql::rename_database(old, &database.name)).await?,
        _ if !exists => return client.batch_execute(&sql::create_database(database)).await,
        _ => {}
    }
    client.batch_execute(&sql::own_database(&database.name, &database.owner)).await
}

/// Locks a role out and drops it. What still belongs to it elsewhere makes PostgreSQL refuse; then
/// it stays locked and pending until [`disown_dropped`] had its turn on the running endpoint.
async fn drop_role(client: &Client, todo: &Todo, role: &Role, done: &mut Done) -> Result<(), StepFailure> {
    let known = client
        .query_opt("SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = $1", &[&role.name])
        .await
        .map_err(|e| failed("look for a role", &e))?;
    if known.is_none() {
        done.roles.push(role.clone());
        return Ok(());
    }
    client.batch_execute(&sql::lock_role(&role.name)).await.map_err(|e| failed("lock a role", &e))?;
    let script = [end_sessions(&role.name), sql::disown(&role.name, &todo.owner), sql::drop_role(&role.name)];
    match client.batch_execute(&script.join(";")).await {
        Ok(()) => done.roles.push(role.clone()),
        Err(error) => done.refuse_role(role, &error),
    }
    Ok(())
}

fn end_sessions(role: &str) -> String {
    format!(
        "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE usename = {}",
        sql::literal(role)
    )
}

/// In every database: hands what dropped roles own to the branch's owner.
///
/// # Errors
/// When a database cannot be reached or refuses.
pub(crate) async fn disown_dropped(
    computes: &dyn Computes,
    endpoint: &EndpointId,
    client: &Client,
    todo: &Todo,
) -> Result<(), StepFailure> {
    if todo.dropped_roles().next().is_none() {
        return Ok(());
    }
    let existing = names(client, "SELECT rolname::text FROM pg_catalog.pg_roles").await?;
    let databases =
        names(client, "SELECT datname::text FROM pg_catalog.pg_database WHERE datallowconn").await?;
    for database in databases {
        let inside = computes.admin(endpoint, &database).await?;
        for role in todo.dropped_roles().filter(|r| existing.contains(&r.name)) {
            let script = sql::disown(&role.name, &todo.owner);
            inside.batch_execute(&script).await.map_err(|e| failed("hand over what a role owns", &e))?;
        }
    }
    Ok(())
}
