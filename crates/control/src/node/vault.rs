//! [`Vault`] for this node: what control asks of branches, done in the store and in local directories.

use dormouse_base::{BranchId, EndpointId, Epoch, Lsn, ProjectId, clock, with_causes};
use dormouse_runtime::failpoint;
use dormouse_storage::branch::record::{BranchRecord, Origin, ProjectRecord};
use dormouse_storage::branch::register::{RegisterError, UpdateError};
use dormouse_storage::gc::plan::Pin;
use dormouse_storage::key::FORMAT_VERSION;

use super::{Node, NodeError};
use crate::vault::{
    CheckWish, Checked, CollectWish, Collected, Fork, NewBranch, Overview, Point, Sizes, Vault, VaultError,
    Window,
};

/// Nothing is refused, so there is nothing to say.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("refused")]
struct Never;

/// A child at a point that its parent does not keep any more.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the parent does not keep that point any more")]
struct Gone;

fn updated<T, E>(result: Result<T, UpdateError<E>>) -> Result<T, NodeError>
where
    E: std::error::Error + Send + Sync + 'static,
{
    result.map_err(|error| match error {
        UpdateError::Register(error) => NodeError::Register(error),
        UpdateError::Refused(error) => NodeError::part("change the branch")(error),
    })
}

/// Making a register twice is making it once.
fn made(result: Result<(), RegisterError>) -> Result<(), NodeError> {
    match result {
        Ok(()) | Err(RegisterError::Exists(_)) => Ok(()),
        Err(error) => Err(NodeError::Register(error)),
    }
}

impl Node {
    pub(super) async fn make_project(&self, project: &ProjectId, pg_version: u16) -> Result<(), NodeError> {
        let record = ProjectRecord {
            format: FORMAT_VERSION,
            project: project.clone(),
            created_at: clock::now(),
            pg_version: u32::from(pg_version),
            meta: serde_json::Value::Null,
        };
        made(self.inner.registers.project(project).create_first(record).await)
    }

    async fn make_root(
        &self,
        project: &ProjectId,
        branch: &BranchId,
        pg_version: u16,
        meta: serde_json::Value,
    ) -> Result<(), NodeError> {
        let template = self.template(pg_version).await?;
        self.make_project(project, pg_version).await?;
        failpoint::hit("branch.root.create").await.map_err(NodeError::part("make a branch"))?;
        let now = clock::now();
        let record = BranchRecord {
            format: FORMAT_VERSION,
            project: project.clone(),
            branch: branch.clone(),
            created_at: now,
            origin: Origin::Template { template: template.id.clone() },
            epoch: Epoch(0),
            spans: Vec::new(),
            snapshots: vec![template.record.clone()],
            retired: Vec::new(),
            history_start: template.record.lsn,
            history_start_at: now,
            meta,
        };
        made(self.inner.registers.branch(project, branch).create_first(record).await)
    }

    async fn make_branch(&self, new: NewBranch) -> Result<(), NodeError> {
        let pin = Pin::Point { branch: new.parent.clone(), lsn: new.fork.lsn };
        let _kept = self.inner.leases.pin(&new.project, pin).map_err(NodeError::part("make a branch"))?;
        let writer = self.written(&new.parent).await?.map(|(_, epoch)| epoch);
        let register = self.inner.registers.branch(&new.project, &new.branch);
        failpoint::hit("branch.create.before").await.map_err(NodeError::part("make a branch"))?;
        let now = clock::now();
        let record = BranchRecord {
            format: FORMAT_VERSION,
            project: new.project.clone(),
            branch: new.branch.clone(),
            created_at: now,
            origin: Origin::Branch { parent: new.parent.clone(), lsn: new.fork.lsn, at: new.fork.at, writer },
            epoch: Epoch(0),
            spans: Vec::new(),
            snapshots: Vec::new(),
            retired: Vec::new(),
            history_start: new.fork.lsn,
            history_start_at: new.fork.at.unwrap_or(now),
            meta: new.meta,
        };
        made(register.create_first(record).await)?;
        failpoint::hit("branch.create.after").await.map_err(NodeError::part("make a branch"))?;
        // A collector that moves the parent's history reads all registers again before it deletes: it sees
        // the new one, or we see here that it was faster.
        let parent = self.inner.registers.record(&new.project, &new.parent).await?;
        if new.fork.lsn < parent.history_start {
            updated(register.delete(|_| Ok::<(), Never>(())).await)?;
            return Err(NodeError::Window(Gone.to_string()));
        }
        self.after_fork(new.parent, new.fork.lsn);
        Ok(())
    }

    /// What a new branch begins with shall not be on this machine only for longer than it must, and the next
    /// branch shall not have as much to replay.
    fn after_fork(&self, parent: BranchId, at: Lsn) {
        let node = self.clone();
        self.inner.scope.spawn("file-parent", async move {
            let filing = async {
                let Some(writer) = node.writer_of(&parent).await? else { return Ok(None) };
                let home = node.home(&writer);
                node.forked(&home, at);
                node.file_all(&home, None).await
            };
            let token = node.inner.scope.token();
            tokio::select! {
                filed = filing => if let Err(error) = filed {
                    tracing::warn!(branch = %parent, error = with_causes(&error), "not filed at once");
                },
                () = token.cancelled() => {}
            }
        });
    }

    /// The newest position of a branch, whoever has it.
    pub(super) async fn newest(&self, project: &ProjectId, record: &BranchRecord) -> Result<Lsn, NodeError> {
        let writer = self.writer_of(&record.branch).await?;
        self.head(project, &record.branch, writer.as_ref()).await
    }

    /// The endpoint of this node that writes a branch, if one does.
    pub(super) async fn writer_of(&self, branch: &BranchId) -> Result<Option<EndpointId>, NodeError> {
        Ok(self.written(branch).await?.map(|(endpoint, _)| endpoint))
    }

    /// The same with its epoch.
    async fn written(&self, branch: &BranchId) -> Result<Option<(EndpointId, Epoch)>, NodeError> {
        for home in self.homes() {
            if let Some((_, epoch)) = home.glance().await?.filter(|(written, _)| written == branch) {
                return Ok(Some((home.endpoint.clone(), epoch)));
            }
        }
        Ok(None)
    }
}

#[async_trait::async_trait]
impl Vault for Node {
    async fn create_root(
        &self,
        project: &ProjectId,
        branch: &BranchId,
        pg_version: u16,
        meta: serde_json::Value,
    ) -> Result<(), VaultError> {
        Ok(self.make_root(project, branch, pg_version, meta).await?)
    }

    async fn import(
        &self,
        project: &ProjectId,
        branch: &BranchId,
        endpoint: &EndpointId,
        pg_version: u16,
    ) -> Result<(), VaultError> {
        Ok(self.import_directory(project, branch, endpoint, pg_version).await?)
    }

    async fn resolve(
        &self,
        project: &ProjectId,
        branch: &BranchId,
        endpoint: Option<&EndpointId>,
        point: Point,
    ) -> Result<Fork, VaultError> {
        Ok(self.find_point(project, branch, endpoint, point).await?)
    }

    async fn create_branch(&self, new: NewBranch) -> Result<(), VaultError> {
        Ok(self.make_branch(new).await?)
    }

    async fn delete_branch(&self, project: &ProjectId, branch: &BranchId) -> Result<(), VaultError> {
        failpoint::hit("branch.delete.before").await.map_err(NodeError::part("delete a branch"))?;
        let register = self.inner.registers.branch(project, branch);
        match register.delete(|_| Ok::<(), Never>(())).await {
            Ok(_) | Err(UpdateError::Register(RegisterError::Missing(_))) => {}
            Err(error) => updated(Err::<(), _>(error))?,
        }
        failpoint::hit("branch.delete.after").await.map_err(NodeError::part("delete a branch"))?;
        Ok(())
    }

    async fn delete_project(&self, project: &ProjectId) -> Result<(), VaultError> {
        let branches = dormouse_storage::branch::register::kinds::branches(&self.inner.store, project).await;
        let branches = branches.map_err(|source| NodeError::Store { what: "list the branches", source })?;
        for branch in branches {
            self.delete_branch(project, &branch).await?;
        }
        match self.inner.registers.project(project).delete(|_| Ok::<(), Never>(())).await {
            Ok(_) | Err(UpdateError::Register(RegisterError::Missing(_))) => Ok(()),
            Err(error) => Ok(updated(Err::<(), _>(error))?),
        }
    }

    async fn set_meta(
        &self,
        project: &ProjectId,
        branch: Option<&BranchId>,
        meta: serde_json::Value,
    ) -> Result<(), VaultError> {
        if let Some(branch) = branch {
            let register = self.inner.registers.branch(project, branch);
            let set = register.update(|record| Ok::<_, Never>(BranchRecord { meta: meta.clone(), ..record }));
            updated(set.await)?;
        } else {
            let register = self.inner.registers.project(project);
            let set =
                register.update(|record| Ok::<_, Never>(ProjectRecord { meta: meta.clone(), ..record }));
            updated(set.await)?;
        }
        Ok(())
    }

    async fn window(&self, project: &ProjectId, branch: &BranchId) -> Result<Window, VaultError> {
        let record = self.inner.registers.record(project, branch).await?;
        Ok(Window {
            start: record.history_start,
            start_at: Some(record.history_start_at),
            stored: self.stored_end(&record).await?,
        })
    }

    async fn sizes(&self, project: &ProjectId, branch: &BranchId) -> Result<Sizes, VaultError> {
        Ok(self.sizes_of(project, branch).await?)
    }

    async fn snapshot(&self, endpoint: &EndpointId) -> Result<Lsn, VaultError> {
        let home = self.home(endpoint);
        Ok(self.shoot(&home).await?)
    }

    async fn evict(&self, endpoint: &EndpointId) -> Result<(), VaultError> {
        Ok(self.evict_endpoint(endpoint).await?)
    }

    async fn set_aside(&self, endpoint: &EndpointId) -> Result<(), VaultError> {
        Ok(self.set_aside_endpoint(endpoint).await?)
    }

    async fn abandon(&self, endpoint: &EndpointId) -> Result<(), VaultError> {
        let home = self.home(endpoint);
        home.quiet().await;
        let mut held = home.held().await?;
        Ok(self.discard(&home, &mut held).await?)
    }

    async fn check(&self, wish: &CheckWish) -> Result<Checked, VaultError> {
        Ok(self.check_store(wish).await?)
    }

    async fn collect(&self, wish: CollectWish) -> Result<Collected, VaultError> {
        Ok(self.collect_garbage(wish).await?)
    }

    fn filed(&self) -> Vec<(EndpointId, Lsn)> {
        self.filed_so_far()
    }

    async fn overview(&self) -> Result<Overview, VaultError> {
        Ok(self.look().await)
    }
}
