//! Table `api_keys`.

use dormouse_base::{ApiKeyId, ProjectId, Timestamp};
use rusqlite::{Connection, Result, Row, params};

use super::column::{id, maybe_id, maybe_micros, maybe_time, micros, time};
use crate::model::record::ApiKey;

const COLUMNS: &str =
    "id, name, prefix, hash, created_at, last_used_at, project_id, created_by, last_used_from";

fn read(row: &Row<'_>) -> Result<ApiKey> {
    Ok(ApiKey {
        id: id(row, 0)?,
        name: row.get(1)?,
        prefix: row.get(2)?,
        hash: row.get(3)?,
        created_at: time(row, 4)?,
        last_used_at: maybe_time(row, 5)?,
        project_id: maybe_id(row, 6)?,
        created_by: row.get(7)?,
        last_used_from: row.get(8)?,
    })
}

/// Adds a key.
pub fn insert(db: &Connection, key: &ApiKey) -> Result<()> {
    db.prepare_cached(&format!(
        "INSERT INTO api_keys ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
    ))?
    .execute(params![
        key.id.as_str(),
        key.name,
        key.prefix,
        key.hash,
        micros(key.created_at),
        maybe_micros(key.last_used_at),
        key.project_id.as_ref().map(ProjectId::as_str),
        key.created_by,
        key.last_used_from
    ])?;
    Ok(())
}

/// All keys, oldest first.
pub fn all(db: &Connection) -> Result<Vec<ApiKey>> {
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM api_keys ORDER BY created_at, id"))?
        .query_map([], read)?
        .collect()
}

/// Keys whose secret starts with `prefix`: the candidates for a comparison in constant time.
pub fn by_prefix(db: &Connection, prefix: &str) -> Result<Vec<ApiKey>> {
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM api_keys WHERE prefix = ?1"))?
        .query_map([prefix], read)?
        .collect()
}

/// Notes that a key was used, and from where.
pub fn touch(db: &Connection, id: &ApiKeyId, now: Timestamp, from: &str) -> Result<()> {
    db.prepare_cached("UPDATE api_keys SET last_used_at = ?2, last_used_from = ?3 WHERE id = ?1")?
        .execute(params![id.as_str(), micros(now), from])?;
    Ok(())
}

/// Removes a key; tells whether it was there.
pub fn delete(db: &Connection, id: &ApiKeyId) -> Result<bool> {
    Ok(db.prepare_cached("DELETE FROM api_keys WHERE id = ?1")?.execute([id.as_str()])? > 0)
}
