//! `weigh`: what branches have in the store, for the ledger. A project is measured when its branches are others than
//! before, often while something of it is awake, and rarely otherwise: only history shrinks by itself.
//!
//! What counts as a branch's storage: all its data when it has no parent, else what it has of its own. So data that
//! branches share is counted once, where it comes from.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dormouse_base::ProjectId;
use dormouse_base::clock::Mono;

use super::{Reconciler, Report, Trouble};
use crate::db::branches::{self, Fingerprint};
use crate::db::{Db, endpoints};
use crate::metering::Meter;
use crate::model::record::Branch;
use crate::vault::{Sizes, Vault};

/// Between two looks for what is due.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Of a project with something awake.
const AWAKE_EVERY: Duration = Duration::from_secs(300);
/// Of a project that sleeps.
const ASLEEP_EVERY: Duration = Duration::from_secs(6 * 3600);
/// Projects in one look, so that a start with thousands of them is spread.
const AT_ONCE: usize = 4;

/// What is known of a project.
#[derive(Debug)]
struct Known {
    at: Mono,
    branches: Fingerprint,
    awake: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Weigh {
    db: Db,
    meter: Meter,
    vault: Arc<dyn Vault>,
    known: HashMap<ProjectId, Known>,
}

/// What of its sizes a branch is counted with: data and past.
fn counted(branch: &Branch, sizes: Sizes) -> (u64, u64) {
    let alone = sizes.own.saturating_sub(sizes.history);
    (if branch.parent.is_none() { sizes.logical } else { alone.min(sizes.logical) }, sizes.history)
}

impl Weigh {
    pub(super) fn new(db: Db, meter: Meter, vault: Arc<dyn Vault>) -> Self {
        Self { db, meter, vault, known: HashMap::new() }
    }

    /// Projects to measure now, with their branches as they are.
    fn due(&mut self) -> Result<Vec<(ProjectId, Fingerprint, bool)>, Trouble> {
        let living = self.meter.living();
        let read = self.db.read("look at the branches", |db| {
            let mut awake = std::collections::HashSet::new();
            for endpoint in &living {
                awake.extend(endpoints::get(db, endpoint)?.map(|row| row.project_id));
            }
            Ok((branches::fingerprints(db)?, awake))
        });
        let (all, awake) = read.map_err(Trouble::in_doing("look at the branches"))?;
        self.known.retain(|project, _| all.contains_key(project));
        let due = all.into_iter().filter_map(|(project, now)| {
            let is_awake = awake.contains(&project);
            let wanted = self.known.get(&project).is_none_or(|known| {
                let fell_asleep = known.awake && !is_awake;
                let every = if is_awake { AWAKE_EVERY } else { ASLEEP_EVERY };
                known.branches != now || fell_asleep || known.at.elapsed() >= every
            });
            wanted.then_some((project, now, is_awake))
        });
        Ok(due.take(AT_ONCE).collect())
    }

    async fn weigh(&self, project: &ProjectId) -> Result<(), Trouble> {
        let rows = self.db.read("list the branches", |db| branches::of_project(db, project));
        for branch in rows.map_err(Trouble::in_doing("list the branches"))?.iter().filter(|b| b.ready) {
            let sizes = self.vault.sizes(project, &branch.storage_id).await;
            let sizes = sizes.map_err(Trouble::in_doing("measure a branch"))?;
            let (storage, history) = counted(branch, sizes);
            self.meter.level(&branch.id, storage, history);
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Reconciler for Weigh {
    fn name(&self) -> &'static str {
        "weigh"
    }

    async fn run(&mut self) -> Result<Report, Trouble> {
        let due = self.due()?;
        let (count, mut failed) = (due.len(), None);
        for (project, branches, awake) in due {
            if let Err(trouble) = self.weigh(&project).await {
                // The others have their turn, and this one again when it is due.
                failed = Some(trouble);
            }
            self.known.insert(project, Known { at: Mono::now(), branches, awake });
        }
        match failed {
            Some(trouble) => Err(trouble),
            None => Ok(Report { text: format!("{count} projects measured"), next: LOOK_EVERY }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dormouse_base::{BranchId, Lsn, Timestamp};

    #[test]
    fn shared_data_is_counted_where_it_comes_from() {
        let project = ProjectId::generate();
        let new =
            || Branch::new(BranchId::generate(), &project, "b".into(), "o".into(), Timestamp::UNIX_EPOCH);
        let root = new();
        let sizes = Sizes { logical: 1000, own: 300, history: 50 };
        assert_eq!(counted(&root, sizes), (1000, 50));
        let parent = crate::model::record::Origin { storage_id: root.id, lsn: Lsn::default(), at: None };
        let child = Branch { parent: Some(parent), ..new() };
        assert_eq!(counted(&child, sizes), (250, 50));
        assert_eq!(counted(&child, Sizes { own: 9000, ..sizes }), (1000, 50), "never more than all of it");
        assert_eq!(counted(&child, Sizes::default()), (0, 0));
    }
}
