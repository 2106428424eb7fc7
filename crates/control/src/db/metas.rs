//! Table `metas`: the hash of what storage was last told to keep for a disaster.

use rusqlite::{Connection, OptionalExtension, Result};

/// The hash for a storage ID or a project ID.
pub fn hash(db: &Connection, key: &str) -> Result<Option<String>> {
    db.prepare_cached("SELECT hash FROM metas WHERE key = ?1")?.query_row([key], |row| row.get(0)).optional()
}

/// Stores a hash.
pub fn put(db: &Connection, key: &str, hash: &str) -> Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO metas (key, hash) VALUES (?1, ?2)")?.execute([key, hash])?;
    Ok(())
}

/// Forgets those whose branch or project is gone.
pub fn prune(db: &Connection) -> Result<usize> {
    db.execute(
        "DELETE FROM metas WHERE key NOT IN (SELECT storage_id FROM branches UNION ALL SELECT id FROM projects)",
        [],
    )
}
