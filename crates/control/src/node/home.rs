//! One endpoint's place on this node: what is in its directory, and what is being done with it.
//!
//! Two things are kept apart. [`Held`] is what is true of the directory, behind a lock that is held for
//! short times. The *job* is what runs for long while the compute stands still (filing the rest of its WAL,
//! a clean snapshot); it holds no lock, and whoever is about to start the compute ends it first
//! ([`Home::quiet`]): a client never waits for a snapshot.

use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_base::{BranchId, EndpointId, Epoch, Lsn, ProjectId};
use dormouse_compute::endpoint::Run;
use dormouse_storage::gc::Lease;
use dormouse_storage::hydrate::Hydration;
use dormouse_storage::snapshot::Missing;
use parking_lot::Mutex;
use tokio::sync::{MutexGuard, Notify};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::NodeError;
use super::capture::Capture;
use super::filling::Spoilt;
use super::resident::{Resident, data_of};
use super::shots::Shots;
use super::standing::Standing;
use super::watch::Seen;

/// Whoever asks for something of another endpoint's directory waits so long for it: it may be held until the store
/// answers.
const HELD_WITHIN: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Debug)]
pub(crate) struct Home {
    pub(super) endpoint: EndpointId,
    /// `<data>/computes/<endpoint>`.
    pub(super) path: PathBuf,
    held: tokio::sync::Mutex<Held>,
    /// What whoever held it last left, for those who look through all homes and must not wait for one.
    glance: Mutex<Glance>,
    job: Mutex<Job>,
    run: Mutex<Weak<Run>>,
    /// A run was opened.
    woken: Notify,
    /// How its last snapshots went.
    pub(super) shots: Mutex<Shots>,
    /// What the last look at its WAL saw.
    pub(super) seen: Mutex<Seen>,
    since: Mono,
    /// It stopped, and nobody has looked since whether a snapshot is due.
    stirred: AtomicBool,
    /// Whoever asked for its directory to be made of the store alone, if somebody did.
    from_store: Mutex<Weak<FromStore>>,
}

/// As long as this is held, a directory that is made for an endpoint takes nothing from its ancestors' on this
/// node, neither files nor WAL: what is to be proved is the store. In memory only, because whoever asks is the
/// process that starts it.
#[derive(Debug)]
pub(crate) struct FromStore(());

/// What is true of the directory.
#[derive(Debug, Default)]
pub(super) struct Held {
    loaded: bool,
    /// What the directory is a copy of; `None` = there is none.
    pub(super) resident: Option<Resident>,
    /// This server made it, and has its file system in use since.
    pub(super) made: bool,
    /// What files its WAL.
    pub(super) capture: Option<Capture>,
    /// What fills its holes.
    pub(super) hydration: Option<Arc<Hydration>>,
    /// It cannot be trusted any more.
    pub(super) spoilt: Option<Spoilt>,
    /// Keeps what it is filled from in the store.
    pub(super) lease: Option<Lease>,
    /// Whether its writer is still the branch's newest.
    pub(super) standing: Standing,
    /// It is about to start: whoever lets clients in looks at that first.
    pub(super) starts: bool,
    /// The end of its WAL that was seen when it stopped last, well or not.
    pub(super) stopped_at: Option<Lsn>,
}

/// [`Held`], locked.
#[derive(Debug)]
pub(super) struct Holding<'a> {
    held: MutexGuard<'a, Held>,
    glance: &'a Mutex<Glance>,
}

impl Deref for Holding<'_> {
    type Target = Held;

    fn deref(&self) -> &Held {
        &self.held
    }
}

impl DerefMut for Holding<'_> {
    fn deref_mut(&mut self) -> &mut Held {
        &mut self.held
    }
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        if self.held.loaded {
            let taken = self.held.writer().filter(|_| self.held.overtaken().is_some());
            let taken = taken.map(|resident| resident.project.clone());
            *self.glance.lock() = Glance::Read(self.held.writes_what(), taken);
        }
    }
}

/// Who writes in it.
#[derive(Debug, Clone, Default)]
enum Glance {
    /// Nobody has looked yet.
    #[default]
    Unread,
    /// This writer, if any; and the project, if another server is known to have taken its branch over.
    Read(Option<(BranchId, Epoch)>, Option<ProjectId>),
}

#[derive(Debug)]
struct Job {
    token: CancellationToken,
    tracker: TaskTracker,
}

impl Default for Job {
    fn default() -> Self {
        Self { token: CancellationToken::new(), tracker: TaskTracker::new() }
    }
}

impl Home {
    pub(super) fn new(endpoint: EndpointId, path: PathBuf) -> Self {
        Self {
            endpoint,
            path,
            held: tokio::sync::Mutex::default(),
            glance: Mutex::default(),
            job: Mutex::default(),
            run: Mutex::default(),
            woken: Notify::new(),
            shots: Mutex::default(),
            seen: Mutex::default(),
            since: Mono::now(),
            stirred: AtomicBool::new(false),
            from_store: Mutex::default(),
        }
    }

    /// See [`FromStore`].
    #[must_use = "it counts until it is dropped"]
    pub(crate) fn of_store_alone(&self) -> Arc<FromStore> {
        let kept = Arc::new(FromStore(()));
        *self.from_store.lock() = Arc::downgrade(&kept);
        kept
    }

    /// Whether somebody asked for that.
    pub(super) fn is_of_store_alone(&self) -> bool {
        self.from_store.lock().strong_count() > 0
    }

    /// The cluster.
    pub(super) fn data(&self) -> PathBuf {
        data_of(&self.path)
    }

    /// What is true of the directory, read from disk the first time.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub(super) async fn held(&self) -> Result<Holding<'_>, NodeError> {
        let mut held = Holding { held: self.held.lock().await, glance: &self.glance };
        if !held.loaded {
            let path = self.path.clone();
            let read = dormouse_runtime::task::blocking(move || Resident::read(&path)).await;
            held.resident = read.map_err(NodeError::file("read what is in", &self.path))?;
            held.loaded = true;
        }
        Ok(held)
    }

    /// The same for those who do not wait; `None` = somebody holds it, or it was not read yet.
    pub(super) fn try_held(&self) -> Option<Holding<'_>> {
        let held = self.held.try_lock().ok().filter(|held| held.loaded)?;
        Some(Holding { held, glance: &self.glance })
    }

    /// The same for those on whom others wait.
    ///
    /// # Errors
    /// [`NodeError::Late`] when somebody holds it for longer than [`HELD_WITHIN`], and as [`Home::held`].
    pub(super) async fn held_soon(&self) -> Result<Holding<'_>, NodeError> {
        let held = tokio::time::timeout(HELD_WITHIN, self.held()).await;
        held.unwrap_or_else(|_| Err(NodeError::Late("use the directory of another endpoint")))
    }

    /// The writer in it, as it was when somebody held it last: whoever holds it now, for however long (a directory
    /// is being made, or left while the store is away), does not hold up who only looks around.
    ///
    /// # Errors
    /// When it has to be read from disk and cannot be.
    pub(super) async fn glance(&self) -> Result<Option<(BranchId, Epoch)>, NodeError> {
        let seen = self.glance.lock().clone();
        match seen {
            Glance::Unread => Ok(self.held_soon().await?.writes_what()),
            Glance::Read(writer, _) => Ok(writer),
        }
    }

    /// The project of a branch that another server is known to have taken over from this directory's writer.
    pub(super) fn taken_over(&self) -> Option<ProjectId> {
        match &*self.glance.lock() {
            Glance::Read(_, taken) => taken.clone(),
            Glance::Unread => None,
        }
    }

    /// The run that is open on it, if there is one.
    pub(super) fn run(&self) -> Option<Arc<Run>> {
        self.run.lock().upgrade().filter(|run| !run.is_closing())
    }

    pub(super) fn set_run(&self, run: &Arc<Run>) {
        *self.run.lock() = Arc::downgrade(run);
        self.woken.notify_waiters();
    }

    /// Waits until a run is open. Tells whether it had to.
    pub(super) async fn until_run(&self) -> bool {
        let mut waited = false;
        loop {
            let woken = self.woken.notified();
            if self.run().is_some() {
                return waited;
            }
            woken.await;
            waited = true;
        }
    }

    /// A weak reference for those who ask later.
    pub(super) fn weak_run(&self) -> Weak<Run> {
        self.run.lock().clone()
    }

    /// Notes that a snapshot may be due although nothing runs.
    pub(super) fn stir(&self) {
        self.stirred.store(true, Ordering::Release);
    }

    /// Whether a look at it can find anything: it runs, or something happened since the last look.
    pub(super) fn is_lively(&self) -> bool {
        self.stirred.load(Ordering::Acquire) || self.run.lock().strong_count() > 0
    }

    /// Whether something happened since the last look, which is this one.
    pub(super) fn look(&self) {
        self.stirred.store(false, Ordering::Release);
    }

    /// How long this server has known it.
    pub(super) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Registers a job: a token that ends it, and a tracker that knows when it has ended.
    pub(super) fn job(&self) -> (CancellationToken, TaskTracker) {
        let job = self.job.lock();
        (job.token.child_token(), job.tracker.clone())
    }

    /// Ends the jobs and waits for that; new ones may begin after.
    pub(super) async fn quiet(&self) {
        self.hush().wait().await;
    }

    /// Tells the jobs to end, and gives what knows when they have.
    pub(super) fn hush(&self) -> TaskTracker {
        let job = std::mem::take(&mut *self.job.lock());
        job.token.cancel();
        job.tracker.close();
        job.tracker
    }
}

/// What a snapshot must not read, because it is not there yet.
pub(super) fn missing(hydration: &Arc<Hydration>) -> Missing {
    let hydration = Arc::clone(hydration);
    Arc::new(move |path| Some(hydration.missing(hydration.file(path)?)))
}

impl Held {
    /// Ends what is being done with the directory, and waits some seconds for it. What does not end in that time hangs in
    /// the kernel, on a disk that does not answer, and whoever takes the directory away need not wait for it either: it
    /// cannot reach what comes in its place.
    ///
    /// A filler has the data, the directory of its state and the file of what is present open since it began, so it writes
    /// into what was removed, and before it takes a directory for complete it looks whether that still has its name. A
    /// filer reads the `pg_wal` that it opened, and files under its own epoch, which nobody reads behind the end of its span;
    /// the slot of a later run it could only move to where that is already. Its spool is below its epoch.
    pub(super) async fn end(&mut self) {
        if let Some(capture) = self.capture.take() {
            capture.end().await;
        }
        if let Some(hydration) = self.hydration.take()
            && !hydration.stop().await
        {
            tracing::warn!("what fills a directory did not end in time");
        }
        self.lease = None;
    }

    /// Whether the directory, on which nothing runs, is what it was made as, as far as anybody knows. A copy that was not
    /// published is perhaps not on the disk, and what an earlier server left of it may come from a file system that was
    /// mounted again since. One with holes knows itself whether it was stored ([`Hydration::resume`]), and a reader
    /// acknowledges nothing.
    pub(super) fn is_whole(&self) -> bool {
        let known = |r: &Resident| r.epoch.is_some() || self.made || r.lazy || !r.writes();
        self.resident.as_ref().is_some_and(|resident| resident.is_whole() && known(resident))
    }

    /// Whether the directory is something that the store may be told of, or be left alone with.
    ///
    /// # Errors
    /// When it has holes and is not being filled: nothing tells then which of its zeros are data. The filling is tried
    /// again meanwhile.
    pub(super) fn is_sound(&self) -> Result<(), NodeError> {
        if let Some(spoilt) = self.spoilt {
            return Err(spoilt.error());
        }
        if let Some(hydration) = self.hydration.as_ref().filter(|hydration| !hydration.is_complete()) {
            if hydration.is_suspect() {
                return Err(Spoilt::Refused.error());
            }
            hydration.in_place().map_err(NodeError::part("use a directory with holes"))?;
        }
        if self.writer().is_some_and(|resident| resident.lazy) && self.hydration.is_none() {
            let text =
                "parts of the directory are still in the store, and filling it has not begun again yet";
            return Err(NodeError::Busy(text.to_owned()));
        }
        self.diverged().map_or(Ok(()), Err)
    }

    /// The error of a directory that is known to be older than what its own writer has in the store: its disk went
    /// back. Nothing that is written in it can be filed.
    pub(super) fn diverged(&self) -> Option<NodeError> {
        let diverged = self.capture.as_ref().is_some_and(|capture| capture.status().diverged);
        diverged.then(|| {
            let text = "the directory has another state than its writer has in the store, as after its disk went back to \
                an earlier one (docs/reference/recovery.md)";
            NodeError::Busy(text.to_owned())
        })
    }

    /// The resident, if it writes and the register knows it.
    pub(super) fn writer(&self) -> Option<&Resident> {
        self.resident.as_ref().filter(|r| r.writes() && r.epoch.is_some())
    }

    fn writes_what(&self) -> Option<(BranchId, Epoch)> {
        self.writer().and_then(|resident| Some((resident.branch.clone(), resident.epoch?)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::resident::{Fresh, Purpose};
    use super::*;

    #[test]
    fn a_copy_that_an_earlier_server_left_at_rest_is_made_again() {
        let held = |resident: &Resident| Held { resident: Some(resident.clone()), ..Held::default() };
        let copy = Resident::new(Fresh::sample(0, 100), None, false);
        assert!(Held { made: true, ..held(&copy) }.is_whole(), "of this server");
        assert!(!held(&copy).is_whole());
        let but = |change: fn(&mut Resident)| {
            let mut other = copy.clone();
            change(&mut other);
            held(&other).is_whole()
        };
        assert!(but(|published| published.epoch = Some(Epoch(1))));
        assert!(but(|with_holes| with_holes.lazy = true), "it has a plan that says more");
        assert!(but(|reader| reader.purpose = Purpose::Read { pinned: None }));
        let mut refused = copy;
        refused.forsake();
        assert!(!Held { made: true, ..held(&refused) }.is_whole());
    }
}
