//! What a branch takes in the store, and how long its past is kept.

use std::time::Duration;

use dormouse_base::{BranchId, Lsn, ProjectId, Timestamp};
use dormouse_storage::branch::record::BranchRecord;
use dormouse_storage::gc::Windows;

use super::{Node, NodeError};
use crate::calendar::Calendar;
use crate::db::{Db, endpoints, projects};
use crate::model::defaults;
use crate::vault::Sizes;

/// How long the past of each project's branches is kept, as its settings and pinned endpoints say.
#[derive(Debug, Clone)]
pub(crate) struct Retention {
    /// The metadata.
    pub(crate) db: Db,
    /// What time it is.
    pub(crate) calendar: Calendar,
}

#[async_trait::async_trait]
impl Windows for Retention {
    async fn now(&self) -> Timestamp {
        self.calendar.today().await
    }

    fn window(&self, project: &ProjectId, _: &BranchRecord) -> Option<Duration> {
        let row = self.db.read("read a project", |db| projects::get(db, project));
        // What cannot be read, or is not known here, keeps everything.
        let row = row.ok().flatten()?;
        let wish = row.settings.history_retention_seconds.unwrap_or(defaults::HISTORY_RETENTION_SECONDS);
        u64::try_from(wish).ok().map(Duration::from_secs)
    }

    fn points(&self, _: &ProjectId, record: &BranchRecord) -> Option<Vec<Lsn>> {
        self.db.read("list pinned endpoints", |db| endpoints::pinned(db, &record.branch)).ok()
    }
}

impl Node {
    pub(super) async fn sizes_of(&self, project: &ProjectId, branch: &BranchId) -> Result<Sizes, NodeError> {
        let sizes = self.inner.usage.branch(project, branch).await;
        let sizes = sizes.map_err(NodeError::part("measure a branch"))?;
        Ok(Sizes { logical: sizes.logical, own: sizes.own, history: sizes.history })
    }
}

#[cfg(test)]
mod tests {
    use dormouse_base::{EndpointId, clock};
    use dormouse_compute::spec::Mode;
    use dormouse_storage::branch::record::Origin;

    use super::*;
    use crate::db::{branches, endpoints};
    use crate::model::record::{Branch, Endpoint, Project, ProjectSettings};

    #[test]
    fn what_endpoints_are_pinned_to_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open(dir.path()).unwrap();
        let (project, now): (ProjectId, _) = ("shop-x".parse().unwrap(), clock::now());
        let line: BranchId = "br-line".parse().unwrap();
        let branch = |id: &str, storage_id: &BranchId| {
            let new = Branch::new(id.parse().unwrap(), &project, id.to_owned(), "boss".into(), now);
            Branch { storage_id: storage_id.clone(), ready: true, ..new }
        };
        let (dev, other) = (branch("br-dev", &line), branch("br-other", &"br-other".parse().unwrap()));
        let endpoint = |branch: &Branch, slot, pinned, deleting| {
            let settings = ProjectSettings::default();
            let new = Endpoint::new(EndpointId::generate(), &project, &branch.id, &settings, now);
            Endpoint { slot, mode: Mode::ReadOnly, pinned_lsn: pinned, deleting, ..new }
        };
        let all = [
            endpoint(&dev, 0, Some(Lsn(0x20_0000_0001)), false),
            endpoint(&dev, 1, None, false),
            endpoint(&dev, 2, Some(Lsn(7)), true),
            endpoint(&other, 3, Some(Lsn(5)), false),
        ];
        db.write_now("", |db| {
            let (id, name, settings) = (project.clone(), "shop".to_owned(), ProjectSettings::default());
            let (pg_version, deleting, created_at, updated_at) = (18, false, now, now);
            projects::insert(
                db,
                &Project { id, name, pg_version, settings, deleting, created_at, updated_at },
            )?;
            [&dev, &other].into_iter().try_for_each(|branch| branches::insert(db, branch))?;
            all.iter().try_for_each(|row| {
                endpoints::insert(db, row)?;
                endpoints::set_deleting(db, &row.id, row.deleting)
            })
        })
        .unwrap();
        let record = BranchRecord {
            format: 1,
            project: project.clone(),
            branch: line,
            created_at: now,
            origin: Origin::Import,
            epoch: dormouse_base::Epoch(0),
            spans: Vec::new(),
            snapshots: Vec::new(),
            retired: Vec::new(),
            history_start: Lsn(1),
            history_start_at: now,
            meta: serde_json::Value::Null,
        };
        let points = Retention { calendar: Calendar::new(db.clone()), db }.points(&project, &record);
        assert_eq!(points, Some(vec![Lsn(0x20_0000_0001)]));
    }
}
