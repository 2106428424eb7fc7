//! Fills in what storage keeps for a disaster, and makes all rows of a project again from it.
//!
//! [`project`] and [`branch`] look at the metadata; the reconciler `mirror` hands the result to storage
//! whenever its [`hash`] changes. [`restore`] is the other direction. What comes back is what was last
//! known: passwords cannot be revealed any more (they were sealed with a machine key that may be lost
//! too), and roles count as stale, so that they are learned from PostgreSQL before anybody logs in.

use dormouse_base::{BranchId, Timestamp};
use dormouse_compute::spec::Mode;
use rusqlite::Connection;
use sha2::{Digest, Sha256};

pub use crate::model::meta::{BranchMeta, DatabaseMeta, EndpointMeta, ProjectMeta, RoleMeta, VERSION};

use crate::db::{Db, DbError, branches, databases, endpoints, projects, roles, settings};
use crate::model::branch::old_name;
use crate::model::record::{Branch, Database, Endpoint, Project, ProjectSettings, Role};

/// A project could not be made again.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A newer version wrote what the store has.
    #[error(
        "the store was written by a newer Dormouse (format {found}, this one knows {VERSION}): use that version or newer"
    )]
    Newer {
        /// The version in the store.
        found: u32,
    },
    /// The project exists already, or an endpoint is named twice.
    #[error("the project exists already, or the store names the same line or endpoint twice")]
    Twice(#[source] DbError),
    /// The metadata failed.
    #[error("the rows of a project cannot be stored")]
    Metadata(#[source] DbError),
}

/// What storage is to keep of a project.
///
/// # Errors
/// When SQLite fails.
pub fn project(db: &Connection, row: &Project) -> rusqlite::Result<ProjectMeta> {
    let default = settings::get(db, settings::DEFAULT_PROJECT)?;
    Ok(ProjectMeta {
        version: VERSION,
        id: row.id.clone(),
        name: row.name.clone(),
        pg_version: row.pg_version,
        settings: row.settings.clone(),
        default_branch: branches::default_of(db, &row.id)?.map(|branch| branch.id),
        is_default: default.as_deref() == Some(row.id.as_str()),
        created_at: row.created_at,
    })
}

/// What storage is to keep of a branch.
///
/// # Errors
/// When SQLite fails.
pub fn branch(db: &Connection, row: &Branch) -> rusqlite::Result<BranchMeta> {
    let endpoints = endpoints::all_of_branch(db, &row.id)?;
    // What was made for one question is not worth keeping.
    let lasting = endpoints.into_iter().filter(|e| e.expires_at.is_none() && !e.deleting);
    Ok(BranchMeta {
        version: VERSION,
        id: row.id.clone(),
        storage_id: row.storage_id.clone(),
        name: row.name.clone(),
        parent: row.parent.clone(),
        protected: row.protected,
        expires_at: row.expires_at,
        ttl_seconds: row.ttl_seconds,
        restored_from: row.restored_from.clone(),
        last_reset_at: row.last_reset_at,
        restoring: false,
        owner: row.owner.clone(),
        endpoints: lasting.map(of_endpoint).collect(),
        roles: roles::all(db, &row.id)?.into_iter().map(of_role).collect(),
        databases: databases::all(db, &row.id)?.into_iter().map(of_database).collect(),
        created_at: row.created_at,
    })
}

fn of_endpoint(row: Endpoint) -> EndpointMeta {
    EndpointMeta {
        read_only: row.mode == Mode::ReadOnly,
        pinned_lsn: row.pinned_lsn,
        suspend_timeout_seconds: row.suspend_timeout_seconds,
        pause_timeout_seconds: row.pause_timeout_seconds,
        min_cu: row.autoscaling_limit_min_cu,
        max_cu: row.autoscaling_limit_max_cu,
        pg_settings: row.pg_settings,
        allowed_ips: row.allowed_ips,
        warm: row.warm,
        created_at: row.created_at,
        id: row.id,
    }
}

fn of_role(row: Role) -> RoleMeta {
    RoleMeta {
        name: row.name,
        verifier: row.verifier,
        can_login: row.can_login,
        valid_until: row.valid_until,
        protected: row.protected,
        pending: row.pending,
        rename_from: row.rename_from,
        created_at: row.created_at,
    }
}

fn of_database(row: Database) -> DatabaseMeta {
    DatabaseMeta {
        name: row.name,
        owner: row.owner,
        pending: row.pending,
        rename_from: row.rename_from,
        locale: row.locale,
        created_at: row.created_at,
    }
}

/// Tells whether a meta changed: the SHA-256 of its JSON text.
#[must_use]
pub fn hash(meta: &serde_json::Value) -> String {
    hex::encode(Sha256::digest(meta.to_string().as_bytes()))
}

/// Makes the rows of a project again, in one transaction; its branches are [`settled`]. Blocks.
///
/// # Errors
/// When the format is newer than this version, an ID is taken, or the metadata fails; then nothing was
/// changed.
pub fn restore(
    db: &Db,
    project: &ProjectMeta,
    metas: &[BranchMeta],
    now: Timestamp,
) -> Result<(), RestoreError> {
    let versions = std::iter::once(project.version).chain(metas.iter().map(|meta| meta.version));
    if let Some(found) = versions.max().filter(|found| *found > VERSION) {
        return Err(RestoreError::Newer { found });
    }
    let stored = db.write_now("make a project again", |db| {
        let row = Project {
            id: project.id.clone(),
            name: project.name.clone(),
            pg_version: project.pg_version,
            settings: project.settings.clone(),
            deleting: false,
            created_at: project.created_at,
            updated_at: now,
        };
        projects::insert(db, &row)?;
        metas.iter().try_for_each(|meta| restore_branch(db, project, meta, now))?;
        if project.is_default {
            settings::put(db, settings::DEFAULT_PROJECT, project.id.as_str())?;
        }
        Ok(())
    });
    stored.map_err(|error| {
        if error.is_conflict() { RestoreError::Twice(error) } else { RestoreError::Metadata(error) }
    })
}

/// Around a restore two lines claim to be the same branch, because the store is told of one after the other.
/// The one that was reset last is, but not by a restore that was not over: that one's user still had the other line.
/// Another keeps its data under a name and an ID of its own.
#[must_use]
pub fn settled(metas: &[BranchMeta], now: Timestamp) -> Vec<BranchMeta> {
    let mut metas = metas.to_vec();
    metas.sort_by_key(|meta| (meta.restoring, std::cmp::Reverse(meta.last_reset_at)));
    let mut settled: Vec<BranchMeta> = Vec::new();
    for mut meta in metas {
        if settled.iter().any(|known| known.id == meta.id) {
            meta.id = BranchId::generate();
            meta.endpoints.clear();
        }
        let name = meta.name.clone();
        let mut tries = 1;
        while settled.iter().any(|known| known.name == meta.name) {
            meta.name = if tries == 1 { old_name(&name, &[], now) } else { format!("{name}_old_{tries}") };
            tries += 1;
        }
        settled.push(meta);
    }
    settled
}

fn restore_branch(
    db: &Connection,
    project: &ProjectMeta,
    meta: &BranchMeta,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let new = Branch::new(meta.id.clone(), &project.id, meta.name.clone(), meta.owner.clone(), now);
    let row = Branch {
        storage_id: meta.storage_id.clone(),
        parent: meta.parent.clone(),
        is_default: project.default_branch.as_ref() == Some(&meta.id),
        ready: true,
        protected: meta.protected,
        expires_at: meta.expires_at,
        ttl_seconds: meta.ttl_seconds,
        restored_from: meta.restored_from.clone(),
        last_reset_at: meta.last_reset_at,
        created_at: meta.created_at,
        ..new
    };
    branches::insert(db, &row)?;
    for endpoint in &meta.endpoints {
        endpoints::insert(db, &endpoint_again(db, project, &meta.id, endpoint, now)?)?;
    }
    for role in &meta.roles {
        let RoleMeta { name, verifier, can_login, valid_until, protected, pending, rename_from, created_at } =
            role.clone();
        let (branch_id, sealed_password, oid, updated_at) = (meta.id.clone(), None, None, now);
        #[rustfmt::skip]
        let row = Role {
            branch_id, name, verifier, sealed_password, can_login, valid_until, protected, pending,
            rename_from, oid, created_at, updated_at,
        };
        roles::put(db, &row)?;
    }
    for database in &meta.databases {
        let DatabaseMeta { name, owner, pending, rename_from, locale, created_at } = database.clone();
        let (branch_id, updated_at) = (meta.id.clone(), now);
        #[rustfmt::skip]
        let row = Database {
            id: 0, branch_id, name, owner, pending, rename_from, locale, created_at, updated_at,
        };
        databases::insert(db, &row)?;
    }
    Ok(())
}

fn endpoint_again(
    db: &Connection,
    project: &ProjectMeta,
    branch: &BranchId,
    meta: &EndpointMeta,
    now: Timestamp,
) -> rusqlite::Result<Endpoint> {
    let new = Endpoint::new(meta.id.clone(), &project.id, branch, &ProjectSettings::default(), now);
    Ok(Endpoint {
        mode: if meta.read_only { Mode::ReadOnly } else { Mode::ReadWrite },
        pinned_lsn: meta.pinned_lsn,
        slot: endpoints::free_slot(db)?,
        suspend_timeout_seconds: meta.suspend_timeout_seconds,
        pause_timeout_seconds: meta.pause_timeout_seconds,
        autoscaling_limit_min_cu: meta.min_cu,
        autoscaling_limit_max_cu: meta.max_cu,
        pg_settings: meta.pg_settings.clone(),
        allowed_ips: meta.allowed_ips.clone(),
        warm: meta.warm.clone(),
        // The mirror may be behind PostgreSQL.
        roles_stale: !meta.read_only,
        created_at: meta.created_at,
        ..new
    })
}

#[cfg(test)]
#[path = "meta_tests.rs"]
mod tests;
