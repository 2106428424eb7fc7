//! Taking a directory away: only when the store has all of it.

use std::sync::Arc;

use dormouse_base::{EndpointId, Lsn};
use dormouse_compute::State;
use dormouse_runtime::{failpoint, task};
use dormouse_storage::branch::record::BranchRecord;
use dormouse_storage::branch::register::UpdateError;
use dormouse_storage::snapshot::control_file::{self, ControlFile};
use dormouse_storage::wal::filer::{Gap, Status};

use super::home::{Held, Home};
use super::resident::Resident;
use super::{Node, NodeError};

/// Filing the rest of a stopped compute's WAL must not hold an operation up for ever.
const FILE_WITHIN: std::time::Duration = std::time::Duration::from_secs(90);

/// The branch has another writer now; what this one left is its own affair.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the branch has another writer now")]
struct TakenOver;

impl Node {
    /// Stores what only this directory has, then removes it. Nothing there is no error.
    ///
    /// # Errors
    /// When the endpoint is not Stopped, or the store cannot take what is left.
    pub(crate) async fn evict_endpoint(&self, endpoint: &EndpointId) -> Result<(), NodeError> {
        let home = self.home(endpoint);
        self.stopped(endpoint, self.computes()?.settled(endpoint).await)?;
        // A clean snapshot makes the next start quick; without one it replays.
        let wanted = tokio::select! {
            wanted = self.wants_snapshot(&home) => wanted?,
            // Somebody came. What he writes is filed as it ever is, and nobody waits for its end.
            () = self.until_it_answers(&home) => return self.stopped(endpoint, State::Active),
        };
        if wanted && let Err(error) = self.shoot(&home).await {
            tracing::warn!(%endpoint, error = &error as &dyn std::error::Error, "evicted without a snapshot");
        }
        home.quiet().await;
        let mut held = home.held().await?;
        // Somebody may have come while the snapshot was taken. Whoever starts it says so before he asks for
        // the directory, and that needs this lock.
        self.stopped(endpoint, self.computes()?.state(endpoint))?;
        self.leave(&home, &mut held).await
    }

    fn stopped(&self, endpoint: &EndpointId, state: State) -> Result<(), NodeError> {
        if state == State::Stopped {
            return Ok(());
        }
        tracing::debug!(%endpoint, state = state.name(), "not evicted");
        Err(NodeError::Busy(format!("the endpoint is {}: suspend it first", state.name())))
    }

    async fn wants_snapshot(&self, home: &Arc<Home>) -> Result<bool, NodeError> {
        let end = self.file_all_in_time(home).await?;
        let held = home.held().await?;
        let gaps = held.capture.as_ref().map(|capture| capture.status().gaps).unwrap_or_default();
        Ok(held.writer().zip(end).is_some_and(|(resident, end)| {
            end > resident.base_lsn || gaps.iter().any(|gap| gap.to > resident.base_lsn)
        }))
    }

    async fn file_all_in_time(&self, home: &Arc<Home>) -> Result<Option<Lsn>, NodeError> {
        let filed = tokio::time::timeout(FILE_WITHIN, self.file_all(home, None)).await;
        filed.unwrap_or_else(|_| {
            Err(NodeError::Busy("the store does not take the rest of the WAL".to_owned()))
        })
    }

    /// Files what is left, ends the writer's span there, and removes directory and record.
    pub(super) async fn leave(&self, home: &Arc<Home>, held: &mut Held) -> Result<(), NodeError> {
        let Some(resident) = held.resident.clone() else { return Ok(()) };
        if resident.writes() && resident.epoch.is_some() {
            self.capture(home, held)?;
            if let Some(capture) = &held.capture {
                let finish = tokio::time::timeout(FILE_WITHIN, capture.filer.finish()).await;
                let late = || NodeError::Busy("the store does not take the rest of the WAL".to_owned());
                let end =
                    finish.map_err(|_| late())?.map_err(NodeError::part("file the WAL of a compute"))?;
                self.is_whole(home, &resident, &capture.status(), end).await?;
                self.close_span(&resident, end).await?;
            }
        }
        failpoint::hit("node.evict.before_remove").await.map_err(NodeError::file("remove", &home.path))?;
        self.discard(home, held).await
    }

    /// Proves that the store has everything: all WAL up to where PostgreSQL itself says that it stopped, without
    /// a gap behind the newest snapshot.
    async fn is_whole(
        &self,
        home: &Arc<Home>,
        resident: &Resident,
        status: &Status,
        end: Lsn,
    ) -> Result<(), NodeError> {
        if let Some(gap) = status.gaps.iter().find(|gap| gap.to > resident.base_lsn) {
            let Gap { from, to } = gap;
            return Err(NodeError::Nothing(format!(
                "WAL from {from} to {to} was gone before it could be stored, and no snapshot was taken since"
            )));
        }
        let data = home.data();
        let control = task::blocking(move || {
            let page = std::fs::read(data.join(control_file::PATH));
            page.or_else(|_| std::fs::read(data.join(control_file::HIDDEN_PATH)))
        });
        let page = control.await.map_err(NodeError::file("read the control file of", &home.path))?;
        let control = ControlFile::parse(&page).map_err(NodeError::part("read a control file"))?;
        if control.checkpoint >= end {
            return Err(NodeError::Nothing(format!(
                "the stored WAL ends at {end}, but the compute wrote at least up to {}",
                control.checkpoint
            )));
        }
        Ok(())
    }

    /// The branch ends here until its next writer, so that nobody has to list its WAL to know that.
    async fn close_span(&self, resident: &Resident, end: Lsn) -> Result<(), NodeError> {
        let register = self.inner.registers.branch(&resident.project, &resident.branch);
        let resident = resident.clone();
        let closed = register.update(move |branch| with_end(branch, &resident, end)).await;
        match closed {
            Ok(_) | Err(UpdateError::Refused(TakenOver)) => Ok(()),
            Err(UpdateError::Register(error)) => Err(NodeError::Register(error)),
        }
    }

    /// Removes directory and record, whatever is in them.
    ///
    /// # Errors
    /// When a file cannot be removed; calling again goes on.
    pub(super) async fn discard(&self, home: &Arc<Home>, held: &mut Held) -> Result<(), NodeError> {
        self.count_last(home, held);
        held.end().await;
        held.stopped_at = None;
        let (path, directories) = (home.path.clone(), self.inner.directories.clone());
        let endpoint = home.endpoint.clone();
        let removed = task::blocking(move || {
            Resident::remove(&path).map_err(NodeError::file("forget", &path))?;
            failpoint::hit_blocking("node.evict.forgotten").map_err(NodeError::file("remove", &path))?;
            directories.remove_data(&endpoint).map_err(NodeError::Directory)
        });
        removed.await?;
        held.resident = None;
        Ok(())
    }
}

fn with_end(mut branch: BranchRecord, resident: &Resident, end: Lsn) -> Result<BranchRecord, TakenOver> {
    let epoch = resident.epoch.unwrap_or_default();
    match branch.spans.last_mut() {
        Some(last) if last.epoch == epoch && branch.epoch == epoch => {
            last.to = Some(end.max(last.from));
            Ok(branch)
        }
        _ => Err(TakenOver),
    }
}
