//! Table `replies`: what requests with an `Idempotency-Key` were answered, bounded by age and by number.

use dormouse_api::idempotency::KEPT_HOURS;
use dormouse_base::Timestamp;
use jiff::SignedDuration;
use rusqlite::{Connection, OptionalExtension, Result, params};

use super::column::micros;

/// Rows that are kept; older ones go.
pub const KEPT: i64 = 4_096;

/// How long rows are kept.
pub const KEPT_FOR: SignedDuration = SignedDuration::from_hours(KEPT_HOURS);

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Hash of who asked and of the key.
    pub id: [u8; 32],
    /// Hash of what was asked.
    pub request: [u8; 32],
    /// Which run of the server carries it out.
    pub run: String,
    /// The reply's status, once it is known.
    pub status: Option<u16>,
    /// The reply's body, sealed; `None` when it was too large to be kept.
    pub body: Option<Vec<u8>>,
}

/// Finds a request that is young enough.
pub fn get(db: &Connection, id: &[u8; 32], now: Timestamp) -> Result<Option<Row>> {
    db.prepare_cached("SELECT request, run, status, body FROM replies WHERE id = ?1 AND at > ?2")?
        .query_row(params![id, micros(now - KEPT_FOR)], |row| {
            Ok(Row {
                id: *id,
                request: row.get(0)?,
                run: row.get(1)?,
                status: row.get(2)?,
                body: row.get(3)?,
            })
        })
        .optional()
}

/// Adds a request that begins, and removes what is too old or too much.
pub fn begin(db: &Connection, row: &Row, now: Timestamp) -> Result<()> {
    db.prepare_cached("DELETE FROM replies WHERE at <= ?1")?.execute([micros(now - KEPT_FOR)])?;
    db.prepare_cached(
        "INSERT OR REPLACE INTO replies (id, request, run, at, status, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![row.id, row.request, row.run, micros(now), row.status, row.body])?;
    db.prepare_cached(
        "DELETE FROM replies WHERE id IN (SELECT id FROM replies ORDER BY at DESC LIMIT -1 OFFSET ?1)",
    )?
    .execute([KEPT])?;
    Ok(())
}

/// Stores the reply.
pub fn end(db: &Connection, id: &[u8; 32], status: u16, body: Option<&[u8]>) -> Result<()> {
    db.prepare_cached("UPDATE replies SET status = ?2, body = ?3 WHERE id = ?1")?
        .execute(params![id, status, body])?;
    Ok(())
}

/// Forgets a request: nothing came of it.
pub fn forget(db: &Connection, id: &[u8; 32]) -> Result<()> {
    db.prepare_cached("DELETE FROM replies WHERE id = ?1")?.execute([id])?;
    Ok(())
}
