//! Reads roles, databases and the next scheduled job out of PostgreSQL into the metadata.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use dormouse_base::{EndpointId, Timestamp, clock};
use dormouse_compute::postgres::admin::Door;
use jiff::SignedDuration;
use rusqlite::{Connection, Result};
use tokio_postgres::Client;

use crate::db::{databases, endpoints, roles};
use crate::model::cron;
use crate::model::record::{Database, Pending, Role};

/// All but PostgreSQL's own roles and ours. Times beyond what a calendar shows mean "never".
const ROLES: &str = "SELECT rolname::text, rolpassword::text, rolcanlogin,
    CASE WHEN rolvaliduntil = '-infinity' THEN 0
         WHEN isfinite(rolvaliduntil) AND rolvaliduntil < '9000-01-01'
         THEN (extract(epoch FROM rolvaliduntil) * 1000000)::bigint END,
    oid
    FROM pg_catalog.pg_authid WHERE rolname !~ '^pg_' AND rolname <> 'dormouse_admin'";

/// All but templates and the maintenance database.
const DATABASES: &str =
    "SELECT datname::text, pg_catalog.pg_get_userbyid(datdba)::text FROM pg_catalog.pg_database
    WHERE NOT datistemplate AND datname <> 'postgres' ORDER BY oid";

/// Where pg_cron keeps its jobs, and the private socket to get there; no row without pg_cron.
const CRON_PLACE: &str = "SELECT current_setting('cron.database_name', true),
    COALESCE(current_setting('cron.timezone', true), 'GMT')
    WHERE current_setting('cron.database_name', true) IS NOT NULL";

/// How long reading pg_cron's table may hold up a sleep.
const CRON_WITHIN: Duration = Duration::from_secs(5);

/// pg_cron looks at its clock once a second, then starts a worker: so late a job may begin.
const STARTS_WITHIN: SignedDuration = SignedDuration::from_secs(3);

/// Falling asleep is not worth it when a job is due so soon; longer than a scheduled wake is early.
const WORTH_WAITING: SignedDuration = SignedDuration::from_secs(3);

/// What PostgreSQL has.
#[derive(Debug, Default)]
pub(super) struct Learned {
    roles: Vec<LearnedRole>,
    databases: Vec<(String, String)>,
}

#[derive(Debug)]
struct LearnedRole {
    name: String,
    verifier: Option<String>,
    can_login: bool,
    valid_until: Option<Timestamp>,
    oid: u32,
}

/// Asks for all roles and databases.
pub(super) async fn ask(client: &Client) -> std::result::Result<Learned, tokio_postgres::Error> {
    // Not prepared first: one round trip, for somebody may wait for a branch, and the database may be busy.
    let (roles, databases) =
        tokio::try_join!(client.query_typed(ROLES, &[]), client.query_typed(DATABASES, &[]))?;
    let roles = roles.iter().map(|row| LearnedRole {
        name: row.get(0),
        verifier: row.get(1),
        can_login: row.get(2),
        valid_until: row.get::<_, Option<i64>>(3).and_then(|us| Timestamp::from_microsecond(us).ok()),
        oid: row.get(4),
    });
    let databases = databases.iter().map(|row| (row.get(0), row.get(1)));
    Ok(Learned { roles: roles.collect(), databases: databases.collect() })
}

/// Makes the metadata agree with what was learned. Rows with a pending change stay as they are: they
/// say what shall be, not what is.
pub(super) fn store(db: &Connection, endpoint: &EndpointId, learned: &Learned, now: Timestamp) -> Result<()> {
    let Some(endpoint) = endpoints::get(db, endpoint)? else { return Ok(()) };
    let branch = endpoint.branch_id;

    let known = roles::all(db, &branch)?;
    let renamed: HashSet<&str> = known.iter().filter_map(|r| r.rename_from.as_deref()).collect();
    let mut by_name: HashMap<&str, &Role> = known.iter().map(|r| (r.name.as_str(), r)).collect();
    for role in learned.roles.iter().filter(|r| !renamed.contains(r.name.as_str())) {
        let old = by_name.remove(role.name.as_str());
        if old.is_some_and(|old| old.pending.is_some() || role.is_like(old)) {
            continue;
        }
        roles::put(db, &role.merged(old, &branch, now))?;
    }
    for gone in by_name.values().filter(|r| matches!(r.pending, None | Some(Pending::Drop))) {
        roles::delete(db, &branch, &gone.name)?;
    }

    let known = databases::all(db, &branch)?;
    let renamed: HashSet<&str> = known.iter().filter_map(|d| d.rename_from.as_deref()).collect();
    let mut by_name: HashMap<&str, &Database> = known.iter().map(|d| (d.name.as_str(), d)).collect();
    for (name, owner) in learned.databases.iter().filter(|(name, _)| !renamed.contains(name.as_str())) {
        match by_name.remove(name.as_str()) {
            Some(old) if old.pending.is_some() || old.owner == *owner => {}
            Some(old) => {
                databases::put(db, &Database { owner: owner.clone(), updated_at: now, ..old.clone() })?;
            }
            None => {
                let (branch_id, name, owner) = (branch.clone(), name.clone(), owner.clone());
                let (pending, rename_from) = (None, None);
                let new = Database {
                    id: 0,
                    branch_id,
                    name,
                    owner,
                    pending,
                    rename_from,
                    locale: None,
                    created_at: now,
                    updated_at: now,
                };
                databases::insert(db, &new)?;
            }
        }
    }
    for gone in by_name.values().filter(|d| d.pending.is_none()) {
        databases::delete(db, gone.id)?;
    }
    Ok(())
}

impl LearnedRole {
    fn is_like(&self, old: &Role) -> bool {
        old.verifier == self.verifier
            && old.can_login == self.can_login
            && old.valid_until == self.valid_until
            && old.oid == Some(self.oid)
    }

    fn merged(&self, old: Option<&Role>, branch: &dormouse_base::BranchId, now: Timestamp) -> Role {
        // A password that somebody else set is one that we do not know.
        let still_ours = old.filter(|old| old.verifier == self.verifier);
        Role {
            branch_id: branch.clone(),
            name: self.name.clone(),
            verifier: self.verifier.clone(),
            sealed_password: still_ours.and_then(|old| old.sealed_password.clone()),
            can_login: self.can_login,
            valid_until: self.valid_until,
            protected: old.is_some_and(|old| old.protected),
            pending: None,
            rename_from: None,
            oid: Some(self.oid),
            created_at: old.map_or(now, |old| old.created_at),
            updated_at: now,
        }
    }
}

/// What pg_cron wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Jobs {
    /// When it next wants to run something.
    pub(super) next_due: Option<Timestamp>,
    /// A job is due about now.
    pub(super) is_due: bool,
}

impl Jobs {
    fn of(schedules: &[String], zone: &str, now: Timestamp) -> Self {
        let after = |now| cron::earliest(schedules.iter().map(String::as_str), zone, now);
        let recent = after(now - STARTS_WITHIN);
        Self { next_due: after(now), is_due: recent.is_some_and(|due| due <= now + WORTH_WAITING) }
    }
}

/// Reads pg_cron's jobs. Trouble here must not keep a database awake: it is logged, and no wake is
/// scheduled.
pub(super) async fn jobs(door: &Door) -> Jobs {
    let place = match door.query_opt(CRON_PLACE, &[]).await {
        Ok(Some(place)) => place,
        Ok(None) => return Jobs::default(),
        Err(error) => {
            tracing::warn!(%error, "cannot ask for pg_cron");
            return Jobs::default();
        }
    };
    let (database, zone): (String, String) = (place.get(0), place.get(1));
    let asked = tokio::time::timeout(CRON_WITHIN, schedules(door, &database)).await;
    match asked {
        Ok(Ok(schedules)) => Jobs::of(&schedules, &zone, clock::now()),
        Ok(Err(error)) => {
            tracing::warn!(error = &*error, "cannot read pg_cron's jobs");
            Jobs::default()
        }
        Err(_) => {
            tracing::warn!("reading pg_cron's jobs took too long");
            Jobs::default()
        }
    }
}

async fn schedules(
    door: &Door,
    database: &str,
) -> std::result::Result<Vec<String>, Box<dyn std::error::Error + Send + Sync>> {
    let client = door.open(database).await?;
    if client
        .query_opt("SELECT 1 FROM pg_catalog.pg_extension WHERE extname = 'pg_cron'", &[])
        .await?
        .is_none()
    {
        return Ok(Vec::new());
    }
    let rows = client.query("SELECT schedule::text FROM cron.job WHERE active", &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

#[cfg(test)]
#[path = "learn_tests.rs"]
mod tests;
