//! Table `settings`: few facts about the server itself.

use rusqlite::{Connection, OptionalExtension, Result};

/// The project that a route without a project means.
pub const DEFAULT_PROJECT: &str = "default_project";

/// The hash of the local command line's API key, once it got its row.
pub const LOCAL_KEY: &str = "local_key";

/// The ID of the object store ([`super::belongs`]).
pub const STORE: &str = "store";

/// What time it was, as JSON ([`crate::calendar`]).
pub const CALENDAR: &str = "calendar";

/// Settings of the pooler that were changed, as JSON.
pub const POOLER: &str = "pooler";

/// Settings of some pools, as JSON.
pub const POOL_LAYERS: &str = "pool_layers";

/// Reads a setting.
pub fn get(db: &Connection, key: &str) -> Result<Option<String>> {
    db.prepare_cached("SELECT value FROM settings WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()
}

/// Stores a setting.
pub fn put(db: &Connection, key: &str, value: &str) -> Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO settings (key, value) VALUES (?1, ?2)")?
        .execute([key, value])?;
    Ok(())
}

/// Removes a setting.
pub fn delete(db: &Connection, key: &str) -> Result<()> {
    db.prepare_cached("DELETE FROM settings WHERE key = ?1")?.execute([key])?;
    Ok(())
}
