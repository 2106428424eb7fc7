//! What a branch gets from the one it comes from: roles with their passwords, and databases.
//!
//! PostgreSQL's files bring both along, as they were at the fork. The metadata must say the same before
//! anything runs, because a login is checked against it while the endpoint sleeps:
//!
//! * A fork of *now* has exactly the roles that the parent has ([`Trust::Exact`]); what was still pending
//!   there is pending here.
//! * A fork of the past has the roles and passwords *of then*. Connection strings must keep working, and a
//!   password that was changed since must not come back to life, so every role is written again before the
//!   first client gets in ([`Trust::Wish`], see [`crate::keeper::apply`]). Databases are learned later.
//!
//! A sealed password opens for one branch only, so it is sealed anew.

use dormouse_base::{BranchId, Timestamp};
use rusqlite::{Connection, Result};

use crate::db::{databases, roles};
use crate::model::defaults;
use crate::model::record::{Database, Pending, Role};
use crate::secrets::Secrets;

/// How far the rows of a branch agree with its PostgreSQL files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// They do, but for what is pending.
    Exact,
    /// Roles are a wish: they are written again at the next start.
    Wish,
}

/// Gives `to` the roles and databases of `from` that it does not have yet.
///
/// # Errors
/// When SQLite fails.
pub fn inherit(
    db: &Connection,
    secrets: &Secrets,
    (from, to): (&BranchId, &BranchId),
    trust: Trust,
    now: Timestamp,
) -> Result<()> {
    let present = roles::all(db, to)?;
    for role in roles::all(db, from)? {
        if present.iter().any(|known| known.name == role.name) {
            continue;
        }
        let sealed = role.sealed_password.as_ref().and_then(|s| secrets.unseal(from, &role.name, s).ok());
        let sealed_password = sealed.map(|password| secrets.seal(to, &role.name, password.expose()));
        // It may come from another moment, where the name was another role's.
        let role = Role { branch_id: to.clone(), sealed_password, oid: None, updated_at: now, ..role };
        roles::put(db, &if trust == Trust::Wish { wished(role) } else { role })?;
    }
    let present = databases::all(db, to)?;
    for database in databases::all(db, from)? {
        if !present.iter().any(|known| known.name == database.name) {
            databases::insert(db, &Database { branch_id: to.clone(), updated_at: now, ..database })?;
        }
    }
    Ok(())
}

/// Has every role of a branch written again at its next start.
///
/// # Errors
/// When SQLite fails.
pub fn insist(db: &Connection, branch: &BranchId, now: Timestamp) -> Result<()> {
    for role in roles::all(db, branch)? {
        roles::put(db, &wished(Role { updated_at: now, ..role }))?;
    }
    Ok(())
}

/// As it shall be where it may not be yet, or be another one of its name.
fn wished(role: Role) -> Role {
    // Before the first start of all, the owner still had the template's name.
    let template = (role.protected && role.name != defaults::TEMPLATE_OWNER)
        .then(|| defaults::TEMPLATE_OWNER.to_owned());
    Role {
        pending: role.pending.or(Some(Pending::Alter)),
        rename_from: role.rename_from.clone().or(template),
        oid: None,
        ..role
    }
}

#[cfg(test)]
#[path = "descent_tests.rs"]
mod tests;
