//! Table `endpoint_events`: what happened to each endpoint, bounded.

use dormouse_base::{EndpointId, Timestamp};
use dormouse_compute::event::Happening;
use rusqlite::{Connection, Result, params};

use super::column::{json, micros, time, to_json};

/// Events kept for each endpoint; older ones go.
pub const KEPT_PER_ENDPOINT: usize = 500;

/// One entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its number, growing.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// What, with its `kind`.
    pub happening: serde_json::Value,
}

/// Adds an event; an endpoint that is gone meanwhile is no error.
pub fn insert(db: &Connection, endpoint: &EndpointId, at: Timestamp, happening: &Happening) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO endpoint_events (endpoint_id, at, happening)
         SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM endpoints WHERE id = ?1)",
    )?
    .execute(params![endpoint.as_str(), micros(at), to_json(happening)?])?;
    Ok(())
}

/// Drops what is beyond [`KEPT_PER_ENDPOINT`].
pub fn trim(db: &Connection, endpoint: &EndpointId) -> Result<()> {
    db.prepare_cached(
        "DELETE FROM endpoint_events WHERE endpoint_id = ?1 AND id <=
         (SELECT id FROM endpoint_events WHERE endpoint_id = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
    )?
    .execute(params![endpoint.as_str(), i64::try_from(KEPT_PER_ENDPOINT).unwrap_or(i64::MAX)])?;
    Ok(())
}

/// The newest events of an endpoint, newest first.
pub fn newest(db: &Connection, endpoint: &EndpointId, limit: usize) -> Result<Vec<Entry>> {
    db.prepare_cached(
        "SELECT id, at, happening FROM endpoint_events WHERE endpoint_id = ?1 ORDER BY id DESC LIMIT ?2",
    )?
    .query_map(params![endpoint.as_str(), i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
        Ok(Entry { id: row.get(0)?, at: time(row, 1)?, happening: json(row, 2)? })
    })?
    .collect()
}
