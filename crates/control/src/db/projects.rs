//! Table `projects`.

use std::collections::{BTreeSet, HashMap};

use dormouse_base::{ProjectId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::column::{id, json, micros, time, to_json};
use crate::model::record::{Project, ProjectSettings};

const COLUMNS: &str = "id, name, pg_version, settings, deleting, created_at, updated_at";

fn read(row: &Row<'_>) -> Result<Project> {
    Ok(Project {
        id: id(row, 0)?,
        name: row.get(1)?,
        pg_version: row.get(2)?,
        settings: json(row, 3)?,
        deleting: row.get(4)?,
        created_at: time(row, 5)?,
        updated_at: time(row, 6)?,
    })
}

/// Adds a project.
pub fn insert(db: &Connection, project: &Project) -> Result<()> {
    db.prepare_cached(&format!("INSERT INTO projects ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"))?
        .execute(params![
            project.id.as_str(),
            project.name,
            project.pg_version,
            to_json(&project.settings)?,
            project.deleting,
            micros(project.created_at),
            micros(project.updated_at)
        ])?;
    Ok(())
}

/// The project with this ID.
pub fn get(db: &Connection, id: &ProjectId) -> Result<Option<Project>> {
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM projects WHERE id = ?1"))?
        .query_row([id.as_str()], read)
        .optional()
}

/// Living projects that have limits.
pub fn limited(db: &Connection) -> Result<Vec<Project>> {
    // Most have none; what has any names what it measures.
    let mut found: Vec<Project> = db
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM projects WHERE deleting = 0 AND settings LIKE '%\"measure\":%'"
        ))?
        .query_map([], read)?
        .collect::<Result<_>>()?;
    found.retain(|project| !project.settings.quotas.limits.is_empty());
    Ok(found)
}

/// Living projects with this ID or name, at most two (enough to see that a name is ambiguous). An ID
/// wins over a name.
pub fn find(db: &Connection, id_or_name: &str) -> Result<Vec<Project>> {
    let mut found: Vec<Project> = db
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM projects WHERE (id = ?1 OR name = ?1) AND deleting = 0 ORDER BY id = ?1 DESC LIMIT 2"
        ))?
        .query_map([id_or_name], read)?
        .collect::<Result<_>>()?;
    if found.first().is_some_and(|p| p.id.as_str() == id_or_name) {
        found.truncate(1);
    }
    Ok(found)
}

/// Living projects by creation, after the one with ID `after`, whose name contains `search`.
pub fn list(
    db: &Connection,
    after: Option<&str>,
    search: Option<&str>,
    limit: usize,
) -> Result<Vec<Project>> {
    db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM projects p WHERE deleting = 0
         AND (?1 IS NULL OR (created_at, id) > (SELECT created_at, id FROM projects WHERE id = ?1))
         AND (?2 IS NULL OR instr(lower(name), lower(?2)) > 0 OR id = ?2)
         ORDER BY created_at, id LIMIT ?3"
    ))?
    .query_map(params![after, search, i64::try_from(limit).unwrap_or(i64::MAX)], read)?
    .collect()
}

/// Stores a new name and new settings.
pub fn update(
    db: &Connection,
    id: &ProjectId,
    name: &str,
    settings: &ProjectSettings,
    now: Timestamp,
) -> Result<()> {
    db.prepare_cached("UPDATE projects SET name = ?2, settings = ?3, updated_at = ?4 WHERE id = ?1")?
        .execute(params![id.as_str(), name, to_json(settings)?, micros(now)])?;
    Ok(())
}

/// Marks a project as being deleted: nothing starts or finds it from now on.
pub fn mark_deleting(db: &Connection, id: &ProjectId, now: Timestamp) -> Result<()> {
    db.prepare_cached("UPDATE projects SET deleting = 1, updated_at = ?2 WHERE id = ?1")?
        .execute(params![id.as_str(), micros(now)])?;
    Ok(())
}

/// Removes a project and, by the foreign keys, all that belongs to it.
pub fn delete(db: &Connection, id: &ProjectId) -> Result<()> {
    db.prepare_cached("DELETE FROM projects WHERE id = ?1")?.execute([id.as_str()])?;
    Ok(())
}

/// PostgreSQL major versions in use.
pub fn versions(db: &Connection) -> Result<Vec<u16>> {
    db.prepare_cached("SELECT DISTINCT pg_version FROM projects WHERE deleting = 0 ORDER BY 1")?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// The PostgreSQL major version of every project.
pub fn majors(db: &Connection) -> Result<HashMap<ProjectId, u16>> {
    db.prepare_cached("SELECT id, pg_version FROM projects")?
        .query_map([], |row| Ok((id(row, 0)?, row.get(1)?)))?
        .collect()
}

/// Every project that is not being deleted.
pub fn ids(db: &Connection) -> Result<BTreeSet<ProjectId>> {
    db.prepare_cached("SELECT id FROM projects WHERE deleting = 0")?
        .query_map([], |row| id(row, 0))?
        .collect()
}

/// How many living projects there are.
pub fn count(db: &Connection) -> Result<i64> {
    db.query_row("SELECT count(*) FROM projects WHERE deleting = 0", [], |row| row.get(0))
}
