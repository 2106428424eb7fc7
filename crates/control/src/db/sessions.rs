//! Table `sessions`: browsers that are signed in. It goes with its API key.

use dormouse_base::{ApiKeyId, ProjectId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::column::{id, maybe_id, micros, time};
use crate::identity::session::{Browser, Session};

/// A session as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The hash of its token.
    pub hash: Vec<u8>,
    /// What it may do, and until when.
    pub session: Session,
    /// When somebody signed in.
    pub created_at: Timestamp,
    /// Where it was used last.
    pub browser: Browser,
}

/// Adds a session; the least recently used go when there are more than `most`.
pub fn insert(
    db: &Connection,
    hash: &[u8],
    key: &ApiKeyId,
    browser: &Browser,
    (now, until): (Timestamp, Timestamp),
    most: usize,
) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO sessions (hash, api_key_id, created_at, used_at, expires_at, from_addr, agent) \
         VALUES (?1, ?2, ?3, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![hash, key.as_str(), micros(now), micros(until), browser.from, browser.agent])?;
    db.prepare_cached("DELETE FROM sessions WHERE expires_at <= ?1")?.execute([micros(now)])?;
    db.prepare_cached(
        "DELETE FROM sessions WHERE hash IN (SELECT hash FROM sessions ORDER BY used_at DESC LIMIT -1 OFFSET ?1)",
    )?
    .execute([i64::try_from(most).unwrap_or(i64::MAX)])?;
    Ok(())
}

/// The first columns of both questions below.
const COLUMNS: &str = "k.id, k.name, k.project_id, s.used_at, s.expires_at";

fn read(row: &Row<'_>) -> Result<Session> {
    Ok(Session {
        key: id(row, 0)?,
        name: row.get(1)?,
        project: maybe_id::<ProjectId>(row, 2)?,
        used_at: time(row, 3)?,
        expires_at: time(row, 4)?,
    })
}

/// The session of a token's hash, with the key that it stands for.
pub fn find(db: &Connection, hash: &[u8]) -> Result<Option<Session>> {
    db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM sessions s JOIN api_keys k ON k.id = s.api_key_id WHERE s.hash = ?1"
    ))?
    .query_row([hash], read)
    .optional()
}

/// All of them, the one that was used last first.
pub fn all(db: &Connection) -> Result<Vec<Listed>> {
    db.prepare_cached(&format!(
        "SELECT {COLUMNS}, s.hash, s.created_at, s.from_addr, s.agent \
         FROM sessions s JOIN api_keys k ON k.id = s.api_key_id ORDER BY s.used_at DESC, s.hash"
    ))?
    .query_map([], |row| {
        let browser = Browser { from: row.get(7)?, agent: row.get(8)? };
        Ok(Listed { hash: row.get(5)?, session: read(row)?, created_at: time(row, 6)?, browser })
    })?
    .collect()
}

/// Notes that a session was used, and from where.
pub fn touch(db: &Connection, hash: &[u8], now: Timestamp, from: &str) -> Result<()> {
    db.prepare_cached("UPDATE sessions SET used_at = ?2, from_addr = ?3 WHERE hash = ?1")?
        .execute(params![hash, micros(now), from])?;
    Ok(())
}

/// Ends a session; tells whether it was there.
pub fn delete(db: &Connection, hash: &[u8]) -> Result<bool> {
    Ok(db.prepare_cached("DELETE FROM sessions WHERE hash = ?1")?.execute([hash])? > 0)
}
