//! When snapshots are taken, and taking them.
//!
//! ```text
//!   stopped, and its WAL grew by MIN_WAL since the last snapshot ──► clean
//!   running, and its WAL grew by MAX_WAL, or is MAX_AGE old      ──► online
//!   running, and a branch was made FORK_WAL behind the last one  ──► online
//!   somebody asked                                               ──► either
//! ```
//!
//! So what has to be replayed after the loss of a node, or at the first start of a branch, is never much more
//! than `MAX_WAL`. A clean snapshot gives way to a start at any moment; the next stop takes another one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_base::lsn::WAL_SEGMENT;
use dormouse_base::{Lsn, with_causes};
use dormouse_compute::State;
use dormouse_runtime::{failpoint, task};
use dormouse_storage::branch::record::{BranchRecord, SnapshotKind, SnapshotRecord};
use dormouse_storage::branch::register::UpdateError;
use dormouse_storage::gc::Lease;
use dormouse_storage::key::Key;
use dormouse_storage::manifest::{Manifest, Owner};
use dormouse_storage::snapshot::{self, Base, Options, Request, SnapshotError, Taken};
use tokio_util::sync::CancellationToken;

use super::backup::SqlBackup;
use super::evict::needs_nothing_lost;
use super::home::{Home, missing};
use super::resident::{Resident, SNAPSHOT_STATE};
use super::standing::TakenOver;
use super::{Node, NodeError};

/// WAL since the last snapshot, in bytes, from which a stop is followed by a clean one. Replaying less
/// costs a start some milliseconds; a snapshot for it would cost more.
const MIN_WAL: u64 = 64 * 1024;

/// WAL since the last snapshot's `redo`, in bytes, from which a running compute gets an online one.
const MAX_WAL: u64 = 64 * 1024 * 1024;

/// WAL between the last snapshot's `redo` and the place where a branch was made, in bytes, from which a running
/// parent gets an online one: the first branch has to replay this much, the next one shall not.
const FORK_WAL: u64 = 4 * 1024 * 1024;

/// Snapshots by volume take at most this part of the time (one in so many): a compute that writes [`MAX_WAL`] each
/// second would otherwise be read and stored again and again, and have no other work done.
const TIME_SHARE: u32 = 20;

/// A running compute with new WAL gets an online snapshot at least this often.
const MAX_AGE: Duration = Duration::from_secs(6 * 3600);

/// Between two looks at everything that runs.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// After a snapshot that failed, its endpoint is left alone for so long.
const AFTER_FAILURE: Duration = Duration::from_secs(60);

/// The WAL that a snapshot needs is filed within this time, or the snapshot is given up.
const FILE_WITHIN: Duration = Duration::from_secs(120);

/// What the last snapshots of an endpoint were like.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Shots {
    /// When one was taken last, in this server's life.
    taken: Option<Mono>,
    /// How long it took.
    took: Duration,
    /// When one failed last.
    failed: Option<Mono>,
    /// Where a branch was made last.
    fork: Option<Lsn>,
    /// Where PostgreSQL went on after the last online one: a backup ends its segment, and what is left of that is
    /// nothing to replay.
    switched: Lsn,
}

impl Shots {
    /// Whether the last one is long enough ago, for what it cost.
    fn may_again(&self) -> bool {
        self.taken.is_none_or(|at| at.elapsed() >= self.took * TIME_SHARE)
    }

    /// Whether the last branch has more to replay than the next one should have.
    fn is_far_behind(&self, redo: Lsn) -> bool {
        self.fork.is_some_and(|fork| fork.since(redo.max(self.switched)) >= FORK_WAL)
    }

    fn taken(&mut self, record: &SnapshotRecord, took: Duration) {
        (self.taken, self.took) = (Some(Mono::now()), took);
        if record.kind == SnapshotKind::Online {
            self.switched = record.lsn.segment_start().plus(WAL_SEGMENT);
        }
    }
}

impl Node {
    /// Looks for snapshots that are due, for ever; one at a time, because each takes all cores.
    pub(super) async fn keep_snapshots(&self) {
        let token = self.inner.scope.token();
        loop {
            let mut lively = false;
            for home in self.homes() {
                if !home.is_lively() {
                    continue;
                }
                lively = true;
                home.look();
                let due = match self.due(&home).await {
                    Ok(due) => due,
                    Err(error) => {
                        tracing::warn!(endpoint = %home.endpoint, error = with_causes(&error), "cannot look for snapshots");
                        false
                    }
                };
                if due && let Err(error) = self.shoot_if_due(&home).await {
                    self.note_failure(&home, &error).await;
                    home.stir();
                }
                if token.is_cancelled() {
                    return;
                }
            }
            tokio::select! {
                () = token.cancelled() => return,
                () = self.inner.look.notified() => {}
                // What sleeps costs nothing.
                () = tokio::time::sleep(LOOK_EVERY), if lively => {}
            }
        }
    }

    async fn note_failure(&self, home: &Arc<Home>, error: &NodeError) {
        if matches!(error, NodeError::Busy(_)) {
            return;
        }
        self.inner.metrics.snapshot_failures.inc();
        tracing::error!(endpoint = %home.endpoint, error = with_causes(error), "no snapshot");
        self.trouble(&home.endpoint, format!("no snapshot: {}", with_causes(error)));
        home.shots.lock().failed = Some(Mono::now());
    }

    async fn due(&self, home: &Arc<Home>) -> Result<bool, NodeError> {
        let shots = *home.shots.lock();
        if shots.failed.is_some_and(|at| at.elapsed() < AFTER_FAILURE) {
            home.stir();
            return Ok(false);
        }
        let state = self.computes()?.state(&home.endpoint);
        // One that is held for long (by a start, or by somebody who waits for the store) must not keep the others
        // from being looked at.
        let Some(mut held) = home.try_held() else {
            home.stir();
            return Ok(false);
        };
        if held.hydration.as_ref().is_some_and(|hydration| hydration.is_complete()) {
            self.note_complete(home, &mut held).await?;
        }
        self.note_spoilt(home, &mut held);
        if held.spoilt.is_some() {
            drop(held);
            if matches!(state, State::Active | State::Paused) {
                // It may read zeros where there is data.
                self.stop_spoilt(home).await?;
            }
            return Ok(false);
        }
        let Some(resident) = held.writer().filter(|_| held.overtaken().is_none()) else { return Ok(false) };
        Ok(match state {
            State::Stopped => held.stopped_at.is_some_and(|end| end.since(resident.base_lsn) >= MIN_WAL),
            State::Active => {
                let Some(capture) = &held.capture else { return Ok(false) };
                let status = capture.status();
                let now = status.filed.max(status.flushed);
                let old = shots.taken.is_none_or(|at| at.elapsed() >= MAX_AGE) && home.age() >= MAX_AGE;
                let hole = status.gap_behind(resident.base_redo).is_some();
                (now.since(resident.base_redo) >= MAX_WAL && shots.may_again())
                    || shots.is_far_behind(resident.base_redo)
                    || hole
                    || (old && now.since(resident.base_lsn) >= MIN_WAL)
            }
            State::Starting | State::Paused | State::Stopping => false,
        })
    }

    /// A branch was made of what this endpoint writes: a snapshot may be due.
    pub(super) fn forked(&self, home: &Home, at: Lsn) {
        home.shots.lock().fork = Some(at);
        home.stir();
        self.inner.look.notify_one();
    }

    /// Takes a snapshot of what an endpoint's directory holds now, and publishes it. Tells its position.
    ///
    /// # Errors
    /// When it cannot be taken, or gave way to a start.
    pub(super) async fn shoot(&self, home: &Arc<Home>) -> Result<Lsn, NodeError> {
        let _one_at_a_time = self.inner.shooting.lock().await;
        self.shoot_alone(home).await
    }

    /// Takes one if one is due when it is its turn; somebody else may have taken it before.
    async fn shoot_if_due(&self, home: &Arc<Home>) -> Result<(), NodeError> {
        let _one_at_a_time = self.inner.shooting.lock().await;
        if self.due(home).await? {
            self.shoot_alone(home).await?;
        }
        Ok(())
    }

    async fn shoot_alone(&self, home: &Arc<Home>) -> Result<Lsn, NodeError> {
        let (token, tracker) = home.job();
        let nothing = || {
            NodeError::Nothing("this endpoint has no directory that a snapshot could be taken of".to_owned())
        };
        let resident = home.held().await?.writer().cloned().ok_or_else(nothing)?;
        let lease = self.inner.leases.upload(&resident.project, &resident.branch).await;
        let _kept = lease.map_err(NodeError::part("keep what a snapshot writes"))?;
        let (base, _kept_too) = self.listed_base(&resident).await?.unzip();
        let request = self.request(home, &resident, base, token.clone()).await?;
        // Whoever ends the job waits for this one. Who ended it before it began may have removed the directory.
        let taken = tracker.track_future(self.take(home, request)).await;
        let taken = taken.map_err(|error| if token.is_cancelled() { gave_way() } else { error })?;
        self.publish_snapshot(home, &resident, taken).await
    }

    async fn request(
        &self,
        home: &Arc<Home>,
        resident: &Resident,
        base: Option<Key>,
        cancel: CancellationToken,
    ) -> Result<Request, NodeError> {
        let held = home.held().await?;
        held.is_sound()?;
        let missing = held.hydration.as_ref().filter(|h| !h.is_complete()).map(missing);
        let touched = held.hydration.as_ref().map(|h| h.touched_paths()).unwrap_or_default();
        let hot =
            held.resident.as_ref().map_or_else(|| resident.hot_with(&touched), |r| r.hot_with(&touched));
        drop(held);
        let base = match base {
            None => None,
            Some(key) => {
                let manifest = Manifest::load(&self.inner.store, &key).await;
                let manifest = Arc::new(manifest.map_err(NodeError::part("read the snapshot before"))?);
                Some(Base { manifest, key, boot: None })
            }
        };
        let request = Request {
            store: self.inner.store.clone(),
            dir: home.data(),
            owner: Owner::Branch { project: resident.project.clone(), branch: resident.branch.clone() },
            epoch: resident.epoch.unwrap_or_default(),
            base,
            state: Some(state_file(home)),
            missing,
            hot,
            options: Options::default(),
            cancel,
        };
        Ok(request)
    }

    /// The snapshot that a directory was last stored as, as the registers list it *now*: its manifest may
    /// have been written anew, and then only the new one's packs stay. It may be an ancestor's, and be taken off its
    /// list while the next one is uploaded, which takes as long as it takes: it stays with the lease.
    async fn listed_base(&self, resident: &Resident) -> Result<Option<(Key, Lease)>, NodeError> {
        let Some(key) = &resident.base else { return Ok(None) };
        let records = self.inner.registers.family(&resident.project, &resident.branch).await?;
        let mut listed = records.values().flat_map(|record| &record.snapshots);
        if listed.clone().any(|snapshot| snapshot.manifest == *key) {
            return Ok(Some((key.clone(), self.keep(resident, key.clone())?)));
        }
        let same = listed.find(|s| s.lsn == resident.base_lsn && s.redo == resident.base_redo);
        let kept = |s: &SnapshotRecord| Ok((s.manifest.clone(), self.keep(resident, s.manifest.clone())?));
        same.map(kept).transpose()
    }

    async fn take(&self, home: &Arc<Home>, request: Request) -> Result<Taken, NodeError> {
        let computes = self.computes()?;
        let state = computes.state(&home.endpoint);
        let taken = match state {
            State::Stopped => snapshot::clean(request).await,
            State::Active => {
                let awake = computes.admin(&home.endpoint, "postgres").await;
                let awake = awake.map_err(NodeError::part("reach the compute"))?;
                let run =
                    home.run().ok_or_else(|| NodeError::Busy("the compute is on its way".to_owned()))?;
                let door = run.door().await.map_err(NodeError::part("reach the compute"))?;
                let backup = SqlBackup::open(&door, awake).await;
                let mut backup = backup.map_err(|source| NodeError::Part {
                    what: "begin a backup of the compute",
                    full: false,
                    source,
                })?;
                snapshot::online(request, &mut backup).await
            }
            State::Starting | State::Paused | State::Stopping => {
                return Err(NodeError::Busy(format!("the endpoint is {}", state.name())));
            }
        };
        taken.map_err(|error| match error {
            SnapshotError::Cancelled => gave_way(),
            error => NodeError::part("take a snapshot")(error),
        })
    }

    async fn publish_snapshot(
        &self,
        home: &Arc<Home>,
        resident: &Resident,
        taken: Taken,
    ) -> Result<Lsn, NodeError> {
        failpoint::hit("snapshot.publish.before").await.map_err(NodeError::file("publish", &home.path))?;
        // An online snapshot is of use from its end on: the WAL up to there belongs to it.
        let filed = tokio::time::timeout(FILE_WITHIN, self.file_all(home, Some(taken.record.lsn))).await;
        filed
            .map_err(|_| NodeError::Busy("the store does not take the WAL of the snapshot".to_owned()))??;
        if taken.record.kind == SnapshotKind::Online
            && let Some(capture) = &home.held().await?.capture
        {
            needs_nothing_lost(&capture.status(), taken.record.redo)?;
        }
        let register = self.inner.registers.branch(&resident.project, &resident.branch);
        let record = taken.record.clone();
        let wanted = resident.clone();
        match register.update(move |branch| with_snapshot(branch, &record, &wanted)).await {
            Ok(_) => {}
            Err(UpdateError::Refused(TakenOver { found, .. })) => {
                let error = self.overtaken(home, &mut *home.held().await?, found);
                self.stop_overtaken(home).await?;
                return Err(error);
            }
            Err(UpdateError::Register(error)) => return Err(NodeError::Register(error)),
        }
        failpoint::hit("snapshot.publish.after").await.map_err(NodeError::file("publish", &home.path))?;
        self.remember(home, resident, &taken.record).await?;
        let stats = taken.stats;
        home.shots.lock().taken(&taken.record, stats.time);
        self.inner.metrics.snapshot(taken.record.kind, stats.written_bytes(), stats.time);
        tracing::info!(endpoint = %home.endpoint, kind = ?taken.record.kind, lsn = %taken.record.lsn,
            read = stats.read_bytes, written = stats.written_bytes(), ms = stats.time.as_millis(), "snapshot");
        Ok(taken.record.lsn)
    }

    /// The next snapshot of this directory builds on this one, unless another directory is in its place meanwhile: what
    /// that lacks would be taken for what this one had.
    async fn remember(
        &self,
        home: &Arc<Home>,
        of: &Resident,
        record: &SnapshotRecord,
    ) -> Result<(), NodeError> {
        let mut held = home.held().await?;
        let is_it =
            |now: &&mut Resident| (&now.branch, now.epoch, now.mark) == (&of.branch, of.epoch, of.mark);
        let Some(resident) = held.resident.as_mut().filter(is_it) else { return Ok(()) };
        resident.base = Some(record.manifest.clone());
        (resident.base_redo, resident.base_lsn) = (record.redo, record.lsn);
        let (resident, path) = (resident.clone(), home.path.clone());
        let written = task::blocking(move || resident.write(&path)).await;
        written.map_err(NodeError::file("record the snapshot of", &home.path))
    }
}

fn gave_way() -> NodeError {
    NodeError::Busy("the snapshot gave way to a start".to_owned())
}

/// The register with one more snapshot, if the one who took it is still the writer.
fn with_snapshot(
    mut branch: BranchRecord,
    new: &SnapshotRecord,
    resident: &Resident,
) -> Result<BranchRecord, TakenOver> {
    if branch.epoch != new.epoch {
        return Err(TakenOver::of(&branch, resident, new.lsn));
    }
    branch.snapshots.retain(|old| old.manifest != new.manifest);
    branch.snapshots.push(new.clone());
    branch.snapshots.sort_by_key(|snapshot| (snapshot.lsn, snapshot.epoch));
    Ok(branch)
}

fn state_file(home: &Home) -> PathBuf {
    home.path.join(SNAPSHOT_STATE)
}

#[cfg(test)]
mod tests {
    use dormouse_base::{BranchId, Epoch, ProjectId, Timeline, clock};
    use dormouse_compute::postgres::discover::Installations;
    use dormouse_compute::sandbox::identity::{Identities, Identity};
    use dormouse_storage::branch::record::Origin;
    use dormouse_storage::gc::plan::Pin;
    use dormouse_storage::key;

    use super::super::resident::{Fresh, Purpose};
    use super::super::standing::tests::record;
    use super::*;
    use crate::directory::Directories;

    #[test]
    fn a_branch_far_behind_the_last_snapshot_wants_another() {
        let redo = Lsn(7 * WAL_SEGMENT + 40);
        let shots = |fork: u64, switched: u64| Shots {
            fork: Some(Lsn(fork)),
            switched: Lsn(switched),
            ..Shots::default()
        };
        assert!(!Shots::default().is_far_behind(redo));
        assert!(!shots(redo.0 + FORK_WAL - 1, 0).is_far_behind(redo));
        assert!(shots(redo.0 + FORK_WAL, 0).is_far_behind(redo));
        assert!(!shots(redo.0 - 1, 0).is_far_behind(redo), "a branch of the past");
        // The rest of the segment in which a backup ended is not WAL.
        let next = 8 * WAL_SEGMENT;
        assert!(!shots(next + 100, next).is_far_behind(redo));
        assert!(shots(next + FORK_WAL, next).is_far_behind(redo));
    }

    #[tokio::test]
    async fn a_snapshot_that_ends_late_is_no_base_of_what_came_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identities::Own(Identity { uid: 1, gid: 1 });
        let directories = Directories::open(dir.path(), Installations::default(), identity).unwrap();
        let node = Node::in_memory(dir.path(), directories);
        let home = node.home(&dormouse_base::EndpointId::generate());
        std::fs::create_dir_all(&home.path).unwrap();
        let made = |epoch: u32| {
            let mut made = Resident::new(Fresh::sample(epoch - 1, 100), None, true);
            made.epoch = Some(Epoch(epoch));
            made
        };
        let (first, next) = (made(1), made(2));
        let (project, branch) = (first.project.clone(), first.branch.clone());
        let taken = SnapshotRecord {
            kind: SnapshotKind::Online,
            lsn: Lsn(300),
            redo: Lsn(200),
            timeline: Timeline(1),
            epoch: Epoch(1),
            manifest: key::manifest(&project, &branch, Lsn(300), Epoch(1)),
            boot: key::boot(&project, &branch, Lsn(300), Epoch(1)),
            taken_at: clock::now(),
            logical_bytes: 0,
            added_bytes: 0,
        };
        for (there, base) in [(&next, None), (&first, Some(taken.manifest.clone()))] {
            home.held().await.unwrap().resident = Some(there.clone());
            node.remember(&home, &first, &taken).await.unwrap();
            assert_eq!(home.held().await.unwrap().resident.as_ref().unwrap().base, base);
        }
    }

    #[tokio::test]
    async fn the_snapshot_that_the_next_one_builds_on_stays_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identities::Own(Identity { uid: 1, gid: 1 });
        let directories = Directories::open(dir.path(), Installations::default(), identity).unwrap();
        let node = Node::in_memory(dir.path(), directories);
        let project: ProjectId = "p".parse().unwrap();
        let (parent, child): (BranchId, BranchId) = ("br-main".parse().unwrap(), "br-dev".parse().unwrap());
        let key = |epoch| key::manifest(&project, &parent, Lsn(200), Epoch(epoch));
        let origin = Origin::Branch { parent: parent.clone(), lsn: Lsn(300), at: None, writer: None };
        let of_child =
            BranchRecord { project: project.clone(), branch: child.clone(), origin, ..record(&[]) };
        let mut of_parent =
            BranchRecord { project: project.clone(), branch: parent.clone(), ..record(&[(1, 100, None)]) };
        of_parent.snapshots = vec![SnapshotRecord {
            kind: SnapshotKind::Clean,
            lsn: Lsn(200),
            redo: Lsn(200),
            timeline: Timeline(1),
            epoch: Epoch(1),
            manifest: key(2),
            boot: key::boot(&project, &parent, Lsn(200), Epoch(1)),
            taken_at: clock::now(),
            logical_bytes: 0,
            added_bytes: 0,
        }];
        for record in [of_parent, of_child] {
            let register = node.inner.registers.branch(&project, &record.branch);
            register.create_first(record).await.unwrap();
        }
        // Its parent's, by its key or by its place if it was written anew since.
        for made_of in [key(2), key(1)] {
            let fresh = Fresh {
                project: project.clone(),
                branch: child.clone(),
                pg_major: 18,
                purpose: Purpose::Write,
                seen: Epoch(0),
                timeline: Timeline(2),
                from: Lsn(300),
            };
            let resident = Resident::new(fresh, Some((made_of, Lsn(200), Lsn(200))), false);
            let (base, lease) = node.listed_base(&resident).await.unwrap().unwrap();
            assert_eq!(base, key(2));
            let pinned = Pin::Snapshot { branch: child.clone(), manifest: base };
            assert_eq!(node.inner.leases.of(&project), [pinned]);
            drop(lease);
            assert!(node.inner.leases.is_empty());
        }
    }
}
