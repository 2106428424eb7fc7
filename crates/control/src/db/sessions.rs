//! Table `sessions`: browsers that are signed in. It goes with its API key.

use dormouse_base::{ApiKeyId, ProjectId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Result, params};

use super::column::{id, maybe_id, micros, time};
use crate::identity::session::Session;

/// Adds a session; the least recently used go when there are more than `most`.
pub fn insert(
    db: &Connection,
    hash: &[u8],
    key: &ApiKeyId,
    (now, until): (Timestamp, Timestamp),
    most: usize,
) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO sessions (hash, api_key_id, created_at, used_at, expires_at) VALUES (?1, ?2, ?3, ?3, ?4)",
    )?
    .execute(params![hash, key.as_str(), micros(now), micros(until)])?;
    db.prepare_cached("DELETE FROM sessions WHERE expires_at <= ?1")?.execute([micros(now)])?;
    db.prepare_cached(
        "DELETE FROM sessions WHERE hash IN (SELECT hash FROM sessions ORDER BY used_at DESC LIMIT -1 OFFSET ?1)",
    )?
    .execute([i64::try_from(most).unwrap_or(i64::MAX)])?;
    Ok(())
}

/// The session of a token's hash, with the key that it stands for.
pub fn find(db: &Connection, hash: &[u8]) -> Result<Option<Session>> {
    db.prepare_cached(
        "SELECT k.id, k.name, k.project_id, s.used_at, s.expires_at \
         FROM sessions s JOIN api_keys k ON k.id = s.api_key_id WHERE s.hash = ?1",
    )?
    .query_row([hash], |row| {
        Ok(Session {
            key: id(row, 0)?,
            name: row.get(1)?,
            project: maybe_id::<ProjectId>(row, 2)?,
            used_at: time(row, 3)?,
            expires_at: time(row, 4)?,
        })
    })
    .optional()
}

/// Notes that a session was used.
pub fn touch(db: &Connection, hash: &[u8], now: Timestamp) -> Result<()> {
    db.prepare_cached("UPDATE sessions SET used_at = ?2 WHERE hash = ?1")?
        .execute(params![hash, micros(now)])?;
    Ok(())
}

/// Ends a session; tells whether it was there.
pub fn delete(db: &Connection, hash: &[u8]) -> Result<bool> {
    Ok(db.prepare_cached("DELETE FROM sessions WHERE hash = ?1")?.execute([hash])? > 0)
}
