//! Table `databases`.

use dormouse_base::BranchId;
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::column::{id, maybe_json, micros, time, to_json};
use crate::model::record::{Database, Pending};

const COLUMNS: &str = "id, branch_id, name, owner, pending, rename_from, created_at, updated_at, locale";

fn read(row: &Row<'_>) -> Result<Database> {
    let pending: Option<String> = row.get(4)?;
    Ok(Database {
        id: row.get(0)?,
        branch_id: id(row, 1)?,
        name: row.get(2)?,
        owner: row.get(3)?,
        pending: pending.as_deref().and_then(Pending::parse),
        rename_from: row.get(5)?,
        created_at: time(row, 6)?,
        updated_at: time(row, 7)?,
        locale: maybe_json(row, 8)?,
    })
}

/// Adds a database (its `id` is ignored) and returns the ID that it got.
pub fn insert(db: &Connection, database: &Database) -> Result<i64> {
    db.prepare_cached(
        "INSERT INTO databases (branch_id, name, owner, pending, rename_from, created_at, updated_at, locale)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        database.branch_id.as_str(),
        database.name,
        database.owner,
        database.pending.map(Pending::name),
        database.rename_from,
        micros(database.created_at),
        micros(database.updated_at),
        database.locale.as_ref().map(to_json).transpose()?
    ])?;
    Ok(db.last_insert_rowid())
}

/// Stores a database under the ID that it has, new or changed.
pub fn put(db: &Connection, database: &Database) -> Result<()> {
    db.prepare_cached(&format!(
        "INSERT OR REPLACE INTO databases ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
    ))?
    .execute(params![
        database.id,
        database.branch_id.as_str(),
        database.name,
        database.owner,
        database.pending.map(Pending::name),
        database.rename_from,
        micros(database.created_at),
        micros(database.updated_at),
        database.locale.as_ref().map(to_json).transpose()?
    ])?;
    Ok(())
}

/// The database of that name, also one that is about to be dropped.
pub fn get(db: &Connection, branch: &BranchId, name: &str) -> Result<Option<Database>> {
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM databases WHERE branch_id = ?1 AND name = ?2"))?
        .query_row([branch.as_str(), name], read)
        .optional()
}

/// All databases of a branch by creation, also those about to be dropped.
pub fn all(db: &Connection, branch: &BranchId) -> Result<Vec<Database>> {
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM databases WHERE branch_id = ?1 ORDER BY id"))?
        .query_map([branch.as_str()], read)?
        .collect()
}

/// Removes a database.
pub fn delete(db: &Connection, id: i64) -> Result<()> {
    db.prepare_cached("DELETE FROM databases WHERE id = ?1")?.execute([id])?;
    Ok(())
}

/// PostgreSQL now agrees with this row, unless the row was changed again meanwhile.
pub fn settle(db: &Connection, database: &Database) -> Result<()> {
    if database.pending == Some(Pending::Drop) {
        db.prepare_cached("DELETE FROM databases WHERE id = ?1 AND pending = 'drop'")?
            .execute([database.id])?;
    } else {
        db.prepare_cached(
            "UPDATE databases SET pending = NULL, rename_from = NULL
             WHERE id = ?1 AND updated_at = ?2 AND pending IS NOT 'drop'",
        )?
        .execute(params![database.id, micros(database.updated_at)])?;
    }
    Ok(())
}
