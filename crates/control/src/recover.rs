//! Makes the metadata again from what a store has: the last resort, when the node and its metadata are gone.
//!
//! What the mirror told the store ([`crate::meta`]) comes back as it was. A project or branch that it never
//! came to (the server died within a second of making it) gets sensible rows instead of being lost: its data
//! is in the store all the same. Registers are the truth of what exists and which line it is on; metas only
//! say what it was called. What cannot be made again is told, and does not keep the rest from it.

use std::collections::BTreeSet;
use std::path::Path;

use dormouse_base::{BranchId, EndpointId, Lsn, ProjectId, Timestamp, clock, with_causes};
use dormouse_storage::branch::record;
use dormouse_storage::fsck::{FoundBranch, FoundProject, Inventory};

use crate::db::{self, Db, DbError, projects, settings};
use crate::meta::{self, BranchMeta, DatabaseMeta, EndpointMeta, ProjectMeta, RoleMeta, VERSION};
use crate::model::defaults;
use crate::model::record::{Endpoint, Origin, ProjectSettings};

/// The metadata is made beside its place, so that it is there as a whole or not at all.
const DRAFT: &str = "recover.draft";

/// The metadata could not be made again.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// There is metadata already.
    #[error(
        "{} is there already: what it says would be lost. Name a new data directory, or move the file away first",
        .0.display()
    )]
    NotEmpty(std::path::PathBuf),
    /// A file operation.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: std::path::PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The new metadata cannot be opened.
    #[error("cannot make the metadata")]
    Open(#[source] db::OpenError),
    /// The new metadata cannot be written.
    #[error("cannot fill the metadata")]
    Write(#[source] DbError),
}

/// What was made again.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recovered {
    /// The projects.
    pub projects: Vec<RecoveredProject>,
    /// What could not be made again, or not as it was.
    pub problems: Vec<Problem>,
}

/// A project that was made again.
#[derive(Debug, Clone, PartialEq)]
pub struct RecoveredProject {
    /// Its ID.
    pub id: ProjectId,
    /// Its name.
    pub name: String,
    /// PostgreSQL major version.
    pub pg_version: u16,
    /// Its branches, parents before children.
    pub branches: Vec<RecoveredBranch>,
}

/// A branch that was made again.
#[derive(Debug, Clone, PartialEq)]
pub struct RecoveredBranch {
    /// Its public ID.
    pub id: BranchId,
    /// Its name.
    pub name: String,
    /// Its endpoints.
    pub endpoints: Vec<EndpointId>,
    /// The newest point that can be restored; zero = none.
    pub restorable: Lsn,
}

/// Something that could not be made again, or not as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The project or branch, or an object in the store.
    pub what: String,
    /// What is wrong with it.
    pub why: String,
}

/// Writes the metadata of a new data directory, which belongs to the store with that ID from then on. Blocks.
///
/// # Errors
/// When there is metadata already, or a file cannot be written; then nothing is there that was not before.
pub fn recover(data: &Path, store: Option<&str>, inventory: &Inventory) -> Result<Recovered, RecoverError> {
    let place = data.join(db::FILE);
    if place.exists() {
        return Err(RecoverError::NotEmpty(place));
    }
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| RecoverError::File { what, path, source }
    };
    let draft = data.join(DRAFT);
    if draft.exists() {
        std::fs::remove_dir_all(&draft).map_err(failed("remove", &draft))?;
    }
    std::fs::create_dir(&draft).map_err(failed("create", &draft))?;
    let recovered = {
        let db = Db::open(&draft).map_err(RecoverError::Open)?;
        if let Some(id) = store {
            db::belongs::remember(&db, id).map_err(RecoverError::Write)?;
        }
        // The last connection that closes brings everything into the one file.
        fill(&db, inventory).map_err(RecoverError::Write)?
    };
    std::fs::rename(draft.join(db::FILE), &place).map_err(failed("put in place", &place))?;
    std::fs::File::open(data).and_then(|dir| dir.sync_all()).map_err(failed("make durable", data))?;
    std::fs::remove_dir_all(&draft).map_err(failed("remove", &draft))?;
    Ok(recovered)
}

fn fill(db: &Db, inventory: &Inventory) -> Result<Recovered, DbError> {
    let now = clock::now();
    let mut recovered = Recovered::default();
    for finding in &inventory.problems {
        let of = [
            finding.project.as_ref().map(ToString::to_string),
            finding.branch.as_ref().map(ToString::to_string),
        ];
        let of: Vec<String> = of.into_iter().flatten().collect();
        let what = if of.is_empty() { finding.object.clone() } else { of.join("/") };
        recovered.problems.push(Problem { what, why: finding.problem.clone() });
    }
    let mut taken = BTreeSet::new();
    for found in &inventory.projects {
        let Rows { project, branches } = rows(found, &mut taken, &mut recovered.problems, now);
        match meta::restore(db, &project, &branches, now) {
            Ok(()) => recovered.projects.push(shown(db, &project, found)?),
            Err(error) => {
                let what = project.id.to_string();
                recovered.problems.push(Problem { what, why: with_causes(&error) });
            }
        }
    }
    settle_default(db)?;
    Ok(recovered)
}

/// Without a default project, the oldest is the one that is meant when none is named.
fn settle_default(db: &Db) -> Result<(), DbError> {
    db.write_now("choose the default project", |db| {
        if settings::get(db, settings::DEFAULT_PROJECT)?.is_some() {
            return Ok(());
        }
        let named = projects::find(db, defaults::PROJECT)?.into_iter().next();
        let first = match named {
            Some(named) => Some(named),
            None => projects::list(db, None, None, 1)?.into_iter().next(),
        };
        match first {
            Some(first) => settings::put(db, settings::DEFAULT_PROJECT, first.id.as_str()),
            None => Ok(()),
        }
    })
}

/// As the metadata has it now: around a restore, two lines may claim the same branch.
fn shown(db: &Db, project: &ProjectMeta, found: &FoundProject) -> Result<RecoveredProject, DbError> {
    db.read("read a project that was made again", |db| {
        let mut all = Vec::new();
        for FoundBranch { record, stored } in &found.branches {
            let Some(row) = db::branches::by_storage(db, &record.branch)? else { continue };
            let endpoints =
                db::endpoints::all_of_branch(db, &row.id)?.into_iter().map(|row| row.id).collect();
            all.push(RecoveredBranch { id: row.id, name: row.name, endpoints, restorable: *stored });
        }
        let (id, name) = (project.id.clone(), project.name.clone());
        Ok(RecoveredProject { id, name, pg_version: project.pg_version, branches: all })
    })
}

/// What is to be written of a project.
struct Rows {
    project: ProjectMeta,
    branches: Vec<BranchMeta>,
}

fn rows(
    found: &FoundProject,
    taken: &mut BTreeSet<EndpointId>,
    problems: &mut Vec<Problem>,
    now: Timestamp,
) -> Rows {
    let record = &found.record;
    let mut say = |what: String, why: &str| problems.push(Problem { what, why: why.to_owned() });
    let lines: Vec<BranchMeta> = found.branches.iter().map(|branch| of_line(branch, &mut say)).collect();
    // Which line is which branch comes first: the one that keeps the ID keeps the endpoints.
    let mut branches = meta::settled(&lines, now);
    for meta in &mut branches {
        let what = format!("{}/{}", record.project, meta.storage_id);
        meta.endpoints.retain(|endpoint| {
            let is_new = taken.insert(endpoint.id.clone());
            if !is_new {
                say(what.clone(), &format!("its endpoint {} belongs to another branch as well", endpoint.id));
            }
            is_new
        });
    }
    let told = read::<ProjectMeta>(&record.meta, || {
        say(
            record.project.to_string(),
            "its name and settings were not told to the store: its ID is its name",
        );
    });
    let mut project = told.unwrap_or_else(|| new_project(record));
    project.id = record.project.clone();
    let known = |id: &BranchId| branches.iter().any(|branch| branch.id == *id);
    if !project.default_branch.as_ref().is_some_and(known) {
        // A root, the oldest: that is what it was at the beginning.
        let oldest = branches.iter().min_by_key(|branch| (branch.parent.is_some(), branch.created_at));
        project.default_branch = oldest.map(|branch| branch.id.clone());
    }
    Rows { project, branches }
}

/// The points that were asked for and are not in the store: what was written last was lost with its machine.
fn lost(branch: &FoundBranch, say: &mut impl FnMut(String, &str), meta: &mut BranchMeta) {
    let FoundBranch { record, stored } = branch;
    let what = || format!("{}/{}", record.project, record.branch);
    if let record::Origin::Branch { lsn, .. } = &record.origin
        && record.spans.is_empty()
        && stored < lsn
    {
        say(
            what(),
            &format!(
                "it begins at {lsn} of its parent, of which the store has only what is before {stored}: reset it from its parent, or delete it"
            ),
        );
    }
    for endpoint in &mut meta.endpoints {
        if let Some(pinned) = endpoint.pinned_lsn.filter(|pinned| pinned > stored) {
            say(
                what(),
                &format!(
                    "its endpoint {} is to show {pinned}, and the store has only what is before {stored}: it shows that",
                    endpoint.id
                ),
            );
            endpoint.pinned_lsn = Some(*stored);
        }
    }
}

/// What a line says of the branch that it is.
fn of_line(branch: &FoundBranch, say: &mut impl FnMut(String, &str)) -> BranchMeta {
    let record = &branch.record;
    let told = read::<BranchMeta>(&record.meta, || {
        say(
            format!("{}/{}", record.project, record.branch),
            "its names, endpoints and roles were not told to the store: it has new ones",
        );
    });
    let mut meta = told.unwrap_or_else(|| new_branch(record));
    meta.storage_id = record.branch.clone();
    // Only after the end of its restore somebody can have written to it.
    meta.restoring &= record.spans.is_empty();
    lost(branch, say, &mut meta);
    meta
}

/// What the mirror told; nothing when it never did. What a newer version told is refused by `meta::restore`.
fn read<T: serde::de::DeserializeOwned>(value: &serde_json::Value, untold: impl FnOnce()) -> Option<T> {
    if !value.is_null()
        && let Ok(meta) = serde_json::from_value(value.clone())
    {
        return Some(meta);
    }
    untold();
    None
}

fn new_project(record: &record::ProjectRecord) -> ProjectMeta {
    ProjectMeta {
        version: VERSION,
        id: record.project.clone(),
        name: record.project.to_string(),
        pg_version: u16::try_from(record.pg_version).unwrap_or(defaults::PG_VERSION),
        settings: ProjectSettings::default(),
        default_branch: None,
        is_default: false,
        created_at: record.created_at,
    }
}

/// With a new endpoint, so that somebody can get at the data; the owner is the template's.
fn new_branch(record: &record::BranchRecord) -> BranchMeta {
    let at = record.created_at;
    let parent = match &record.origin {
        record::Origin::Branch { parent, lsn, at, .. } => {
            Some(Origin { storage_id: parent.clone(), lsn: *lsn, at: *at })
        }
        record::Origin::Template { .. } | record::Origin::Import => None,
    };
    let name = if parent.is_none() { defaults::BRANCH.to_owned() } else { record.branch.to_string() };
    let owner = defaults::owner_of(defaults::DATABASE);
    let role = RoleMeta {
        name: owner.clone(),
        verifier: None,
        can_login: true,
        valid_until: None,
        protected: true,
        pending: None,
        rename_from: None,
        created_at: at,
    };
    let database = DatabaseMeta {
        name: defaults::DATABASE.to_owned(),
        owner: owner.clone(),
        pending: None,
        rename_from: None,
        locale: None,
        created_at: at,
    };
    BranchMeta {
        version: VERSION,
        id: record.branch.clone(),
        storage_id: record.branch.clone(),
        name,
        parent,
        protected: false,
        expires_at: None,
        ttl_seconds: None,
        restored_from: None,
        last_reset_at: None,
        restoring: false,
        owner,
        endpoints: vec![new_endpoint(record, at)],
        roles: vec![role],
        databases: vec![database],
        created_at: at,
    }
}

fn new_endpoint(record: &record::BranchRecord, at: Timestamp) -> EndpointMeta {
    let id = EndpointId::generate();
    let row = Endpoint::new(id, &record.project, &record.branch, &ProjectSettings::default(), at);
    EndpointMeta {
        read_only: false,
        pinned_lsn: None,
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

#[cfg(test)]
#[path = "recover_tests.rs"]
mod tests;
