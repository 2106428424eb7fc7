//! A directory that comes from elsewhere becomes the beginning of a branch.

use dormouse_base::{BranchId, EndpointId, Epoch, Lsn, ProjectId, clock};
use dormouse_runtime::{failpoint, task};
use dormouse_storage::branch::record::{BranchRecord, Origin, Span};
use dormouse_storage::branch::register::RegisterError;
use dormouse_storage::key::FORMAT_VERSION;
use dormouse_storage::manifest::Owner;
use dormouse_storage::snapshot::{self, Options, Request};

use super::resident::{Fresh, Purpose, Resident, SNAPSHOT_STATE};
use super::{Node, NodeError};

/// The writer that an imported directory is.
const FIRST: Epoch = Epoch(1);

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
        let (token, tracker) = home.job();
        let request = Request {
            store: self.inner.store.clone(),
            dir: home.data(),
            owner: Owner::Branch { project: project.clone(), branch: branch.clone() },
            epoch: FIRST,
            base: None,
            state: Some(home.path.join(SNAPSHOT_STATE)),
            missing: None,
            hot: Vec::new(),
            options: Options::default(),
            cancel: token,
        };
        let taken = tracker.track_future(snapshot::clean(request)).await;
        let taken = taken.map_err(NodeError::part("store the imported directory"))?;
        failpoint::hit("node.import.stored").await.map_err(NodeError::file("import", &home.path))?;
        self.make_project(project, pg_major).await?;
        let now = clock::now();
        let snapshot = taken.record;
        let span = Span { epoch: FIRST, timeline: snapshot.timeline, from: snapshot.lsn, to: None };
        let record = BranchRecord {
            format: FORMAT_VERSION,
            project: project.clone(),
            branch: branch.clone(),
            created_at: now,
            origin: Origin::Import,
            epoch: FIRST,
            spans: vec![span],
            snapshots: vec![snapshot.clone()],
            retired: Vec::new(),
            history_start: snapshot.lsn,
            history_start_at: now,
            meta: serde_json::Value::Null,
        };
        match self.inner.registers.branch(project, branch).create_first(record).await {
            Ok(()) | Err(RegisterError::Exists(_)) => {}
            Err(error) => return Err(NodeError::Register(error)),
        }
        failpoint::hit("node.import.registered").await.map_err(NodeError::file("import", &home.path))?;
        let fresh = Fresh {
            project: project.clone(),
            branch: branch.clone(),
            pg_major,
            purpose: Purpose::Write,
            seen: Epoch(0),
            timeline: span.timeline,
            from: span.from,
        };
        let base: (_, Lsn, Lsn) = (snapshot.manifest, snapshot.redo, snapshot.lsn);
        let mut resident = Resident::new(fresh, Some(base), false);
        resident.epoch = Some(FIRST);
        let (kept, path) = (resident.clone(), home.path.clone());
        let written = task::blocking(move || kept.write(&path)).await;
        written.map_err(NodeError::file("record the import in", &home.path))?;
        home.held().await?.resident = Some(resident);
        Ok(())
    }
}
