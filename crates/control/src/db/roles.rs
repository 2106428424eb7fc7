//! Table `roles`.

use dormouse_base::BranchId;
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::column::{id, maybe_micros, maybe_time, micros, time};
use crate::model::record::{Pending, Role};

const COLUMNS: &str = "branch_id, name, verifier, sealed_password, can_login, valid_until, protected, pending, \
                       rename_from, created_at, updated_at, oid";

fn read(row: &Row<'_>) -> Result<Role> {
    let pending: Option<String> = row.get(7)?;
    Ok(Role {
        branch_id: id(row, 0)?,
        name: row.get(1)?,
        verifier: row.get(2)?,
        sealed_password: row.get(3)?,
        can_login: row.get(4)?,
        valid_until: maybe_time(row, 5)?,
        protected: row.get(6)?,
        pending: pending.as_deref().and_then(Pending::parse),
        rename_from: row.get(8)?,
        created_at: time(row, 9)?,
        updated_at: time(row, 10)?,
        oid: row.get(11)?,
    })
}

/// Stores a role, new or changed.
pub fn put(db: &Connection, role: &Role) -> Result<()> {
    db.prepare_cached(&format!(
        "INSERT OR REPLACE INTO roles ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
    ))?
    .execute(params![
        role.branch_id.as_str(),
        role.name,
        role.verifier,
        role.sealed_password,
        role.can_login,
        maybe_micros(role.valid_until),
        role.protected,
        role.pending.map(Pending::name),
        role.rename_from,
        micros(role.created_at),
        micros(role.updated_at),
        role.oid
    ])?;
    Ok(())
}

/// The role of that name, also one that is about to be dropped.
pub fn get(db: &Connection, branch: &BranchId, name: &str) -> Result<Option<Role>> {
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM roles WHERE branch_id = ?1 AND name = ?2"))?
        .query_row([branch.as_str(), name], read)
        .optional()
}

/// All roles of a branch by name, also those about to be dropped.
pub fn all(db: &Connection, branch: &BranchId) -> Result<Vec<Role>> {
    db.prepare_cached(&format!("SELECT {COLUMNS} FROM roles WHERE branch_id = ?1 ORDER BY name"))?
        .query_map([branch.as_str()], read)?
        .collect()
}

/// Removes a role.
pub fn delete(db: &Connection, branch: &BranchId, name: &str) -> Result<()> {
    db.prepare_cached("DELETE FROM roles WHERE branch_id = ?1 AND name = ?2")?
        .execute([branch.as_str(), name])?;
    Ok(())
}

/// PostgreSQL now agrees with this row, unless the row was changed again meanwhile.
pub fn settle(db: &Connection, role: &Role) -> Result<()> {
    if role.pending == Some(Pending::Drop) {
        db.prepare_cached("DELETE FROM roles WHERE branch_id = ?1 AND name = ?2 AND pending = 'drop'")?
            .execute([role.branch_id.as_str(), &role.name])?;
    } else {
        db.prepare_cached(
            "UPDATE roles SET pending = NULL, rename_from = NULL WHERE branch_id = ?1 AND name = ?2
             AND updated_at = ?3 AND pending IS NOT 'drop'",
        )?
        .execute(params![role.branch_id.as_str(), role.name, micros(role.updated_at)])?;
    }
    Ok(())
}
