//! `mirror`: storage keeps, beside the data, what is needed to make all rows again after a disaster. Whatever
//! changed since it was last told (seen by a hash) is told now.

use std::sync::Arc;
use std::time::Duration;

use dormouse_base::{BranchId, ProjectId};

use super::{Reconciler, Report, Trouble};
use crate::db::{Db, branches, metas, projects};
use crate::keeper::Keeper;
use crate::meta;
use crate::operation::as_json;
use crate::vault::Vault;

/// The longest time that a change waits when its signal was lost.
const PERIOD: Duration = Duration::from_secs(300);
/// After a signal, so that changes that come together cost one round.
const GATHER: Duration = Duration::from_millis(200);
/// Projects in one question to the metadata.
const PAGE: usize = 100;

/// See the module.
#[derive(Debug)]
pub struct Mirror {
    /// The metadata.
    pub db: Db,
    /// Signals changes.
    pub keeper: Keeper,
    /// The store.
    pub vault: Arc<dyn Vault>,
}

/// Something that the store has not been told yet.
#[derive(Debug)]
struct News {
    project: ProjectId,
    branch: Option<BranchId>,
    key: String,
    hash: String,
    meta: serde_json::Value,
}

impl Mirror {
    fn news(&self) -> Result<Vec<News>, Trouble> {
        let (mut news, mut after) = (Vec::new(), None);
        loop {
            let page = self.db.read("list projects", |db| projects::list(db, after.as_deref(), None, PAGE));
            let page = page.map_err(Trouble::in_doing("list projects"))?;
            let Some(last) = page.last() else { return Ok(news) };
            after = Some(last.id.to_string());
            for project in page {
                let found = self.db.read("compare a project", |db| of_project(db, &project));
                news.extend(found.map_err(Trouble::in_doing("compare a project"))?);
            }
        }
    }
}

fn of_project(db: &rusqlite::Connection, row: &crate::model::record::Project) -> rusqlite::Result<Vec<News>> {
    let all = branches::of_project(db, &row.id)?;
    let mut news = Vec::new();
    // Without a ready branch the project is still being made, and the store may not know it.
    let ready: Vec<_> = all.iter().filter(|branch| branch.ready && !branch.deleting).collect();
    let mut compare =
        |branch: Option<&BranchId>, key: &str, meta: serde_json::Value| -> rusqlite::Result<()> {
            let hash = meta::hash(&meta);
            if metas::hash(db, key)?.as_deref() != Some(hash.as_str()) {
                let (project, branch) = (row.id.clone(), branch.cloned());
                news.push(News { project, branch, key: key.to_owned(), hash, meta });
            }
            Ok(())
        };
    if !ready.is_empty() {
        compare(None, row.id.as_str(), as_json(&meta::project(db, row)?))?;
    }
    for branch in ready {
        let line = &branch.storage_id;
        compare(Some(line), line.as_str(), as_json(&meta::branch(db, branch)?))?;
    }
    Ok(news)
}

#[async_trait::async_trait]
impl Reconciler for Mirror {
    fn name(&self) -> &'static str {
        "mirror"
    }

    async fn signalled(&self) {
        self.keeper.signals().mirror.notified().await;
        tokio::time::sleep(GATHER).await;
    }

    async fn run(&mut self) -> Result<Report, Trouble> {
        let (mut told, mut failed) = (0, None);
        for news in self.news()? {
            match self.vault.set_meta(&news.project, news.branch.as_ref(), news.meta).await {
                Ok(()) => {
                    let stored = self
                        .db
                        .write("note what the store keeps", move |db| metas::put(db, &news.key, &news.hash));
                    stored.await.map_err(Trouble::in_doing("note what the store keeps"))?;
                    told += 1;
                }
                // The others may still go through.
                Err(error) => failed = Some(error),
            }
        }
        let prune = self.db.write("forget what is gone", |db| metas::prune(db));
        prune.await.map_err(Trouble::in_doing("forget what is gone"))?;
        match failed {
            Some(error) => Err(Trouble::in_doing("tell the store what changed")(error)),
            None => Ok(Report { text: format!("{told} told"), next: PERIOD }),
        }
    }
}
