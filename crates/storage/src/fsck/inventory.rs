//! What is alive in a store, for a control plane that has lost everything else.
//!
//! Listings may be behind. So they are repeated until two agree, what a register names is asked for even
//! if no listing shows it, and registers themselves are read past what a listing tells.

use std::collections::BTreeSet;

use dormouse_base::{BranchId, Epoch, Lsn, ProjectId, with_causes};

use super::wal::{Coverage, coverage, window_line};
use super::{Finding, FsckError};
use crate::branch::line::{MAX_DEPTH, Records};
use crate::branch::record::{BranchRecord, Origin, ProjectRecord, SnapshotKind};
use crate::branch::register::{BranchRegister, ProjectRegister, RegisterError, kinds};
use crate::gc::look::stranger;
use crate::gc::plan::Reach;
use crate::gc::window::{Pieces, piece_of};
use crate::key;
use crate::object::Store;

/// Listings that are made of the same at most, until two agree.
const LISTINGS: u32 = 5;

/// A branch that is alive.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundBranch {
    /// Its register.
    pub record: BranchRecord,
    /// The newest position that can be restored; zero when none can.
    pub stored: Lsn,
}

/// A project that is alive.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundProject {
    /// Its register.
    pub record: ProjectRecord,
    /// Its living branches, parents before children.
    pub branches: Vec<FoundBranch>,
}

/// Everything that is alive.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    /// The projects, by identifier.
    pub projects: Vec<FoundProject>,
    /// Registers that cannot be read, and branches that cannot be restored.
    pub problems: Vec<Finding>,
}

/// Finds everything that is alive in a store.
///
/// # Errors
/// When the store cannot be listed or read. A damaged register is a problem in the result.
pub async fn inventory(store: &Store) -> Result<Inventory, FsckError> {
    let mut found = Inventory::default();
    let mut ids = BTreeSet::new();
    for _ in 0..LISTINGS {
        let before = ids.len();
        let first = ids.is_empty();
        ids.extend(kinds::projects(store).await.map_err(FsckError::Store)?);
        if ids.len() == before && !first {
            break;
        }
    }
    for id in ids {
        let record = match ProjectRegister::of(store, &id).version().await {
            Ok(version) if version.deleted_at.is_none() => version.value,
            Ok(_) => continue,
            Err(error) => {
                found.problems.push(problem(&id, None, key::project_register(&id).to_string(), error)?);
                continue;
            }
        };
        let branches = branches(store, &id, &mut found.problems).await?;
        found.projects.push(FoundProject { record, branches });
    }
    Ok(found)
}

fn problem(
    project: &ProjectId,
    branch: Option<&BranchId>,
    object: String,
    error: RegisterError,
) -> Result<Finding, FsckError> {
    match error {
        RegisterError::Store(error) => Err(FsckError::Store(error)),
        error => {
            let problem = with_causes(&error);
            Ok(Finding { project: Some(project.clone()), branch: branch.cloned(), object, problem })
        }
    }
}

async fn branches(
    store: &Store,
    project: &ProjectId,
    problems: &mut Vec<Finding>,
) -> Result<Vec<FoundBranch>, FsckError> {
    let mut todo = BTreeSet::new();
    for round in 0..LISTINGS {
        let before = todo.len();
        todo.extend(kinds::branches(store, project).await.map_err(FsckError::Store)?);
        if todo.len() == before && round > 0 {
            break;
        }
    }
    let (mut records, mut deleted, mut asked) = (Records::new(), BTreeSet::new(), BTreeSet::new());
    while let Some(id) = todo.pop_first() {
        asked.insert(id.clone());
        match BranchRegister::of(store, project, &id).version().await {
            Ok(version) => {
                if version.deleted_at.is_some() {
                    deleted.insert(id.clone());
                }
                // A parent that no listing showed.
                if let Origin::Branch { parent, .. } = &version.value.origin
                    && !asked.contains(parent)
                {
                    todo.insert(parent.clone());
                }
                records.insert(id, version.value);
            }
            // Objects without a register: an upload that never became a branch.
            Err(RegisterError::Missing(_)) => {}
            Err(error) => {
                let object = key::branch_register(project, &id).to_string();
                problems.push(problem(project, Some(&id), object, error)?);
            }
        }
    }
    let mut pieces = Pieces::new();
    for listed in store.list(&key::branches(project), None).await.map_err(FsckError::Store)? {
        if let Some((branch, epoch, piece)) = piece_of(&listed.key) {
            pieces.entry((branch, epoch)).or_default().push(piece);
        }
    }
    let mut found = Vec::new();
    for id in super::order(&records).into_iter().filter(|id| !deleted.contains(id)) {
        let stored = stored(&records, &id, &pieces);
        if stored.is_none() {
            let object = key::branch(project, &id).to_string();
            let problem = "no snapshot and WAL in the store make any point of it".to_owned();
            problems.push(Finding {
                project: Some(project.clone()),
                branch: Some(id.clone()),
                object,
                problem,
            });
        }
        if let Some(epoch) = forgotten_writer(store, project, &records[&id], &pieces).await? {
            problems.push(Finding {
                project: Some(project.clone()),
                branch: Some(id.clone()),
                object: key::branch_register(project, &id).to_string(),
                problem: missing_version(epoch),
            });
        }
        let record = records[&id].clone();
        found.push(FoundBranch { record, stored: stored.unwrap_or_default() });
    }
    Ok(found)
}

/// What to say of a register that does not know who has written.
pub(super) fn missing_version(epoch: Epoch) -> String {
    format!(
        "WAL of writer {epoch} is stored, which the register does not know: its newest version is missing, \
         and what that writer stored is in no point of the branch"
    )
}

/// A writer that the register does not know, though it wrote. It was read before the WAL was listed, so it is asked
/// again.
async fn forgotten_writer(
    store: &Store,
    project: &ProjectId,
    record: &BranchRecord,
    pieces: &Pieces,
) -> Result<Option<Epoch>, FsckError> {
    if stranger(record, pieces).is_none() {
        return Ok(None);
    }
    match BranchRegister::of(store, project, &record.branch).version().await {
        Ok(version) => Ok(stranger(&version.value, pieces)),
        Err(RegisterError::Store(error)) => Err(FsckError::Store(error)),
        Err(_) => Ok(None),
    }
}

/// The newest position of a branch that snapshots and WAL in the store make, by listings alone.
fn stored(records: &Records, branch: &BranchId, pieces: &Pieces) -> Option<Lsn> {
    let (mut id, mut upto, mut writer, mut newest) = (branch, Lsn(u64::MAX), None, None::<Lsn>);
    for _ in 0..MAX_DEPTH {
        let record = records.get(id)?;
        let seen = record.as_of(writer);
        for snapshot in record.snapshots.iter().filter(|s| s.lsn <= upto && seen.counts(s)) {
            let base = Some((id.clone(), snapshot.clone()));
            let Ok((from, spans)) = window_line(records, branch, &Reach { base, redo: snapshot.redo }) else {
                continue;
            };
            let clean = snapshot.kind == SnapshotKind::Clean;
            let from = if clean { from.max(snapshot.lsn) } else { from };
            let Coverage { end, .. } = coverage(&spans, pieces, from);
            let usable = clean || end >= snapshot.lsn;
            newest = newest.max(usable.then(|| end.max(snapshot.lsn)));
        }
        match &record.origin {
            Origin::Branch { parent, lsn, writer: then, .. } if newest.is_none() => {
                (id, upto, writer) = (parent, upto.min(*lsn), *then);
            }
            _ => break,
        }
    }
    newest
}
