//! Proves that branches can be restored, finds what is wrong otherwise, and finds all branches again.
//!
//! ```text
//!   registers ─► which snapshots the window needs ([`crate::gc::plan`]) ─► manifest, boot pack, every chunk
//!                                                                     └─► WAL from the first redo on: no hole,
//!                                                                         every piece, every record
//! ```
//!
//! A check reads each pack and each stretch of WAL once, however many branches need it, ancestors before
//! children. *Quick* looks at listings, registers and manifests only: it finds what is missing or too
//! short, not what was flipped. Memory: some 50 bytes for each live chunk. [`inventory`](self) is the
//! beginning of a recovery: what is alive in a store that nobody knows anything of.
//!
//! Objects that nothing reaches are counted; they are the collector's business and no error.

mod data;
mod inventory;
mod wal;

use std::collections::{BTreeMap, BTreeSet};

use dormouse_base::{BranchId, ProjectId, clock, with_causes};

pub use inventory::{FoundBranch, FoundProject, Inventory, inventory};
pub use wal::wal_line;
pub(crate) use wal::window_line;

use crate::branch::line::{MAX_DEPTH, Records};
use crate::branch::record::Origin;
use crate::branch::register::kinds;
use crate::gc::GcError;
use crate::gc::look::{Registers, Seen};
use crate::gc::plan::{self, Limits};
use crate::key;
use crate::object::{Store, StoreError};
use data::Data;
use wal::Wal;

/// The most findings of one check; it ends there.
pub const MAX_FINDINGS: usize = 1000;

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The project, if it is about one.
    pub project: Option<ProjectId>,
    /// The branch that cannot be restored, or not everywhere, if it is about one.
    pub branch: Option<BranchId>,
    /// The object, or the part of it.
    pub object: String,
    /// What is wrong.
    pub problem: String,
}

/// What a check looked at and found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// Branches.
    pub branches: u64,
    /// Objects that were read, or in a quick check looked for.
    pub objects: u64,
    /// Bytes that were read.
    pub bytes: u64,
    /// Objects that nothing reaches; garbage collection deletes them in time.
    pub orphans: u64,
    /// Their bytes.
    pub orphan_bytes: u64,
    /// Problems, at most [`MAX_FINDINGS`]; empty = every branch that was asked for can be restored.
    pub findings: Vec<Finding>,
}

/// What to check.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// This project only.
    pub project: Option<ProjectId>,
    /// This branch of it only, with what it needs of its ancestors.
    pub branch: Option<BranchId>,
    /// Only what listings, registers and manifests tell.
    pub quick: bool,
}

/// A check could not be made. (What is wrong with the data is a finding.)
#[derive(Debug, Clone, thiserror::Error)]
pub enum FsckError {
    /// The store cannot be listed.
    #[error("cannot list the store to check it")]
    Store(#[source] StoreError),
    /// A register cannot be read, for another reason than damage.
    #[error("cannot look at a project to check it")]
    Look(#[source] GcError),
}

/// Checks a store, a project or a branch.
///
/// # Errors
/// When the store cannot be listed. Everything that is wrong is a finding.
pub async fn check(store: &Store, scope: &Scope) -> Result<Checked, FsckError> {
    let mut checked = Checked::default();
    if let Err(error) = store.format().await {
        let (object, problem) = (key::format().to_string(), with_causes(&error));
        checked.findings.push(Finding { project: None, branch: None, object, problem });
    }
    let projects = match &scope.project {
        Some(project) => vec![project.clone()],
        None => kinds::projects(store).await.map_err(FsckError::Store)?,
    };
    let templates = store.list(&key::templates(), None).await.map_err(FsckError::Store)?;
    let mut data = Data::new(store, scope.quick, &templates);
    for project in projects {
        if checked.findings.len() >= MAX_FINDINGS {
            break;
        }
        let mut registers = Registers::new(store, &project);
        let seen = registers.look(None).await.map_err(FsckError::Look)?;
        check_project(store, scope, &seen, &mut data, &mut checked).await?;
    }
    checked.objects += data.objects;
    checked.bytes += data.bytes;
    checked.findings.truncate(MAX_FINDINGS);
    Ok(checked)
}

async fn check_project(
    store: &Store,
    scope: &Scope,
    seen: &Seen,
    data: &mut Data,
    checked: &mut Checked,
) -> Result<(), FsckError> {
    let look = &seen.look;
    let find = |branch: Option<&BranchId>, object: String, problem: String| Finding {
        project: Some(look.project.clone()),
        branch: branch.cloned(),
        object,
        problem,
    };
    for register in &look.opaque {
        let owner = seen.strangers.keys().find(|id| key::branch_register(&look.project, id) == *register);
        let problem = match owner {
            Some(id) => inventory::missing_version(seen.strangers[id]),
            None => "the register cannot be understood".to_owned(),
        };
        checked.findings.push(find(owner, register.to_string(), problem));
    }
    data.begin(&look.objects);
    let records = look.records();
    let (mut wal, mut needs) = (Wal::new(store, seen, scope.quick), plan::Needs::new(&records));
    if let Some(wanted) = scope.branch.as_ref().filter(|wanted| !look.branches.contains_key(*wanted)) {
        let problem = "the branch has no register that can be read".to_owned();
        checked.findings.push(find(Some(wanted), key::branch(&look.project, wanted).to_string(), problem));
    }
    for branch in order(&records) {
        let known = &look.branches[&branch];
        let wanted = scope.branch.as_ref().is_none_or(|wanted| *wanted == branch);
        if !wanted || known.deleted_at.is_some() || look.deleted_at.is_some() {
            continue;
        }
        checked.branches += 1;
        let register = key::branch_register(&look.project, &branch).to_string();
        let reach = match needs.root(&branch, known.record.history_start) {
            Ok(reach) => reach,
            Err(error) => {
                checked.findings.push(find(Some(&branch), register, with_causes(&error)));
                continue;
            }
        };
        if reach.base.is_none() {
            let problem = "no snapshot is at or before the beginning of its history".to_owned();
            checked.findings.push(find(Some(&branch), register, problem));
        }
        // What an earlier branch needs too has been checked and told with that one.
        let mut pg_major = None;
        for snapshot in needs.snapshots() {
            let major = data.snapshot(snapshot, |object, problem| {
                checked.findings.push(find(Some(&branch), object, problem));
            });
            pg_major = pg_major.max(major.await);
        }
        let problems = wal.check(&records, &branch, &reach, pg_major).await.map_err(FsckError::Store)?;
        checked.findings.extend(problems.into_iter().map(|(object, why)| find(Some(&branch), object, why)));
        if checked.findings.len() >= MAX_FINDINGS {
            return Ok(());
        }
    }
    (checked.objects, checked.bytes) = (checked.objects + wal.objects, checked.bytes + wal.bytes);
    if scope.branch.is_none() {
        orphans(seen, data, checked);
    }
    Ok(())
}

/// Parents before children, so that what is shared is told of the parent.
fn order(records: &Records) -> Vec<BranchId> {
    let mut placed = BTreeSet::new();
    let mut order = Vec::new();
    for _ in 0..MAX_DEPTH {
        let ready: Vec<&BranchId> = records
            .values()
            .filter(|record| !placed.contains(&record.branch))
            .filter(|record| match &record.origin {
                Origin::Branch { parent, .. } => placed.contains(parent) || !records.contains_key(parent),
                Origin::Template { .. } | Origin::Import => true,
            })
            .map(|record| &record.branch)
            .collect();
        if ready.is_empty() {
            break;
        }
        order.extend(ready.iter().map(|id| (*id).clone()));
        placed.extend(ready);
    }
    // A loop in damaged registers: they are told as too deep.
    order.extend(records.keys().filter(|id| !placed.contains(id)).cloned());
    order
}

fn orphans(seen: &Seen, data: &Data, checked: &mut Checked) {
    let mut look = seen.look.clone();
    look.branches.values_mut().for_each(|known| known.keep_from = None);
    let plan = plan::plan(&look, &Limits::default(), clock::now());
    let packs = format!("{}/", key::packs(&look.project));
    let unused = look
        .objects
        .iter()
        .filter(|object| object.key.as_str().starts_with(&packs) && !data.used.contains(&object.key));
    let sizes =
        plan.dead.iter().chain(&plan.waiting).filter(|dead| dead.kind < plan::Kind::Pack).map(|d| d.size);
    let sizes: Vec<u64> = sizes.chain(unused.map(|object| object.size)).collect();
    checked.orphans += sizes.len() as u64;
    checked.orphan_bytes += sizes.iter().sum::<u64>();
}

/// Sizes of objects by key.
type Sizes = BTreeMap<key::Key, u64>;

#[cfg(test)]
mod tests;
