//! Taking a directory away: only when the store has all of it, or to a place where it is kept.

use std::sync::Arc;

use dormouse_base::{EndpointId, Lsn, clock};
use dormouse_compute::State;
use dormouse_runtime::{failpoint, task};
use dormouse_storage::branch::record::BranchRecord;
use dormouse_storage::branch::register::UpdateError;
use dormouse_storage::wal::filer::{Gap, Status};

use super::home::{Held, Home};
use super::resident::Resident;
use super::standing::{Standing, TakenOver};
use super::{Node, NodeError};

/// Filing the rest of a stopped compute's WAL must not hold an operation up for ever.
const FILE_WITHIN: std::time::Duration = std::time::Duration::from_secs(90);

impl Node {
    /// Stores what only this directory has, then removes it. Nothing there is no error.
    ///
    /// # Errors
    /// When the endpoint is not Stopped, the store cannot take what is left, or there is a tablespace.
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
            if error.is_of_tablespace() {
                // Its WAL could be replayed nowhere else.
                return Err(error);
            }
            tracing::warn!(%endpoint, error = &error as &dyn std::error::Error, "evicted without a snapshot");
        }
        home.quiet().await;
        let mut held = home.held().await?;
        // Somebody may have come while the snapshot was taken. Whoever starts it says so before he asks for
        // the directory, and that needs this lock.
        self.stopped(endpoint, self.computes()?.state(endpoint))?;
        self.leave(&home, &mut held).await
    }

    /// Moves a directory aside, whatever is in it, and forgets it. Nothing there is no error.
    ///
    /// # Errors
    /// When the endpoint is not Stopped, or the directory cannot be moved.
    pub(crate) async fn set_aside_endpoint(&self, endpoint: &EndpointId) -> Result<(), NodeError> {
        let home = self.home(endpoint);
        self.stopped(endpoint, self.computes()?.settled(endpoint).await)?;
        home.quiet().await;
        let mut held = home.held().await?;
        self.stopped(endpoint, self.computes()?.state(endpoint))?;
        self.let_go(&home, &mut held).await;
        let (directories, endpoint) = (self.inner.directories.clone(), endpoint.clone());
        let moved = task::blocking(move || directories.set_aside(&endpoint, clock::now())).await;
        // Moved, but perhaps not durably: then too it is not here.
        if !home.path.exists() {
            gone(&mut held);
        }
        let place = moved.map_err(NodeError::Directory)?;
        if let Some(place) = place {
            let message = format!("the directory was set aside, and is kept in {}", place.display());
            self.trouble(&home.endpoint, message);
        }
        Ok(())
    }

    fn stopped(&self, endpoint: &EndpointId, state: State) -> Result<(), NodeError> {
        if state == State::Stopped {
            return Ok(());
        }
        tracing::debug!(%endpoint, state = state.name(), "not evicted");
        Err(NodeError::Busy(format!("the endpoint is {}: suspend it first", state.name())))
    }

    async fn wants_snapshot(&self, home: &Arc<Home>) -> Result<bool, NodeError> {
        let spoilt = {
            let mut held = home.held().await?;
            self.note_spoilt(home, &mut held);
            held.spoilt.is_some()
        };
        if spoilt {
            // A snapshot of it would have zeros in the place of data; the store has what they were, and gets the WAL.
            self.file_all_in_time(home).await?;
            return Ok(false);
        }
        // Without a filler it is perhaps the store that lacks something; then this is the only copy.
        home.held().await?.is_sound()?;
        let end = self.file_all_in_time(home).await?;
        let held = home.held().await?;
        let status = held.capture.as_ref().map(|capture| capture.status()).unwrap_or_default();
        Ok(held.writer().zip(end).is_some_and(|(resident, end)| {
            end > resident.base_lsn || needs_nothing_lost(&status, resident.base_redo).is_err()
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
                let filed = tokio::time::timeout(FILE_WITHIN, self.file_rest(home, &capture.filer)).await;
                let late = || NodeError::Busy("the store does not take the rest of the WAL".to_owned());
                let end = filed.map_err(|_| late())??;
                needs_nothing_lost(&capture.status(), resident.base_redo)?;
                // From here on until it is gone, the directory must not be written in without another look.
                self.mark(home, held, true).await?;
                self.close_span(home, held, &resident, end).await?;
            }
        }
        failpoint::hit("node.evict.before_remove").await.map_err(NodeError::file("remove", &home.path))?;
        self.discard(home, held).await
    }

    /// The branch ends here until its next writer, so that nobody has to list its WAL to know that.
    ///
    /// # Errors
    /// When another writer has taken over and does not have all of it: this directory is the only place then.
    async fn close_span(
        &self,
        home: &Home,
        held: &mut Held,
        resident: &Resident,
        end: Lsn,
    ) -> Result<(), NodeError> {
        let register = self.inner.registers.branch(&resident.project, &resident.branch);
        let wanted = resident.clone();
        let closed = register.update(move |branch| with_end(branch, &wanted, end)).await;
        match closed {
            Ok(_) | Err(UpdateError::Refused(TakenOver { kept: true, .. })) => Ok(()),
            Err(UpdateError::Refused(TakenOver { found, .. })) => Err(self.overtaken(home, held, found)),
            Err(UpdateError::Register(error)) => Err(NodeError::Register(error)),
        }
    }

    /// Removes directory and record, whatever is in them.
    ///
    /// # Errors
    /// When a file cannot be removed; calling again goes on.
    pub(super) async fn discard(&self, home: &Arc<Home>, held: &mut Held) -> Result<(), NodeError> {
        self.let_go(home, held).await;
        let (path, directories) = (home.path.clone(), self.inner.directories.clone());
        let (endpoint, forgotten) = (home.endpoint.clone(), path.clone());
        let forgetting = task::blocking(move || Resident::remove(&forgotten));
        forgetting.await.map_err(NodeError::file("forget", &path))?;
        // From here on it is a leftover, also when only a part of it can be removed.
        gone(held);
        let removing = task::blocking(move || {
            failpoint::hit_blocking("node.evict.forgotten").map_err(NodeError::file("remove", &path))?;
            directories.remove_data(&endpoint).map_err(NodeError::Directory)
        });
        removing.await
    }

    /// Nothing is done with a directory any more.
    async fn let_go(&self, home: &Arc<Home>, held: &mut Held) {
        self.count_last(home, held);
        held.end().await;
        held.stopped_at = None;
    }
}

/// There is no directory.
fn gone(held: &mut Held) {
    (held.resident, held.made) = (None, false);
    held.spoilt = None;
    held.standing = Standing::Unknown;
}

/// Proves that the store has all WAL from the position on at which a replay on top of a snapshot begins.
///
/// # Errors
/// When a part of it was gone before it could be filed.
pub(super) fn needs_nothing_lost(status: &Status, redo: Lsn) -> Result<(), NodeError> {
    let Some(Gap { from, to }) = status.gap_behind(redo) else { return Ok(()) };
    Err(NodeError::Nothing(format!(
        "WAL from {from} to {to} was gone before it could be stored, and the newest snapshot needs it: take another one"
    )))
}

fn with_end(mut branch: BranchRecord, resident: &Resident, end: Lsn) -> Result<BranchRecord, TakenOver> {
    let epoch = resident.epoch.unwrap_or_default();
    match branch.spans.last_mut() {
        Some(last) if last.epoch == epoch && branch.epoch == epoch => {
            last.to = Some(end.max(last.from));
            Ok(branch)
        }
        _ => Err(TakenOver::of(&branch, resident, end)),
    }
}

#[cfg(test)]
mod tests {
    use dormouse_base::Epoch;
    use dormouse_compute::postgres::discover::Installations;
    use dormouse_compute::sandbox::identity::{Identities, Identity};

    use super::super::resident::Fresh;
    use super::*;
    use crate::directory::Directories;

    #[tokio::test]
    async fn what_is_removed_in_part_is_nothing_to_start_on() {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identities::Own(Identity { uid: 1, gid: 1 });
        let directories = Directories::open(dir.path(), Installations::default(), identity).unwrap();
        let (node, endpoint) = (Node::in_memory(dir.path(), directories), EndpointId::generate());
        let home = node.home(&endpoint);
        std::fs::create_dir_all(home.data()).unwrap();
        let mut resident = Resident::new(Fresh::sample(0, 100), None, false);
        resident.epoch = Some(Epoch(1));
        resident.write(&home.path).unwrap();
        failpoint::arm("node.evict.forgotten=error@1").unwrap();
        let mut held = home.held().await.unwrap();
        assert!(held.writer().is_some());
        node.discard(&home, &mut held).await.unwrap_err();
        assert!(home.data().is_dir() && !node.is_here(&endpoint));
        assert!(held.writer().is_none(), "in this server as in the next");
        node.discard(&home, &mut held).await.unwrap();
        assert!(!home.data().exists());
    }
}
