//! Table `endpoints`.
//!
//! "The endpoint of a branch" is always its writer; readers are found by their own ID.

use std::collections::BTreeMap;

use dormouse_base::{BranchId, EndpointId, Lsn, ProjectId, Timestamp};
use dormouse_compute::spec::Mode;
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::column::{id, json, maybe_id, maybe_micros, maybe_time, micros, time, to_json};
use crate::model::record::{Endpoint, Seen, Warm};

const COLUMNS: &str = "id, project_id, branch_id, slot, suspend_timeout_seconds, pause_timeout_seconds, min_cu, \
                       max_cu, pg_settings, roles_stale, next_wake, started_at, suspended_at, last_active, \
                       created_at, updated_at, kind, pinned_lsn, expires_at, deleting, allowed_ips, keep_warm, prewarm";

const READ_WRITE: &str = "read_write";
const READ_ONLY: &str = "read_only";

fn kind(mode: Mode) -> &'static str {
    match mode {
        Mode::ReadWrite => READ_WRITE,
        Mode::ReadOnly => READ_ONLY,
    }
}

fn read(row: &Row<'_>) -> Result<Endpoint> {
    Ok(Endpoint {
        id: id(row, 0)?,
        project_id: id(row, 1)?,
        branch_id: id(row, 2)?,
        slot: row.get(3)?,
        suspend_timeout_seconds: row.get(4)?,
        pause_timeout_seconds: row.get(5)?,
        autoscaling_limit_min_cu: row.get(6)?,
        autoscaling_limit_max_cu: row.get(7)?,
        pg_settings: json(row, 8)?,
        roles_stale: row.get(9)?,
        next_wake: maybe_time(row, 10)?,
        seen: Seen {
            started_at: maybe_time(row, 11)?,
            suspended_at: maybe_time(row, 12)?,
            last_active: maybe_time(row, 13)?,
        },
        created_at: time(row, 14)?,
        updated_at: time(row, 15)?,
        mode: if row.get_ref(16)?.as_str()? == READ_ONLY { Mode::ReadOnly } else { Mode::ReadWrite },
        pinned_lsn: maybe_id(row, 17)?,
        expires_at: maybe_time(row, 18)?,
        deleting: row.get(19)?,
        allowed_ips: json(row, 20)?,
        warm: Warm { keep: json(row, 21)?, prewarm: row.get(22)? },
    })
}

/// Adds an endpoint.
pub fn insert(db: &Connection, endpoint: &Endpoint) -> Result<()> {
    db.prepare_cached(&format!(
        "INSERT INTO endpoints ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, \
         ?19, ?20, ?21, ?22, ?23)"
    ))?
    .execute(params![
        endpoint.id.as_str(),
        endpoint.project_id.as_str(),
        endpoint.branch_id.as_str(),
        endpoint.slot,
        endpoint.suspend_timeout_seconds,
        endpoint.pause_timeout_seconds,
        endpoint.autoscaling_limit_min_cu,
        endpoint.autoscaling_limit_max_cu,
        to_json(&endpoint.pg_settings)?,
        endpoint.roles_stale,
        maybe_micros(endpoint.next_wake),
        maybe_micros(endpoint.seen.started_at),
        maybe_micros(endpoint.seen.suspended_at),
        maybe_micros(endpoint.seen.last_active),
        micros(endpoint.created_at),
        micros(endpoint.updated_at),
        kind(endpoint.mode),
        endpoint.pinned_lsn.map(|lsn| lsn.to_string()),
        maybe_micros(endpoint.expires_at),
        endpoint.deleting,
        to_json(&endpoint.allowed_ips)?,
        to_json(&endpoint.warm.keep)?,
        endpoint.warm.prewarm
    ])?;
    Ok(())
}

/// The lowest slot that no endpoint has.
pub fn free_slot(db: &Connection) -> Result<u32> {
    let taken: Vec<u32> = db
        .prepare_cached("SELECT slot FROM endpoints ORDER BY slot")?
        .query_map([], |r| r.get(0))?
        .collect::<Result<_>>()?;
    Ok((0..)
        .zip(&taken)
        .find(|(free, slot)| free != *slot)
        .map_or_else(|| u32::try_from(taken.len()).unwrap_or(u32::MAX), |(free, _)| free))
}

/// The endpoint with this ID.
pub fn get(db: &Connection, id: &EndpointId) -> Result<Option<Endpoint>> {
    get_by_text(db, id.as_str())
}

/// The endpoint with this ID, given as text.
pub fn get_by_text(db: &Connection, id: &str) -> Result<Option<Endpoint>> {
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM endpoints WHERE id = ?1"))?
        .query_row([id], read)
        .optional()
}

/// The read-write endpoint of a branch, unless it is being deleted.
pub fn of_branch(db: &Connection, branch: &BranchId) -> Result<Option<Endpoint>> {
    db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM endpoints WHERE branch_id = ?1 AND kind = '{READ_WRITE}' AND deleting = 0"
    ))?
    .query_row([branch.as_str()], read)
    .optional()
}

/// All endpoints of a branch, the writer first, then by creation.
pub fn all_of_branch(db: &Connection, branch: &BranchId) -> Result<Vec<Endpoint>> {
    db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM endpoints WHERE branch_id = ?1 ORDER BY kind DESC, created_at, id"
    ))?
    .query_map([branch.as_str()], read)?
    .collect()
}

/// The points that endpoints show for ever of the branch that is on this line of storage.
pub fn pinned(db: &Connection, storage: &BranchId) -> Result<Vec<Lsn>> {
    db.prepare_cached(
        "SELECT pinned_lsn FROM endpoints WHERE pinned_lsn IS NOT NULL AND deleting = 0
         AND branch_id IN (SELECT id FROM branches WHERE storage_id = ?1 AND deleting = 0)",
    )?
    .query_map([storage.as_str()], |row| id(row, 0))?
    .collect()
}

/// Endpoints of living branches that should be gone by now.
pub fn expired(db: &Connection, now: Timestamp) -> Result<Vec<Endpoint>> {
    db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM endpoints WHERE expires_at <= ?1 AND deleting = 0
         AND project_id IN (SELECT id FROM projects WHERE deleting = 0) ORDER BY expires_at, id"
    ))?
    .query_map([micros(now)], read)?
    .collect()
}

/// Marks an endpoint as being deleted, or takes that back.
pub fn set_deleting(db: &Connection, id: &EndpointId, deleting: bool) -> Result<()> {
    db.prepare_cached("UPDATE endpoints SET deleting = ?2 WHERE id = ?1")?
        .execute(params![id.as_str(), deleting])?;
    Ok(())
}

/// Its branch got other data: what was known of the run before is over.
pub fn start_over(db: &Connection, branch: &BranchId) -> Result<()> {
    db.prepare_cached("UPDATE endpoints SET roles_stale = 0, next_wake = NULL WHERE branch_id = ?1")?
        .execute([branch.as_str()])?;
    Ok(())
}

/// Removes an endpoint.
pub fn delete(db: &Connection, id: &EndpointId) -> Result<()> {
    db.prepare_cached("DELETE FROM endpoints WHERE id = ?1")?.execute([id.as_str()])?;
    Ok(())
}

/// The endpoints of a project, by creation.
pub fn of_project(db: &Connection, project: &ProjectId) -> Result<Vec<Endpoint>> {
    db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM endpoints WHERE project_id = ?1 ORDER BY created_at, id"
    ))?
    .query_map([project.as_str()], read)?
    .collect()
}

/// The project of every endpoint that is not being deleted.
pub fn projects(db: &Connection) -> Result<BTreeMap<EndpointId, ProjectId>> {
    db.prepare_cached("SELECT id, project_id FROM endpoints WHERE deleting = 0")?
        .query_map([], |row| Ok((id(row, 0)?, id(row, 1)?)))?
        .collect()
}

/// Every endpoint of a living project and branch, by creation.
pub fn all(db: &Connection) -> Result<Vec<Endpoint>> {
    db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM endpoints WHERE project_id IN (SELECT id FROM projects WHERE deleting = 0)
         AND branch_id IN (SELECT id FROM branches WHERE deleting = 0) ORDER BY created_at, id"
    ))?
    .query_map([], read)?
    .collect()
}

/// Stores what a client may change.
pub fn update(db: &Connection, endpoint: &Endpoint, now: Timestamp) -> Result<()> {
    db.prepare_cached(
        "UPDATE endpoints SET suspend_timeout_seconds = ?2, pause_timeout_seconds = ?3, min_cu = ?4, max_cu = ?5,
         pg_settings = ?6, updated_at = ?7, allowed_ips = ?8, keep_warm = ?9, prewarm = ?10 WHERE id = ?1",
    )?
    .execute(params![
        endpoint.id.as_str(),
        endpoint.suspend_timeout_seconds,
        endpoint.pause_timeout_seconds,
        endpoint.autoscaling_limit_min_cu,
        endpoint.autoscaling_limit_max_cu,
        to_json::<BTreeMap<String, String>>(&endpoint.pg_settings)?,
        micros(now),
        to_json(&endpoint.allowed_ips)?,
        to_json(&endpoint.warm.keep)?,
        endpoint.warm.prewarm
    ])?;
    Ok(())
}

/// Clients are let in: the roles may fall behind, and the scheduled wake has happened.
pub fn mark_opened(db: &Connection, id: &EndpointId) -> Result<()> {
    db.prepare_cached("UPDATE endpoints SET roles_stale = 1, next_wake = NULL WHERE id = ?1")?
        .execute([id.as_str()])?;
    Ok(())
}

/// The run ended in order: what is known of the roles holds until the next start.
pub fn mark_asleep(db: &Connection, id: &EndpointId) -> Result<()> {
    db.prepare_cached("UPDATE endpoints SET roles_stale = 0 WHERE id = ?1")?.execute([id.as_str()])?;
    Ok(())
}

/// Stores when PostgreSQL itself next wants to run something.
pub fn set_next_wake(db: &Connection, id: &EndpointId, at: Option<Timestamp>) -> Result<()> {
    db.prepare_cached("UPDATE endpoints SET next_wake = ?2 WHERE id = ?1 AND next_wake IS NOT ?2")?
        .execute(params![id.as_str(), maybe_micros(at)])?;
    Ok(())
}

/// Became Active.
pub fn note_started(db: &Connection, id: &EndpointId, at: Timestamp) -> Result<()> {
    db.prepare_cached("UPDATE endpoints SET started_at = ?2, last_active = ?2 WHERE id = ?1")?
        .execute(params![id.as_str(), micros(at)])?;
    Ok(())
}

/// Left Active.
pub fn note_suspended(db: &Connection, id: &EndpointId, at: Timestamp) -> Result<()> {
    db.prepare_cached("UPDATE endpoints SET suspended_at = ?2, last_active = ?2 WHERE id = ?1")?
        .execute(params![id.as_str(), micros(at)])?;
    Ok(())
}

/// Endpoints with a scheduled wake, the next one first.
pub fn scheduled(db: &Connection) -> Result<Vec<(EndpointId, Timestamp)>> {
    db.prepare_cached(
        "SELECT id, next_wake FROM endpoints WHERE next_wake IS NOT NULL
         AND project_id IN (SELECT id FROM projects WHERE deleting = 0) ORDER BY next_wake",
    )?
    .query_map([], |row| Ok((id(row, 0)?, time(row, 1)?)))?
    .collect()
}

/// Endpoints that are kept awake now and then, or always.
pub fn warm(db: &Connection) -> Result<Vec<Endpoint>> {
    db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM endpoints WHERE (keep_warm <> '[]' OR suspend_timeout_seconds < 0) AND deleting = 0
         AND project_id IN (SELECT id FROM projects WHERE deleting = 0)
         AND branch_id IN (SELECT id FROM branches WHERE deleting = 0 AND ready = 1 AND resetting = 0) ORDER BY id"
    ))?
    .query_map([], read)?
    .collect()
}

/// Writers whose branch has a change that PostgreSQL has not seen.
pub fn with_pending(db: &Connection) -> Result<Vec<EndpointId>> {
    db.prepare_cached(
        "SELECT id FROM endpoints WHERE kind = 'read_write' AND branch_id IN (SELECT branch_id FROM roles WHERE pending IS NOT NULL
         UNION SELECT branch_id FROM databases WHERE pending IS NOT NULL)",
    )?
    .query_map([], |row| id(row, 0))?
    .collect()
}
