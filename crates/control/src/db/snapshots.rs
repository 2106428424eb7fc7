//! Tables `snapshots` and `previews`: which branches are snapshots, and which are restored ones to be looked at.

use dormouse_base::{BranchId, ProjectId};
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::branches;
use super::column::id;
use crate::model::record::Branch;

/// A snapshot: a branch that lists do not show.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The branch that holds the data.
    pub branch: Branch,
    /// The branch that it was taken of.
    pub source: BranchId,
    /// Its name.
    pub name: String,
}

fn read(row: &Row<'_>) -> Result<(BranchId, BranchId, String)> {
    Ok((id(row, 0)?, id(row, 1)?, row.get(2)?))
}

/// Makes a branch a snapshot.
pub fn insert(db: &Connection, branch: &BranchId, source: &BranchId, name: &str) -> Result<()> {
    db.prepare_cached("INSERT INTO snapshots (branch_id, source_id, name) VALUES (?1, ?2, ?3)")?
        .execute(params![branch.as_str(), source.as_str(), name])?;
    Ok(())
}

/// Gives it another name.
pub fn rename(db: &Connection, branch: &BranchId, name: &str) -> Result<()> {
    db.prepare_cached("UPDATE snapshots SET name = ?2 WHERE branch_id = ?1")?
        .execute(params![branch.as_str(), name])?;
    Ok(())
}

/// The snapshots of a project, oldest first.
pub fn of_project(db: &Connection, project: &ProjectId) -> Result<Vec<Snapshot>> {
    let rows: Vec<_> = db
        .prepare_cached(
            "SELECT s.branch_id, s.source_id, s.name FROM snapshots s JOIN branches b ON b.id = s.branch_id
             WHERE b.project_id = ?1 AND b.deleting = 0 ORDER BY b.created_at, b.id",
        )?
        .query_map([project.as_str()], read)?
        .collect::<Result<_>>()?;
    let found = rows.into_iter().map(|(branch, source, name)| {
        Ok(branches::get(db, &branch)?.map(|branch| Snapshot { branch, source, name }))
    });
    found.filter_map(Result::transpose).collect()
}

/// The snapshot that a branch is.
pub fn get(db: &Connection, branch: &BranchId) -> Result<Option<Snapshot>> {
    let found = db
        .prepare_cached("SELECT branch_id, source_id, name FROM snapshots WHERE branch_id = ?1")?
        .query_row([branch.as_str()], read)
        .optional()?;
    let Some((id, source, name)) = found else { return Ok(None) };
    let branch = branches::get(db, &id)?.filter(|branch| !branch.deleting);
    Ok(branch.map(|branch| Snapshot { branch, source, name }))
}

/// Notes for which branch a restored one is meant.
pub fn preview(db: &Connection, branch: &BranchId, target: &BranchId) -> Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO previews (branch_id, target_id) VALUES (?1, ?2)")?
        .execute(params![branch.as_str(), target.as_str()])?;
    Ok(())
}

/// The branch that a restored one is meant for.
pub fn target_of(db: &Connection, branch: &BranchId) -> Result<Option<BranchId>> {
    db.prepare_cached("SELECT target_id FROM previews WHERE branch_id = ?1")?
        .query_row([branch.as_str()], |row| id(row, 0))
        .optional()
}
