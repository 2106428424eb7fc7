//! `restore_branch`: a branch gets the data of another point, and keeps its ID, its name, its endpoints and
//! their connection strings.
//!
//! ```text
//!  0  a new line in the store, from the source at the point
//!  1  the branch is marked: nothing of it starts any more; its computes stop
//!  2  their local files are stored and removed: they belong to the old line
//!  3  in one transaction: the branch moves to the new line, and the old line becomes a branch of its own
//! ```
//!
//! Until step 3 is committed the old state is the state; undoing takes the mark and the new line away. The new line
//! has no row by which anybody else would find it, so that is tried until the store is there again.
//! Children keep to the old line.

use std::sync::Arc;

use dormouse_base::{BranchId, Timestamp, clock};
use dormouse_compute::event::SleepReason;
use dormouse_runtime::{failpoint, task};
use jiff::SignedDuration;
use rusqlite::Transaction;
use serde::{Deserialize, Serialize};

use super::{StepFailure, Work};
use crate::computes::Computes;
use crate::db::{Db, branches, databases, endpoints};
use crate::descent::{self, Trust};
use crate::directory::Directories;
use crate::keeper::Keeper;
use crate::meta::{self, BranchMeta};
use crate::model::branch::old_name;
use crate::model::record::{Branch, Endpoint, Operation, Origin};
use crate::secrets::Secrets;
use crate::vault::{Fork, NewBranch, Vault};

/// The kind's name.
pub const KIND: &str = "restore_branch";

/// What goes where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Args {
    /// The public ID of the branch that the data comes from.
    pub source: BranchId,
    /// The line that the data comes from.
    pub from: BranchId,
    /// The point on it.
    pub fork: Fork,
    /// The storage ID of the new line.
    pub line: BranchId,
    /// The public ID of the branch that keeps the old line.
    pub old: BranchId,
    /// Its name.
    pub old_name: String,
    /// Whether the old line's roles are known exactly.
    pub exact: bool,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct RestoreBranch {
    /// The metadata.
    pub db: Db,
    /// Seals passwords for the branch that keeps the old line.
    pub secrets: Arc<Secrets>,
    /// The clusters.
    pub directories: Directories,
    /// The computes.
    pub computes: Arc<dyn Computes>,
    /// The store.
    pub vault: Arc<dyn Vault>,
    /// Told what is pending at the next start.
    pub keeper: Keeper,
}

impl RestoreBranch {
    fn rows(&self, operation: &Operation) -> Result<(Branch, Vec<Endpoint>, Args), StepFailure> {
        let args = super::arguments(operation)?;
        let Some(id) = &operation.target.branch_id else { return Err(StepFailure::gone("branch")) };
        let found = self.db.read("read a branch", |db| {
            let row = branches::get(db, id)?;
            row.map(|row| Ok((row, endpoints::all_of_branch(db, id)?))).transpose()
        })?;
        let Some((branch, endpoints)) = found else { return Err(StepFailure::gone("branch")) };
        Ok((branch, endpoints, args))
    }

    /// What the server keeps in memory of the old line is past.
    fn moved_underneath(&self, endpoints: &[Endpoint]) {
        for endpoint in endpoints {
            self.keeper.changed_underneath(endpoint);
            self.computes.renew(&endpoint.id);
        }
    }

    async fn new_line(&self, branch: &Branch, args: &Args) -> Result<(), StepFailure> {
        let after = moved(branch, args, clock::now());
        let meta = self.db.read("read a branch", |db| meta::branch(db, &after))?;
        // Until the mirror says otherwise after the move, it is not the branch: see `meta::settled`.
        let meta = BranchMeta { restoring: true, ..meta };
        let new = NewBranch {
            project: branch.project_id.clone(),
            branch: args.line.clone(),
            parent: args.from.clone(),
            fork: args.fork,
            meta: super::as_json(&meta),
        };
        Ok(self.vault.create_branch(new).await?)
    }
}

#[async_trait::async_trait]
impl Work for RestoreBranch {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn steps(&self) -> u32 {
        4
    }

    async fn perform(&self, operation: &Operation, step: u32) -> Result<(), StepFailure> {
        let (branch, endpoints, args) = self.rows(operation)?;
        if branch.storage_id == args.line {
            // Moved already: only what the server keeps in memory may be missing.
            self.moved_underneath(&endpoints);
            return Ok(());
        }
        match step {
            0 => self.new_line(&branch, &args).await?,
            1 => {
                self.db
                    .write("mark a branch as resetting", move |db| {
                        branches::set_resetting(db, &branch.id, true)
                    })
                    .await?;
                super::interrupted(failpoint::hit("control.restore.marked").await)?;
                for endpoint in &endpoints {
                    self.computes.suspend(&endpoint.id, SleepReason::Request).await?;
                }
            }
            2 => {
                for endpoint in &endpoints {
                    self.vault.evict(&endpoint.id).await?;
                }
                super::interrupted(failpoint::hit("control.restore.evicted").await)?;
                let directories = self.directories.clone();
                task::blocking(move || endpoints.iter().try_for_each(|e| directories.remove(&e.id))).await?;
            }
            _ => {
                let secrets = Arc::clone(&self.secrets);
                super::interrupted(failpoint::hit("control.restore.before_move").await)?;
                self.db
                    .write("move a branch to its new line", move |db| {
                        move_over(db, &secrets, &branch.id, &args, clock::now())
                    })
                    .await?;
                super::interrupted(failpoint::hit("control.restore.moved").await)?;
                self.moved_underneath(&endpoints);
            }
        }
        Ok(())
    }

    fn waits_to_undo(&self) -> bool {
        true
    }

    async fn undo(&self, operation: &Operation, step: u32) -> Result<(), StepFailure> {
        let (branch, _, args) = self.rows(operation)?;
        if branch.storage_id == args.line {
            return Ok(());
        }
        match step {
            0 => self.vault.delete_branch(&branch.project_id, &args.line).await?,
            1 => {
                self.db
                    .write("take the mark of a reset back", move |db| {
                        branches::set_resetting(db, &branch.id, false)
                    })
                    .await?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// The branch after the move.
fn moved(branch: &Branch, args: &Args, now: Timestamp) -> Branch {
    let parent = Origin { storage_id: args.from.clone(), lsn: args.fork.lsn, at: args.fork.at };
    let ttl = branch.ttl_seconds.filter(|_| branch.expires_at.is_some());
    Branch {
        storage_id: args.line.clone(),
        parent: Some(parent),
        resetting: false,
        restored_from: Some(args.source.clone()),
        last_reset_at: Some(now),
        // A reset starts its time to live again.
        expires_at: ttl.map(|seconds| now + SignedDuration::from_secs(seconds)).or(branch.expires_at),
        updated_at: now,
        ..branch.clone()
    }
}

fn move_over(
    db: &Transaction<'_>,
    secrets: &Secrets,
    id: &BranchId,
    args: &Args,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let Some(before) = branches::get(db, id)? else { return Ok(()) };
    if before.storage_id == args.line {
        return Ok(());
    }
    let after = moved(&before, args, now);
    let taken = branches::of_project(db, &before.project_id)?;
    let is_taken = taken.iter().any(|branch| branch.name == args.old_name);
    // The new line hangs on the old one, which must not go first.
    let is_parent = args.from == before.storage_id;
    let old = Branch {
        id: args.old.clone(),
        name: if is_taken { old_name(&before.name, &taken, now) } else { args.old_name.clone() },
        is_default: false,
        protected: false,
        resetting: false,
        expires_at: before.expires_at.filter(|_| !is_parent),
        ttl_seconds: before.ttl_seconds.filter(|_| !is_parent),
        created_at: now,
        updated_at: now,
        ..before.clone()
    };
    branches::put(db, &after)?;
    branches::insert(db, &old)?;
    // A run that did not end in order took what clients changed in SQL with it.
    let stale = endpoints::of_branch(db, id)?.is_some_and(|endpoint| endpoint.roles_stale);
    let trust = if args.exact && !stale { Trust::Exact } else { Trust::Wish };
    descent::inherit(db, secrets, (id, &old.id), trust, now)?;
    if args.source != *id {
        for database in databases::all(db, id)? {
            databases::delete(db, database.id)?;
        }
        descent::inherit(db, secrets, (&args.source, id), Trust::Wish, now)?;
    }
    descent::insist(db, id, now)?;
    endpoints::start_over(db, id)
}
