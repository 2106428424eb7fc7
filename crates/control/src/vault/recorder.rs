//! Storage for tests: it remembers which branches exist, writes down what is asked, and can refuse or hang
//! at a chosen call. Also compiled into the integration tests, so it uses nothing but its parent module.

#![allow(unreachable_pub, dead_code, reason = "compiled into several test binaries, each uses its part")]

use std::collections::HashMap;

use dormouse_base::{BranchId, EndpointId, Kind, Lsn, ProjectId, clock};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    CheckWish, Checked, CollectWish, Collected, Fork, NewBranch, Overview, Point, Sizes, Vault, VaultError,
    Window,
};

/// The earliest position of every branch.
pub const START: Lsn = Lsn(0x100_0000);
/// The position that is "now" on every branch.
pub const HEAD: Lsn = Lsn(0x200_0000);
/// The position that every time in the past is found at.
pub const THEN: Lsn = Lsn(0x150_0000);

/// See the module.
#[derive(Debug, Default)]
pub struct Recorder {
    /// The branches that exist, with the storage ID of their parent.
    pub branches: Mutex<HashMap<BranchId, Option<BranchId>>>,
    /// What was last to be kept, by storage ID or project ID.
    pub metas: Mutex<HashMap<String, serde_json::Value>>,
    /// Calls in order, such as `create_branch br-x`.
    pub calls: Mutex<Vec<String>>,
    /// The call that fails, for good.
    pub fails: Mutex<Option<&'static str>>,
    /// The call that fails so many times because the store is away.
    pub away: Mutex<Option<(&'static str, u32)>>,
    /// The call that does its work and then never returns, like a server that is killed there.
    pub hangs: Mutex<Option<&'static str>>,
    /// Where the history of every branch begins once a point of it was found, as if it was collected at that moment.
    pub moves_to: Mutex<Option<Lsn>>,
    /// What a check finds.
    pub checked: Mutex<Checked>,
    /// What a look shows.
    pub overview: Mutex<Overview>,
    /// Told when a call hangs.
    pub reached: Notify,
}

impl Recorder {
    async fn called(&self, call: &'static str, about: &str) -> Result<(), VaultError> {
        self.calls.lock().push(format!("{call} {about}"));
        if *self.fails.lock() == Some(call) {
            let message = format!("the store refuses {call}");
            return Err(VaultError { kind: Kind::Conflict, code: "store-refuses", message });
        }
        if let Some((_, left)) = self.away.lock().as_mut().filter(|(what, left)| *what == call && *left > 0) {
            *left -= 1;
            let message = "the store is away".to_owned();
            return Err(VaultError { kind: Kind::Unavailable, code: "storage-unavailable", message });
        }
        Ok(())
    }

    async fn done(&self, call: &'static str) {
        if *self.hangs.lock() == Some(call) {
            self.reached.notify_one();
            std::future::pending::<()>().await;
        }
    }

    /// The calls of one kind.
    pub fn calls_of(&self, call: &str) -> Vec<String> {
        let calls = self.calls.lock();
        calls.iter().filter_map(|c| c.strip_prefix(call)?.strip_prefix(' ').map(str::to_owned)).collect()
    }

    fn known(&self, branch: &BranchId) -> Result<(), VaultError> {
        if self.branches.lock().contains_key(branch) {
            return Ok(());
        }
        let message = format!("the store has no branch {branch}");
        Err(VaultError { kind: Kind::NotFound, code: "branch-not-stored", message })
    }
}

#[async_trait::async_trait]
impl Vault for Recorder {
    async fn create_root(
        &self,
        project: &ProjectId,
        branch: &BranchId,
        _pg_version: u16,
        meta: serde_json::Value,
    ) -> Result<(), VaultError> {
        self.called("create_root", branch.as_str()).await?;
        self.branches.lock().insert(branch.clone(), None);
        self.metas.lock().insert(branch.to_string(), meta);
        self.metas.lock().insert(project.to_string(), serde_json::Value::Null);
        self.done("create_root").await;
        Ok(())
    }

    async fn import(
        &self,
        project: &ProjectId,
        branch: &BranchId,
        _endpoint: &EndpointId,
        _pg_version: u16,
    ) -> Result<(), VaultError> {
        self.called("import", branch.as_str()).await?;
        self.branches.lock().insert(branch.clone(), None);
        self.metas.lock().insert(project.to_string(), serde_json::Value::Null);
        self.done("import").await;
        Ok(())
    }

    async fn resolve(
        &self,
        _: &ProjectId,
        branch: &BranchId,
        _: Option<&EndpointId>,
        point: Point,
    ) -> Result<Fork, VaultError> {
        self.called("resolve", branch.as_str()).await?;
        self.known(branch)?;
        let fork = match point {
            Point::Head => Fork { lsn: HEAD, at: Some(clock::now()) },
            Point::Lsn(lsn) if (START..=HEAD).contains(&lsn) => Fork { lsn, at: None },
            Point::Time(at) if at <= clock::now() => Fork { lsn: THEN, at: Some(at) },
            Point::Lsn(_) | Point::Time(_) => {
                let message = format!("history reaches from {START} to {HEAD}: choose a point in it");
                return Err(VaultError { kind: Kind::Invalid, code: "history-window", message });
            }
        };
        self.done("resolve").await;
        Ok(fork)
    }

    async fn create_branch(&self, new: NewBranch) -> Result<(), VaultError> {
        self.called("create_branch", new.branch.as_str()).await?;
        self.known(&new.parent)?;
        self.branches.lock().insert(new.branch.clone(), Some(new.parent));
        self.metas.lock().insert(new.branch.to_string(), new.meta);
        self.done("create_branch").await;
        Ok(())
    }

    async fn delete_branch(&self, _: &ProjectId, branch: &BranchId) -> Result<(), VaultError> {
        self.called("delete_branch", branch.as_str()).await?;
        self.branches.lock().remove(branch);
        self.metas.lock().remove(branch.as_str());
        self.done("delete_branch").await;
        Ok(())
    }

    async fn delete_project(&self, project: &ProjectId) -> Result<(), VaultError> {
        self.called("delete_project", project.as_str()).await?;
        self.metas.lock().remove(project.as_str());
        self.done("delete_project").await;
        Ok(())
    }

    async fn set_meta(
        &self,
        project: &ProjectId,
        branch: Option<&BranchId>,
        meta: serde_json::Value,
    ) -> Result<(), VaultError> {
        let key = branch.map_or(project.as_str(), BranchId::as_str);
        self.called("set_meta", key).await?;
        self.metas.lock().insert(key.to_owned(), meta);
        Ok(())
    }

    async fn window(&self, _: &ProjectId, branch: &BranchId) -> Result<Window, VaultError> {
        self.called("window", branch.as_str()).await?;
        self.known(branch)?;
        let start = self.moves_to.lock().unwrap_or(START);
        Ok(Window { start, start_at: None, stored: HEAD })
    }

    async fn sizes(&self, _: &ProjectId, branch: &BranchId) -> Result<Sizes, VaultError> {
        self.called("sizes", branch.as_str()).await?;
        self.known(branch)?;
        Ok(Sizes { logical: 7000, own: 500, history: 20 })
    }

    async fn snapshot(&self, endpoint: &EndpointId) -> Result<Lsn, VaultError> {
        self.called("snapshot", endpoint.as_str()).await?;
        Ok(HEAD)
    }

    async fn evict(&self, endpoint: &EndpointId) -> Result<(), VaultError> {
        self.called("evict", endpoint.as_str()).await?;
        self.done("evict").await;
        Ok(())
    }

    async fn set_aside(&self, endpoint: &EndpointId) -> Result<(), VaultError> {
        self.called("set_aside", endpoint.as_str()).await
    }

    async fn check(&self, wish: &CheckWish) -> Result<Checked, VaultError> {
        let of = wish.branch.as_ref().map_or("everything", BranchId::as_str);
        self.called("check", &format!("{of} quick={}", wish.quick)).await?;
        Ok(self.checked.lock().clone())
    }

    async fn collect(&self, wish: CollectWish) -> Result<Collected, VaultError> {
        self.called("collect", &format!("dry_run={} grace={:?}", wish.dry_run, wish.grace)).await?;
        Ok(Collected { deleted: 3, deleted_bytes: 4096, waiting: 1, ..Collected::default() })
    }

    async fn overview(&self) -> Result<Overview, VaultError> {
        self.called("overview", "").await?;
        Ok(self.overview.lock().clone())
    }
}
