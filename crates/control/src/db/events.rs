//! Table `endpoint_events`: what happened to each endpoint, bounded.

use dormouse_base::{EndpointId, ProjectId, Timestamp};
use dormouse_compute::event::Happening;
use rusqlite::{Connection, Result, params};

use super::column::{id, json, micros, time, to_json};

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

/// The wakes from Stopped since a moment, of endpoints that are still there, oldest first; the last `most` of them.
pub fn wakes_since(
    db: &Connection,
    since: Timestamp,
    most: usize,
) -> Result<Vec<(Timestamp, EndpointId, ProjectId)>> {
    // Numbers grow with time, so what is old is not looked at.
    let mut newest = db.prepare_cached(
        "SELECT v.at, v.endpoint_id, e.project_id, json_extract(v.happening, '$.kind') = 'woke'
         FROM endpoint_events v JOIN endpoints e ON e.id = v.endpoint_id ORDER BY v.id DESC",
    )?;
    let (mut rows, mut found) = (newest.query([])?, Vec::new());
    while let Some(row) = rows.next()? {
        let at = time(row, 0)?;
        if at < since || found.len() >= most {
            break;
        }
        if row.get(3)? {
            found.push((at, id(row, 1)?, id(row, 2)?));
        }
    }
    found.reverse();
    Ok(found)
}
