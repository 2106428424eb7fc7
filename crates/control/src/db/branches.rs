//! Table `branches`.

use dormouse_base::{BranchId, ProjectId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::column::{id, micros, time};
use crate::model::record::Branch;

const COLUMNS: &str = "id, project_id, name, is_default, ready, owner, created_at, updated_at";

fn read(row: &Row<'_>) -> Result<Branch> {
    Ok(Branch {
        id: id(row, 0)?,
        project_id: id(row, 1)?,
        name: row.get(2)?,
        is_default: row.get(3)?,
        ready: row.get(4)?,
        owner: row.get(5)?,
        created_at: time(row, 6)?,
        updated_at: time(row, 7)?,
    })
}

/// Adds a branch.
pub fn insert(db: &Connection, branch: &Branch) -> Result<()> {
    db.prepare_cached(&format!("INSERT INTO branches ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"))?
        .execute(params![
            branch.id.as_str(),
            branch.project_id.as_str(),
            branch.name,
            branch.is_default,
            branch.ready,
            branch.owner,
            micros(branch.created_at),
            micros(branch.updated_at)
        ])?;
    Ok(())
}

/// The branch with this ID.
pub fn get(db: &Connection, id: &BranchId) -> Result<Option<Branch>> {
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM branches WHERE id = ?1"))?
        .query_row([id.as_str()], read)
        .optional()
}

/// The branch of a project with this ID or name; an ID wins.
pub fn find(db: &Connection, project: &ProjectId, id_or_name: &str) -> Result<Option<Branch>> {
    db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM branches WHERE project_id = ?1 AND (id = ?2 OR name = ?2) ORDER BY id = ?2 DESC LIMIT 1"
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

/// Branches of a project by creation, after the one with ID `after`, whose name contains `search`.
pub fn list(
    db: &Connection,
    project: &ProjectId,
    after: Option<&str>,
    search: Option<&str>,
    limit: usize,
) -> Result<Vec<Branch>> {
    db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM branches WHERE project_id = ?1
         AND (?2 IS NULL OR (created_at, id) > (SELECT created_at, id FROM branches WHERE id = ?2))
         AND (?3 IS NULL OR instr(lower(name), lower(?3)) > 0 OR id = ?3)
         ORDER BY created_at, id LIMIT ?4"
    ))?
    .query_map(params![project.as_str(), after, search, i64::try_from(limit).unwrap_or(i64::MAX)], read)?
    .collect()
}

/// Gives a branch another name.
pub fn rename(db: &Connection, id: &BranchId, name: &str, now: Timestamp) -> Result<()> {
    db.prepare_cached("UPDATE branches SET name = ?2, updated_at = ?3 WHERE id = ?1")?.execute(params![
        id.as_str(),
        name,
        micros(now)
    ])?;
    Ok(())
}

/// Notes that a branch's data exists.
pub fn mark_ready(db: &Connection, id: &BranchId, now: Timestamp) -> Result<()> {
    db.prepare_cached("UPDATE branches SET ready = 1, updated_at = ?2 WHERE id = ?1")?
        .execute(params![id.as_str(), micros(now)])?;
    Ok(())
}

/// Notes that the owner role was renamed.
pub fn set_owner(db: &Connection, id: &BranchId, owner: &str) -> Result<()> {
    db.prepare_cached("UPDATE branches SET owner = ?2 WHERE id = ?1")?.execute([id.as_str(), owner])?;
    Ok(())
}
