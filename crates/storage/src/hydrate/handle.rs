//! What the rest of the server sees of a hydration.
//!
//! One value per directory with holes, from the moment it was made to the moment nothing is missing. It does not
//! start PostgreSQL: it gives the environment that PostgreSQL has to be started with.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dormouse_hydrate::layout::{DIR_VARIABLE, SOCKET_NAME, WAIT_MILLIS};
use dormouse_runtime::task::{Scope, blocking};
use tokio::sync::watch;

use super::filler::{Canary, Filler};
use super::metrics::Metrics;
use super::opening::Opening;
use super::plan::{Bits, Plan};
use super::source::Source;
use super::{background, serve, state};

/// How long [`Hydration::stop`] waits for what is being written.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Where things are.
#[derive(Debug, Clone)]
pub struct Place {
    /// The data directory.
    pub data: PathBuf,
    /// The server's own directory beside it, for what has to survive a restart. Made if missing.
    pub state: PathBuf,
    /// A directory for presence file and socket, best on a tmpfs (`/dev/shm/…`, `/run/…`); made if missing. Its path
    /// is short (a socket's path has 107 bytes) and stays the same as long as PostgreSQL runs. It belongs to the
    /// server; the compute's group may pass through. On another file system it works as well: the bits carry the
    /// number of the boot they were made in, and count for a PostgreSQL that runs only.
    pub runtime: PathBuf,
    /// The compute's user.
    pub uid: u32,
    /// The compute's group.
    pub gid: u32,
}

/// What may be chosen.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// How long a read waits for its chunk before it fails.
    pub patience: Duration,
    /// Chunks in flight that nobody waits for: read-ahead and background. 0 = only what is asked for.
    pub background: usize,
    /// How long the background waits at first, with all but the hot chunks: a start needs processors and disk more
    /// than it does.
    pub rest: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { patience: Duration::from_millis(u64::from(WAIT_MILLIS)), background: 64, rest: Duration::ZERO }
    }
}

/// Whether PostgreSQL runs on a directory when the server takes it up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// It does, or some process of it. It keeps the file system where it is, so bits and bytes belong together.
    Runs,
    /// Nothing does, and what happened to the file system meanwhile is not known.
    Rests,
}

/// A hydration cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum HydrateError {
    /// A step failed.
    #[error("hydration: cannot {what}")]
    Failed {
        /// The step.
        what: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A file of the plan is not as planned.
    #[error("hydration: {path} is not as planned: {why}")]
    Plan {
        /// The file.
        path: String,
        /// What is wrong.
        why: &'static str,
    },
    /// The path of the runtime directory is too long for a socket.
    #[error("hydration: the path {} is too long", .0.display())]
    LongPath(PathBuf),
    /// The machine stopped before the new directory had reached its disk: it has to be made again.
    #[error("hydration: the directory was lost before it was durable; restore it again")]
    NotDurable,
    /// The directory is another one than was begun with: in a copy nothing tells a hole from zeros that were written.
    /// Nothing of it may be started on or stored.
    #[error("hydration: the directory was copied or moved while parts of it were in the store only")]
    Moved,
    /// The disk refused a part of the directory, and nobody can tell which: it has to be made again.
    #[error("hydration: the disk refused a part of the directory")]
    Suspect,
}

pub(super) fn failed(what: &'static str) -> impl FnOnce(io::Error) -> HydrateError {
    move |source| HydrateError::Failed { what, source }
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Chunks of all files.
    pub chunks: u64,
    /// Those that are absent; chunks of files that are gone do not count.
    pub absent: u64,
    /// Bytes written into holes by this server.
    pub filled: u64,
}

/// A directory with holes, and the tasks that fill it.
pub struct Hydration {
    filler: Arc<Filler>,
    names: HashMap<String, u32>,
}

impl std::fmt::Debug for Hydration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hydration").field("data", &self.filler.place.data).finish_non_exhaustive()
    }
}

/// The plan of a directory with holes, as it was begun; `None` when the directory has none. For rebuilding the
/// [`Source`] before [`Hydration::resume`]. Blocks.
///
/// # Errors
/// When there is a plan that cannot be read.
pub fn stored_plan(state: &Path) -> Result<Option<Plan>, HydrateError> {
    let written = state::read(state).map_err(failed("read the plan"))?;
    Ok(written.map(|written| written.plan))
}

impl Hydration {
    /// Takes over a directory that was just made: all files of the plan exist with their size and owner, chunks
    /// flagged present are written. The control file is hidden here (as `layout::HIDDEN_CONTROL`), if it was not made so; a directory with a hidden
    /// control file and no plan is an unfinished one, to be made again. `runtime` is PostgreSQL's only link to
    /// this value: keep both until it has ended.
    ///
    /// # Errors
    /// When files are not as planned, or presence file, socket or state cannot be made.
    pub async fn begin(
        place: Place,
        plan: Plan,
        source: Arc<dyn Source>,
        tuning: Tuning,
        metrics: Metrics,
        scope: &Scope,
    ) -> Result<Self, HydrateError> {
        let opening = Opening { place, source, tuning, metrics, scope: scope.child() };
        let filler = blocking(move || opening.begin(plan)).await?;
        Self::start(filler)
    }

    /// Goes on after a restart of the server (PostgreSQL may be running) or of the machine (it is not). `None`: the
    /// directory has no holes. `source` must answer for the plan that [`stored_plan`] gives. When in doubt `life` is
    /// what an adoption of PostgreSQL would find: a running one keeps the presence file that it has mapped.
    ///
    /// # Errors
    /// [`HydrateError::NotDurable`], [`HydrateError::Moved`], [`HydrateError::Suspect`], or when presence file, socket or state cannot be made.
    pub async fn resume(
        place: Place,
        life: Life,
        source: Arc<dyn Source>,
        tuning: Tuning,
        metrics: Metrics,
        scope: &Scope,
    ) -> Result<Option<Self>, HydrateError> {
        let opening = Opening { place, source, tuning, metrics, scope: scope.child() };
        blocking(move || opening.resume(life)).await?.map(Self::start).transpose()
    }

    fn start(filler: Filler) -> Result<Self, HydrateError> {
        let filler = Arc::new(filler);
        let listener = serve::bind(&filler).map_err(failed("make the socket"))?;
        filler.metrics.running.inc();
        filler.scope.spawn("hydration-socket", serve::accept(Arc::clone(&filler), listener));
        filler.scope.spawn("hydration-background", background::run(Arc::clone(&filler)));
        let names = filler.files.iter().zip(0..).map(|(file, index)| (file.path.clone(), index)).collect();
        Ok(Self { filler, names })
    }

    /// The variables for one start of PostgreSQL, with the front at `front` ([`super::install_front`]). Empty when
    /// nothing is missing any more. Call it for each start: it lays out a fresh canary.
    ///
    /// # Errors
    /// When the canary cannot be laid out.
    pub fn environment(&self, front: &Path) -> Result<Vec<(String, String)>, HydrateError> {
        if self.is_complete() {
            return Ok(Vec::new());
        }
        Canary::arm(&self.filler).map_err(failed("lay out the canary"))?;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        Ok(vec![
            ("LD_PRELOAD".to_owned(), text(front)),
            (DIR_VARIABLE.to_owned(), text(&self.filler.place.runtime)),
        ])
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let chunks = self.filler.files.iter().map(|file| u64::from(file.chunks)).sum();
        let open = self.filler.files.iter().filter(|file| !file.gone.load(Ordering::Acquire));
        let absent = open.map(|file| u64::from(file.absent())).sum();
        Progress { chunks, absent, filled: self.filler.filled.load(Ordering::Relaxed) }
    }

    /// Becomes true when nothing is missing and the directory is an ordinary one.
    #[must_use]
    pub fn complete(&self) -> watch::Receiver<bool> {
        self.filler.complete.subscribe()
    }

    /// Whether nothing is missing and the directory is an ordinary one.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        *self.filler.complete.borrow()
    }

    /// The number of a file in the plan, by its path relative to the data directory.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<u32> {
        self.names.get(path).copied()
    }

    /// The chunks of a file that are absent: whoever reads the file without the front reads zeros there. A snapshot
    /// keeps the reference it has for them. Ask *before* reading: a chunk that is present stays present. Of another
    /// file that has taken the path nothing is absent.
    #[must_use]
    pub fn missing(&self, number: u32) -> Bits {
        let Some(file) = self.filler.files.get(number as usize) else { return Bits::none(0) };
        let mut missing = Bits::none(file.chunks);
        if file.absent() == 0 || self.filler.is_gone(number) {
            return missing;
        }
        let present = file.bits();
        (0..file.chunks).filter(|chunk| !present.get(*chunk)).for_each(|chunk| missing.set(chunk));
        missing
    }

    /// The chunks that PostgreSQL waited for, in order, since this server took over: what the next start should have.
    #[must_use]
    pub fn touched(&self) -> Vec<(u32, u32)> {
        self.filler.touched.lock().clone()
    }

    /// The same by path, for the boot set of the next snapshot.
    #[must_use]
    pub fn touched_paths(&self) -> Vec<(String, u32)> {
        let path =
            |(file, chunk): (u32, u32)| Some((self.filler.files.get(file as usize)?.path.clone(), chunk));
        self.touched().into_iter().filter_map(path).collect()
    }

    /// The directory as it was made is on the disk: from then on the loss of the machine's power costs nothing
    /// that PostgreSQL acknowledged. Before that nobody may be let in.
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn make_durable(&self) -> Result<(), HydrateError> {
        background::make_durable(&self.filler).await.map_err(failed("write the new directory to the disk"))
    }

    /// Whether the path of the data directory still leads to the directory that is filled. Ask before it is read by that
    /// path: what [`Self::missing`] says is true of no other one. Blocks, for a moment.
    ///
    /// # Errors
    /// [`HydrateError::Moved`], or when nobody can tell.
    pub fn in_place(&self) -> Result<(), HydrateError> {
        match self.filler.is_in_place().map_err(failed("look at the data directory"))? {
            true => Ok(()),
            false => Err(HydrateError::Moved),
        }
    }

    /// Whether the disk refused a part of the directory: it is never completed, and nothing of it may be stored.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.filler.state.is_suspect()
    }

    /// What a cage has to let PostgreSQL read, besides the front itself.
    #[must_use]
    pub fn reach(&self) -> &Path {
        &self.filler.place.runtime
    }

    /// Stops filling; PostgreSQL's reads of absent chunks wait for a [`Self::resume`]. After it nothing of this value
    /// touches the directory any more. Tells whether all tasks ended.
    pub async fn stop(&self) -> bool {
        let all = self.filler.scope.close(STOP_WITHIN).await;
        let _may_be_gone = fs::remove_file(self.filler.place.runtime.join(SOCKET_NAME));
        if !self.is_complete() {
            self.filler.metrics.running.dec();
        }
        all
    }
}
