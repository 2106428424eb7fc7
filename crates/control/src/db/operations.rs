//! Table `operations`.

use dormouse_base::{OperationId, ProjectId};
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::column::{id, json, maybe_id, maybe_json, maybe_micros, maybe_time, micros, time, to_json};
use crate::model::record::{Operation, Target};
use crate::operation::phase::Phase;

/// Finished operations that are kept, over all projects.
pub const KEPT: usize = 10_000;

const COLUMNS: &str = "id, project_id, branch_id, endpoint_id, kind, phase, step, args, error, failures, retry_at, \
                       created_at, updated_at";

fn read(row: &Row<'_>) -> Result<Operation> {
    let phase: String = row.get(5)?;
    Ok(Operation {
        id: id(row, 0)?,
        target: Target {
            project_id: id(row, 1)?,
            branch_id: maybe_id(row, 2)?,
            endpoint_id: maybe_id(row, 3)?,
        },
        kind: row.get(4)?,
        phase: Phase::parse(&phase).ok_or_else(|| {
            rusqlite::Error::FromSqlConversionFailure(5, rusqlite::types::Type::Text, "unknown phase".into())
        })?,
        step: row.get(6)?,
        args: json(row, 7)?,
        error: maybe_json(row, 8)?,
        failures: row.get(9)?,
        retry_at: maybe_time(row, 10)?,
        created_at: time(row, 11)?,
        updated_at: time(row, 12)?,
    })
}

/// Adds an operation. Fails with a conflict while another one of the project is under way.
pub fn insert(db: &Connection, operation: &Operation) -> Result<()> {
    db.prepare_cached(&format!(
        "INSERT INTO operations ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)"
    ))?
    .execute(params![
        operation.id.as_str(),
        operation.target.project_id.as_str(),
        operation.target.branch_id.as_ref().map(dormouse_base::BranchId::as_str),
        operation.target.endpoint_id.as_ref().map(dormouse_base::EndpointId::as_str),
        operation.kind,
        operation.phase.name(),
        operation.step,
        to_json(&operation.args)?,
        operation.error.as_ref().map(to_json).transpose()?,
        operation.failures,
        maybe_micros(operation.retry_at),
        micros(operation.created_at),
        micros(operation.updated_at)
    ])?;
    Ok(())
}

/// Stores where an operation is.
pub fn update(db: &Connection, operation: &Operation) -> Result<()> {
    db.prepare_cached(
        "UPDATE operations SET phase = ?2, step = ?3, error = ?4, failures = ?5, retry_at = ?6, updated_at = ?7
         WHERE id = ?1",
    )?
    .execute(params![
        operation.id.as_str(),
        operation.phase.name(),
        operation.step,
        operation.error.as_ref().map(to_json).transpose()?,
        operation.failures,
        maybe_micros(operation.retry_at),
        micros(operation.updated_at)
    ])?;
    Ok(())
}

/// The operation with this ID.
pub fn get(db: &Connection, id: &OperationId) -> Result<Option<Operation>> {
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM operations WHERE id = ?1"))?
        .query_row([id.as_str()], read)
        .optional()
}

/// Operations of a project, newest first, older than the one with ID `before`.
pub fn list(
    db: &Connection,
    project: &ProjectId,
    before: Option<&str>,
    limit: usize,
) -> Result<Vec<Operation>> {
    db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM operations WHERE project_id = ?1
         AND (?2 IS NULL OR seq < (SELECT seq FROM operations WHERE id = ?2)) ORDER BY seq DESC LIMIT ?3"
    ))?
    .query_map(params![project.as_str(), before, i64::try_from(limit).unwrap_or(i64::MAX)], read)?
    .collect()
}

/// Operations that are not at their end, oldest first.
pub fn unfinished(db: &Connection) -> Result<Vec<Operation>> {
    db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM operations WHERE phase IN ('doing', 'undoing') ORDER BY seq"
    ))?
    .query_map([], read)?
    .collect()
}

/// Whether an operation of this project is under way.
pub fn busy(db: &Connection, project: &ProjectId) -> Result<bool> {
    db.prepare_cached("SELECT 1 FROM operations WHERE project_id = ?1 AND phase IN ('doing', 'undoing')")?
        .exists([project.as_str()])
}

/// Forgets the oldest finished operations beyond [`KEPT`]; their arguments may hold sealed secrets,
/// so those of every finished operation go at once.
pub fn prune(db: &Connection) -> Result<usize> {
    db.execute(
        "UPDATE operations SET args = '{}' WHERE phase IN ('done', 'undone', 'stuck') AND args != '{}'",
        [],
    )?;
    db.execute(
        "DELETE FROM operations WHERE phase NOT IN ('doing', 'undoing')
         AND seq <= (SELECT max(seq) FROM operations) - ?1",
        [i64::try_from(KEPT).unwrap_or(i64::MAX)],
    )
}

/// Stores the arguments of an operation that was just added.
pub fn set_args(db: &Connection, operation: &Operation) -> Result<()> {
    db.prepare_cached("UPDATE operations SET args = ?2 WHERE id = ?1")?
        .execute(params![operation.id.as_str(), to_json(&operation.args)?])?;
    Ok(())
}

/// Takes back an operation that was just added.
pub fn remove(db: &Connection, id: &OperationId) -> Result<()> {
    db.prepare_cached("DELETE FROM operations WHERE id = ?1")?.execute([id.as_str()])?;
    Ok(())
}
