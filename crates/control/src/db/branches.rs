//! Table `branches`.
//!
//! Those that are being deleted are found by [`get`] and [`by_storage`] only: to everybody else they are
//! gone. [`put`] stores a whole row; read the row in the same transaction.

use std::collections::HashMap;

use dormouse_base::{BranchId, ProjectId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::column::{id, maybe_id, maybe_micros, maybe_time, micros, time};
use crate::model::record::{Branch, Origin};

const COLUMNS: &str = "id, project_id, name, is_default, ready, owner, created_at, updated_at, storage_id, \
                       parent_storage_id, parent_lsn, parent_timestamp, protected, expires_at, ttl_seconds, \
                       deleting, resetting, restored_from, last_reset_at";

fn read(row: &Row<'_>) -> Result<Branch> {
    let parent = match maybe_id(row, 9)? {
        Some(storage_id) => Some(Origin { storage_id, lsn: id(row, 10)?, at: maybe_time(row, 11)? }),
        None => None,
    };
    Ok(Branch {
        id: id(row, 0)?,
        project_id: id(row, 1)?,
        name: row.get(2)?,
        is_default: row.get(3)?,
        ready: row.get(4)?,
        owner: row.get(5)?,
        created_at: time(row, 6)?,
        updated_at: time(row, 7)?,
        storage_id: id(row, 8)?,
        parent,
        protected: row.get(12)?,
        expires_at: maybe_time(row, 13)?,
        ttl_seconds: row.get(14)?,
        deleting: row.get(15)?,
        resetting: row.get(16)?,
        restored_from: maybe_id(row, 17)?,
        last_reset_at: maybe_time(row, 18)?,
    })
}

fn write(db: &Connection, sql: &str, branch: &Branch) -> Result<()> {
    let parent = branch.parent.as_ref();
    db.prepare_cached(sql)?.execute(params![
        branch.id.as_str(),
        branch.project_id.as_str(),
        branch.name,
        branch.is_default,
        branch.ready,
        branch.owner,
        micros(branch.created_at),
        micros(branch.updated_at),
        branch.storage_id.as_str(),
        parent.map(|p| p.storage_id.as_str()),
        parent.map(|p| p.lsn.to_string()),
        maybe_micros(parent.and_then(|p| p.at)),
        branch.protected,
        maybe_micros(branch.expires_at),
        branch.ttl_seconds,
        branch.deleting,
        branch.resetting,
        branch.restored_from.as_ref().map(BranchId::as_str),
        maybe_micros(branch.last_reset_at)
    ])?;
    Ok(())
}

/// Adds a branch.
pub fn insert(db: &Connection, branch: &Branch) -> Result<()> {
    let sql = format!(
        "INSERT INTO branches ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, \
         ?15, ?16, ?17, ?18, ?19)"
    );
    write(db, &sql, branch)
}

/// Stores a branch that exists, with everything in it.
pub fn put(db: &Connection, branch: &Branch) -> Result<()> {
    let sql = format!(
        "UPDATE branches SET ({COLUMNS}) = (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, \
         ?16, ?17, ?18, ?19) WHERE id = ?1"
    );
    write(db, &sql, branch)
}

/// The branch with this ID.
pub fn get(db: &Connection, id: &BranchId) -> Result<Option<Branch>> {
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM branches WHERE id = ?1"))?
        .query_row([id.as_str()], read)
        .optional()
}

/// The branch that is now on this line of storage.
pub fn by_storage(db: &Connection, storage: &BranchId) -> Result<Option<Branch>> {
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM branches WHERE storage_id = ?1"))?
        .query_row([storage.as_str()], read)
        .optional()
}

/// The branch of a project with this ID or name; an ID wins.
pub fn find(db: &Connection, project: &ProjectId, id_or_name: &str) -> Result<Option<Branch>> {
    db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM branches WHERE project_id = ?1 AND (id = ?2 OR name = ?2) AND deleting = 0
         ORDER BY id = ?2 DESC LIMIT 1"
    ))?
    .query_row([project.as_str(), id_or_name], read)
    .optional()
}

/// The default branch of a project.
pub fn default_of(db: &Connection, project: &ProjectId) -> Result<Option<Branch>> {
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM branches WHERE project_id = ?1 AND is_default = 1"))?
        .query_row([project.as_str()], read)
        .optional()
}

/// The name of every branch.
pub fn names(db: &Connection) -> Result<HashMap<BranchId, String>> {
    db.prepare_cached("SELECT id, name FROM branches")?
        .query_map([], |row| Ok((id(row, 0)?, row.get(1)?)))?
        .collect()
}

/// The default branch of every project.
pub fn defaults(db: &Connection) -> Result<HashMap<ProjectId, BranchId>> {
    db.prepare_cached("SELECT project_id, id FROM branches WHERE is_default = 1")?
        .query_map([], |row| Ok((id(row, 0)?, id(row, 1)?)))?
        .collect()
}

/// Branches of a project by creation, after the one with ID `after`, whose name contains `search`.
pub fn list(
    db: &Connection,
    project: &ProjectId,
    after: Option<&str>,
    search: Option<&str>,
    limit: usize,
) -> Result<Vec<Branch>> {
    db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM branches WHERE project_id = ?1 AND deleting = 0
         AND id NOT IN (SELECT branch_id FROM snapshots)
         AND (?2 IS NULL OR (created_at, id) > (SELECT created_at, id FROM branches WHERE id = ?2))
         AND (?3 IS NULL OR instr(lower(name), lower(?3)) > 0 OR id = ?3)
         ORDER BY created_at, id LIMIT ?4"
    ))?
    .query_map(params![project.as_str(), after, search, i64::try_from(limit).unwrap_or(i64::MAX)], read)?
    .collect()
}

/// All branches of a project by creation, also those that are being deleted.
pub fn of_project(db: &Connection, project: &ProjectId) -> Result<Vec<Branch>> {
    db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM branches WHERE project_id = ?1 ORDER BY created_at, id"
    ))?
    .query_map([project.as_str()], read)?
    .collect()
}

/// Changes when the branches of a project do: how many there are, and when one was changed last.
pub type Fingerprint = (u32, i64);

/// Of all projects.
pub fn fingerprints(db: &Connection) -> Result<HashMap<ProjectId, Fingerprint>> {
    db.prepare_cached(
        "SELECT project_id, count(*), max(updated_at) FROM branches WHERE ready = 1 GROUP BY project_id",
    )?
    .query_map([], |row| Ok((id(row, 0)?, (row.get(1)?, row.get(2)?))))?
    .collect()
}

/// How many branches a list of all would have.
pub fn count(db: &Connection, project: &ProjectId, search: Option<&str>) -> Result<u64> {
    let count: u32 = db
        .prepare_cached(
            "SELECT count(*) FROM branches WHERE project_id = ?1 AND deleting = 0
         AND id NOT IN (SELECT branch_id FROM snapshots)
         AND (?2 IS NULL OR instr(lower(name), lower(?2)) > 0 OR id = ?2)",
        )?
        .query_row(params![project.as_str(), search], |row| row.get(0))?;
    Ok(u64::from(count))
}

/// The public IDs of a project's branches, by the line of storage that they are on: whose child a branch is.
pub fn lines(db: &Connection, project: &ProjectId) -> Result<HashMap<BranchId, BranchId>> {
    db.prepare_cached("SELECT storage_id, id FROM branches WHERE project_id = ?1")?
        .query_map([project.as_str()], |row| Ok((id(row, 0)?, id(row, 1)?)))?
        .collect()
}

/// Which branches go when their time has come: those of living projects. One that is not ready and that nothing is
/// being done about any more will not become ready either.
const EXPIRE: &str = "deleting = 0 AND project_id IN (SELECT id FROM projects WHERE deleting = 0)
     AND (ready = 1 OR project_id NOT IN (SELECT project_id FROM operations WHERE phase IN ('doing', 'undoing')))";

/// Branches that should be gone by now.
pub fn expired(db: &Connection, now: Timestamp) -> Result<Vec<Branch>> {
    db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM branches WHERE expires_at <= ?1 AND {EXPIRE} ORDER BY expires_at, id"
    ))?
    .query_map([micros(now)], read)?
    .collect()
}

/// When the next branch or endpoint expires, of those that [`expired`] and `endpoints::expired` will find then.
pub fn next_expiry(db: &Connection) -> Result<Option<Timestamp>> {
    db.prepare_cached(&format!(
        "SELECT min(at) FROM (SELECT min(expires_at) AS at FROM branches WHERE {EXPIRE}
         UNION ALL SELECT min(expires_at) FROM endpoints WHERE deleting = 0
         AND project_id IN (SELECT id FROM projects WHERE deleting = 0))"
    ))?
    .query_row([], |row| maybe_time(row, 0))
}

/// Notes that a branch's data exists.
pub fn mark_ready(db: &Connection, id: &BranchId, now: Timestamp) -> Result<()> {
    db.prepare_cached("UPDATE branches SET ready = 1, updated_at = ?2 WHERE id = ?1")?
        .execute(params![id.as_str(), micros(now)])?;
    Ok(())
}

/// Marks a branch as being deleted: nothing of it starts or is found from now on.
pub fn mark_deleting(db: &Connection, id: &BranchId, now: Timestamp) -> Result<()> {
    db.prepare_cached("UPDATE branches SET deleting = 1, updated_at = ?2 WHERE id = ?1")?
        .execute(params![id.as_str(), micros(now)])?;
    Ok(())
}

/// Marks a branch as being given other data, or takes that back.
pub fn set_resetting(db: &Connection, id: &BranchId, resetting: bool) -> Result<()> {
    db.prepare_cached("UPDATE branches SET resetting = ?2 WHERE id = ?1")?
        .execute(params![id.as_str(), resetting])?;
    Ok(())
}

/// Makes a branch the one that is meant when none is named.
pub fn set_default(db: &Connection, project: &ProjectId, id: &BranchId, now: Timestamp) -> Result<()> {
    db.prepare_cached("UPDATE branches SET is_default = 0 WHERE project_id = ?1 AND is_default = 1")?
        .execute([project.as_str()])?;
    db.prepare_cached("UPDATE branches SET is_default = 1, updated_at = ?2 WHERE id = ?1")?
        .execute(params![id.as_str(), micros(now)])?;
    Ok(())
}

/// Removes a branch and, by the foreign keys, its endpoints, roles and databases.
pub fn delete(db: &Connection, id: &BranchId) -> Result<()> {
    db.prepare_cached("DELETE FROM branches WHERE id = ?1")?.execute([id.as_str()])?;
    Ok(())
}

/// Notes that the owner role was renamed.
pub fn set_owner(db: &Connection, id: &BranchId, owner: &str) -> Result<()> {
    db.prepare_cached("UPDATE branches SET owner = ?2 WHERE id = ?1")?.execute([id.as_str(), owner])?;
    Ok(())
}
