//! Keeps the store's copy of a writer's WAL up to date, for as long as the writer's directory is here.
//!
//! The filer reads the compute's own WAL files; the compute is asked over the administrative connection that
//! exists anyway how far they may be read. With `--wal-source stream` the bytes come by physical replication
//! instead. A frozen or stopped compute is asked nothing: what it left is filed from the files.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use dormouse_base::{EndpointId, Lsn, with_causes};
use dormouse_compute::State;
use dormouse_compute::endpoint::Run;
use dormouse_compute::postgres::SUPERUSER;
use dormouse_compute::sandbox::identity::Identity;
use dormouse_runtime::task::{self, Scope};
use dormouse_storage::wal::filer::{Filer, Limits, Status, Writer};
use dormouse_storage::wal::page::Major;
use dormouse_storage::wal::source::dir::WalDir;
use dormouse_storage::wal::source::files::Files;
use dormouse_storage::wal::source::streamed::Streamed;
use dormouse_storage::wal::source::tap::{ConnectError, Provider, SLOT, SqlTap};
use dormouse_storage::wal::source::{Source, slot};

use super::home::{Held, Home};
use super::resident::Resident;
use super::walsender::Walsender;
use super::ways::WalSource;
use super::{Node, NodeError};

/// Beside the cluster: what a stream brought and is not filed yet.
pub(super) const SPOOL: &str = "spool";

/// After a wake, the client's first rows come first.
const AFTER_WAKE: Duration = Duration::from_millis(300);

/// A running compute that does not answer for so long may have gone to sleep.
const ASK_AGAIN: Duration = Duration::from_secs(12);

/// Whether a compute that stood still was woken is looked at so often.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A filer's task ends at once; it holds nothing that must be finished.
const END_WITHIN: Duration = Duration::from_secs(5);

/// A filer and the scope of its task.
#[derive(Debug)]
pub(super) struct Capture {
    pub(super) filer: Filer,
    scope: Scope,
}

impl Capture {
    /// What it is doing.
    pub(super) fn status(&self) -> Status {
        self.filer.status().borrow().clone()
    }

    /// Ends it. Another one goes on where the store says.
    pub(super) async fn end(self) {
        if !self.scope.close(END_WITHIN).await {
            tracing::warn!("a WAL filer did not end in time");
        }
    }
}

/// The closed run has no answer.
#[derive(Debug, thiserror::Error)]
#[error("the compute does not run")]
struct NotRunning;

/// Connections of whatever run is open.
fn provider(home: &Arc<Home>) -> Box<Provider> {
    let home = Arc::downgrade(home);
    Box::new(move || {
        let run = home.upgrade().map(|home| home.weak_run());
        Box::pin(async move {
            let run = run.as_ref().and_then(Weak::upgrade).filter(|run: &Arc<Run>| !run.is_closing());
            let run = run.ok_or_else(|| ConnectError::from(NotRunning))?;
            let door = run.door().await.map_err(ConnectError::from)?;
            Ok(door.client())
        })
    })
}

/// Puts the slot that holds WAL into a directory that is to be written in and has not been started yet: whatever a client
/// writes first, and whenever the store answers, it stays until it is filed.
pub(super) async fn hold_wal(data: &Path, resident: &Resident, identity: Identity) -> Result<(), NodeError> {
    if !resident.writes() {
        return Ok(());
    }
    let (place, major, from) = (data.to_owned(), resident.pg_major, resident.from);
    let laid_out = task::blocking(move || {
        let made = slot::lay_out(&place, major, from)?;
        made.iter().flatten().try_for_each(|path| identity.own(path))
    });
    laid_out.await.map_err(NodeError::file("put a replication slot into", data))
}

/// Whether a compute's directory has the slot that holds WAL. Only a hint: the compute could have put anything there.
async fn has_slot(home: &Home) -> bool {
    let slot = home.data().join("pg_replslot").join(SLOT);
    task::blocking(move || slot.symlink_metadata().is_ok()).await
}

impl Node {
    /// A run is open: capture its WAL. Does not block.
    pub(crate) fn awake(&self, endpoint: &EndpointId, run: &Arc<Run>) {
        let home = self.home(endpoint);
        home.set_run(run);
        // What was done while it stood still ends now; what begins from now on may stay.
        let before = home.hush();
        self.inner.look.notify_one();
        let node = self.clone();
        self.inner.scope.spawn("capture", async move {
            before.wait().await;
            // A directory from before slots were laid out may have none, and `wal_keep_size` alone is soon used up by
            // somebody who fills it.
            if has_slot(&home).await {
                tokio::time::sleep(AFTER_WAKE).await;
            }
            if home.run().is_none() {
                return;
            }
            if let Err(error) = node.begin_capture(&home).await {
                tracing::error!(endpoint = %home.endpoint, error = &error as &dyn std::error::Error,
                    "the WAL of this compute is not captured");
            }
            node.look_up_patiently(&home).await;
        });
    }

    async fn begin_capture(&self, home: &Arc<Home>) -> Result<(), NodeError> {
        let mut held = home.held().await?;
        self.capture(home, &mut held)?;
        if let Some(capture) = &held.capture {
            capture.filer.resume();
        }
        Ok(())
    }

    /// The capture of a writer's directory; made when there is none yet.
    pub(super) fn capture(&self, home: &Arc<Home>, held: &mut Held) -> Result<(), NodeError> {
        let Some(resident) = held.writer().cloned().filter(|_| held.capture.is_none()) else { return Ok(()) };
        let dir = WalDir::open(&home.data()).map_err(NodeError::file("open the WAL of", &home.path))?;
        let tap = Arc::new(SqlTap::new(provider(home)));
        let files = Files::new(Arc::new(dir), resident.timeline, tap);
        let scope = self.inner.scope.child();
        let source: Arc<dyn Source> = match self.inner.ways.wal_source {
            WalSource::Files => Arc::new(files),
            WalSource::Stream => {
                // Its own for each writer: what an earlier one received is not part of this one's history.
                let spool = home.path.join(SPOOL).join(resident.epoch.unwrap_or_default().to_string());
                let (sender, scope) = (Arc::new(Walsender::of(home)), scope.clone());
                Arc::new(Streamed::new(files, resident.timeline, sender, SUPERUSER, spool, scope))
            }
        };
        let writer = writer(&resident)?;
        let filer = Filer::start(self.inner.store.clone(), writer, source, Limits::default(), &scope);
        held.capture = Some(Capture { filer, scope });
        Ok(())
    }

    /// Everything that a directory's compute has written is in the store, up to `upto` or (standing still)
    /// to its end. Tells the end.
    ///
    /// # Errors
    /// When the directory cannot be read or its compute wrote less than was filed.
    pub(super) async fn file_all(
        &self,
        home: &Arc<Home>,
        upto: Option<Lsn>,
    ) -> Result<Option<Lsn>, NodeError> {
        let filer = {
            let mut held = home.held().await?;
            self.capture(home, &mut held)?;
            let Some(capture) = &held.capture else { return Ok(None) };
            capture.filer.clone()
        };
        loop {
            let filed = if self.answers(home) {
                // It may be frozen or stop meanwhile.
                match tokio::time::timeout(ASK_AGAIN, filer.file_now(upto)).await {
                    Ok(filed) => filed,
                    Err(_) => continue,
                }
            } else {
                // Woken meanwhile it writes on, and the end of its files is not to be caught up with.
                tokio::select! {
                    filed = self.file_rest(home, &filer) => return filed.map(Some),
                    () = self.until_it_answers(home) => continue,
                }
            };
            return filed.map(Some).map_err(NodeError::part("file the WAL of a compute"));
        }
    }

    /// Whether a compute can be asked: a frozen one answers nothing, and what it wrote is in its files.
    fn answers(&self, home: &Arc<Home>) -> bool {
        let state = self.inner.computes.get().map(|computes| computes.state(&home.endpoint));
        home.run().is_some() && state.is_none_or(|state| state == State::Active)
    }

    /// A compute that stands still is woken.
    pub(super) async fn until_it_answers(&self, home: &Arc<Home>) {
        while !self.answers(home) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// It was frozen or has stopped: file what it left, then see whether a snapshot is due. A start ends this.
    pub(crate) fn at_rest(&self, endpoint: &EndpointId, stopped: bool) {
        let (node, home) = (self.clone(), self.home(endpoint));
        let (token, tracker) = home.job();
        let work = async move {
            let filing = async {
                let filer = {
                    let mut held = home.held().await?;
                    node.capture(&home, &mut held)?;
                    let Some(capture) = &held.capture else { return Ok(()) };
                    capture.filer.pause();
                    capture.filer.clone()
                };
                let end = node.file_rest(&home, &filer).await?;
                if stopped { node.note_stopped(&home, end).await } else { Ok(()) }
            };
            let looking = async {
                if let Err(error) = node.look_up(&home).await {
                    tracing::debug!(endpoint = %home.endpoint, error = with_causes(&error), "not looked up yet");
                }
                filing.await
            };
            tokio::select! {
                result = looking => if let Err(error) = result {
                    tracing::warn!(endpoint = %home.endpoint, error = &error as &dyn std::error::Error,
                        "the rest of the WAL is not filed yet");
                },
                () = token.cancelled() => {}
            }
        };
        self.inner.scope.spawn("at-rest", tracker.track_future(work));
    }

    /// Notes where the WAL of a compute ends that has stopped, unless it is on its way again: what is read of its files
    /// then is the end of nothing. Whoever starts it says so before he asks for the directory, and that needs this lock.
    async fn note_stopped(&self, home: &Home, end: Lsn) -> Result<(), NodeError> {
        let mut held = home.held().await?;
        let state = self.inner.computes.get().map(|computes| computes.state(&home.endpoint));
        if state == Some(State::Stopped) {
            held.stopped_at = Some(end);
            home.stir();
            self.inner.look.notify_one();
        }
        Ok(())
    }
}

fn writer(resident: &Resident) -> Result<Writer, NodeError> {
    let unknown = || NodeError::Nothing(format!("PostgreSQL {} is not known", resident.pg_major));
    Ok(Writer {
        project: resident.project.clone(),
        branch: resident.branch.clone(),
        epoch: resident.epoch.unwrap_or_default(),
        timeline: resident.timeline,
        from: resident.from,
        major: Major::new(u32::from(resident.pg_major)).ok_or_else(unknown)?,
        last_commit: 0,
    })
}

#[cfg(test)]
mod tests {
    use dormouse_base::{Epoch, Timeline};
    use dormouse_storage::Store;
    use dormouse_storage::wal::reader::Reader;
    use dormouse_storage::wal::source::{Chunk, Progress, SourceError};

    use super::super::resident::Fresh;
    use super::*;
    use crate::computes::recorder::Recorder;
    use crate::directory::Directories;

    /// A compute that has less than it had.
    #[derive(Debug)]
    struct Back;

    #[async_trait::async_trait]
    impl Source for Back {
        async fn changed(&self, _: Lsn) -> bool {
            true
        }
        async fn progress(&self, _: Lsn) -> Result<Progress, SourceError> {
            Ok(Progress { upto: Lsn(50), slot_lost: false })
        }
        async fn read(&self, from: Lsn, _: Lsn) -> Result<Chunk, SourceError> {
            Ok(Chunk::Lost { until: from.plus(1) })
        }
        async fn own(&self, _: Timeline, _: Lsn, _: usize) -> Option<Vec<u8>> {
            None
        }
        async fn release(&self, _: Lsn) -> Result<(), SourceError> {
            Ok(())
        }
        async fn rest(&self, reader: Reader) -> Result<Lsn, SourceError> {
            Ok(reader.position())
        }
    }

    #[tokio::test]
    async fn what_is_on_its_way_again_has_no_end() {
        let dir = tempfile::tempdir().unwrap();
        let identity = dormouse_compute::sandbox::identity::Identity { uid: 1, gid: 1 };
        let identities = dormouse_compute::sandbox::identity::Identities::Own(identity);
        let installations = dormouse_compute::postgres::discover::Installations::default();
        let directories = Directories::open(dir.path(), installations, identities).unwrap();
        let (node, computes) = (Node::in_memory(dir.path(), directories), Arc::new(Recorder::default()));
        node.attach(Arc::clone(&computes) as Arc<dyn crate::computes::Computes>);
        let endpoint = EndpointId::generate();
        let home = node.home(&endpoint);
        for (state, known) in
            [(State::Starting, None), (State::Active, None), (State::Stopped, Some(Lsn(100)))]
        {
            computes.states.lock().insert(endpoint.clone(), state);
            node.note_stopped(&home, Lsn(100)).await.unwrap();
            assert_eq!(home.held().await.unwrap().stopped_at, known, "{state:?}");
        }
    }

    #[tokio::test]
    async fn a_directory_that_went_back_is_not_stored_and_lets_nobody_in() {
        let dir = tempfile::tempdir().unwrap();
        let identity = dormouse_compute::sandbox::identity::Identity { uid: 1, gid: 1 };
        let identities = dormouse_compute::sandbox::identity::Identities::Own(identity);
        let installations = dormouse_compute::postgres::discover::Installations::default();
        let directories = Directories::open(dir.path(), installations, identities).unwrap();
        let node = Node::in_memory(dir.path(), directories);
        let mut resident = Resident::new(Fresh::sample(0, 100), None, false);
        resident.epoch = Some(Epoch(1));
        let scope = Scope::new();
        let store = Store::new(Arc::new(object_store::memory::InMemory::new()));
        let filer =
            Filer::start(store, writer(&resident).unwrap(), Arc::new(Back), Limits::default(), &scope);
        filer.file_now(None).await.unwrap_err();
        let endpoint = EndpointId::generate();
        let home = node.home(&endpoint);
        std::fs::create_dir_all(&home.path).unwrap();
        let mut held = home.held().await.unwrap();
        (held.resident, held.capture) = (Some(resident), Some(Capture { filer, scope }));
        assert!(matches!(held.is_sound(), Err(NodeError::Busy(_))));
        drop(held);
        // A compute that comes up does not begin another filer, which would not know.
        node.begin_capture(&home).await.unwrap();
        assert!(home.held().await.unwrap().diverged().is_some());
        let published = node.publish(&endpoint).await;
        assert!(matches!(published, Err(NodeError::Busy(_))), "{published:?}");
    }
}
