//! A directory that comes from elsewhere becomes the beginning of a branch.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use dormouse_base::{BranchId, EndpointId, Epoch, Lsn, ProjectId, clock};
use dormouse_compute::sandbox::identity::Identity;
use dormouse_runtime::{failpoint, task};
use dormouse_storage::branch::record::{BranchRecord, Origin, SnapshotRecord, Span};
use dormouse_storage::branch::register::RegisterError;
use dormouse_storage::key::{self, FORMAT_VERSION};
use dormouse_storage::manifest::Owner;
use dormouse_storage::snapshot::{self, Options, Request};

use super::capture::hold_wal;
use super::home::Home;
use super::resident::{Fresh, Purpose, Resident, SNAPSHOT_STATE};
use super::{Node, NodeError, store_error};

impl Node {
    /// Stores the directory of an endpoint as the first snapshot of a new branch, whose writer it then is.
    /// Doing it again changes nothing.
    ///
    /// # Errors
    /// When the directory is not that of a cleanly stopped cluster, or cannot be stored.
    pub(super) async fn import_directory(
        &self,
        project: &ProjectId,
        branch: &BranchId,
        endpoint: &EndpointId,
        pg_major: u16,
    ) -> Result<(), NodeError> {
        let home = self.home(endpoint);
        home.quiet().await;
        if home.held().await?.writer().is_some() {
            return Ok(());
        }
        let lease = self.inner.leases.upload(project, branch).await;
        let _kept = lease.map_err(NodeError::part("keep what an import writes"))?;
        let record = match self.inner.registers.record(project, branch).await {
            Err(NodeError::Register(RegisterError::Missing(_))) => {
                let snapshot = self.store_import(&home, project, branch).await?;
                failpoint::hit("node.import.stored").await.map_err(NodeError::file("import", &home.path))?;
                self.make_project(project, pg_major).await?;
                self.register_import(project, branch, snapshot).await?
            }
            known => known?,
        };
        failpoint::hit("node.import.registered").await.map_err(NodeError::file("import", &home.path))?;
        let (Some(span), Some(snapshot)) = (record.spans.first(), record.snapshots.first()) else {
            return Err(NodeError::Nothing(format!("{branch} is not an import that has just begun")));
        };
        let fresh = Fresh {
            project: project.clone(),
            branch: branch.clone(),
            pg_major,
            purpose: Purpose::Write,
            seen: Epoch(0),
            timeline: span.timeline,
            from: span.from,
        };
        let base: (_, Lsn, Lsn) = (snapshot.manifest.clone(), snapshot.redo, snapshot.lsn);
        let mut resident = Resident::new(fresh, Some(base), false);
        resident.epoch = Some(span.epoch);
        let data = home.data();
        let owner = std::fs::metadata(&data).map_err(NodeError::file("look at", &data))?;
        hold_wal(&data, &resident, Identity { uid: owner.uid(), gid: owner.gid() }).await?;
        let (kept, path) = (resident.clone(), home.path.clone());
        let written = task::blocking(move || kept.write(&path)).await;
        written.map_err(NodeError::file("record the import in", &home.path))?;
        home.held().await?.resident = Some(resident);
        Ok(())
    }

    async fn store_import(
        &self,
        home: &Arc<Home>,
        project: &ProjectId,
        branch: &BranchId,
    ) -> Result<SnapshotRecord, NodeError> {
        let (token, tracker) = home.job();
        let request = Request {
            store: self.inner.store.clone(),
            dir: home.data(),
            owner: Owner::Branch { project: project.clone(), branch: branch.clone() },
            epoch: self.writer_of_import(project, branch).await?,
            base: None,
            state: Some(home.path.join(SNAPSHOT_STATE)),
            missing: None,
            hot: Vec::new(),
            options: Options::default(),
            cancel: token,
        };
        let taken = tracker.track_future(snapshot::clean(request)).await;
        Ok(taken.map_err(NodeError::part("store the imported directory"))?.record)
    }

    /// Each try is a writer of its own, so it finds nothing under its names. What an earlier one left has no register:
    /// its packs, which nothing lists, may be garbage already.
    async fn writer_of_import(&self, project: &ProjectId, branch: &BranchId) -> Result<Epoch, NodeError> {
        let listed = self.inner.store.list(&key::branch(project, branch), None).await;
        let listed = listed.map_err(store_error("look for an earlier import"))?;
        let newest = listed.iter().filter_map(|object| key::writer_of(&object.key)).max();
        Ok(newest.unwrap_or(Epoch(0)).next())
    }

    async fn register_import(
        &self,
        project: &ProjectId,
        branch: &BranchId,
        snapshot: SnapshotRecord,
    ) -> Result<BranchRecord, NodeError> {
        let (now, epoch) = (clock::now(), snapshot.epoch);
        let record = BranchRecord {
            format: FORMAT_VERSION,
            project: project.clone(),
            branch: branch.clone(),
            created_at: now,
            origin: Origin::Import,
            epoch,
            spans: vec![Span {
                epoch,
                timeline: snapshot.timeline,
                from: snapshot.lsn,
                to: None,
                mark: None,
            }],
            history_start: snapshot.lsn,
            history_start_at: now,
            snapshots: vec![snapshot],
            retired: Vec::new(),
            meta: serde_json::Value::Null,
        };
        match self.inner.registers.branch(project, branch).create_first(record.clone()).await {
            Ok(()) => Ok(record),
            // Of a request that succeeded unheard.
            Err(RegisterError::Exists(_)) => self.inner.registers.record(project, branch).await,
            Err(error) => Err(NodeError::Register(error)),
        }
    }
}
