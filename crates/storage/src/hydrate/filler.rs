//! What all parts of one hydration share.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use dormouse_base::rand;
use dormouse_hydrate::layout::CANARY_SIZE;
use dormouse_runtime::task::Scope;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, watch};

use super::ahead::Window;
use super::anchor::Anchor;
use super::beneath;
use super::fill::FillResult;
use super::handle::{Place, Tuning};
use super::metrics::Metrics;
use super::presence::Presence;
use super::source::Source;
use super::sparse::Sparse;
use super::state::State;

/// Faults whose order is remembered, for the recorded boot set.
const MAX_TOUCHED: usize = 65_536;

/// Chunks on their way: who asks for one of them again waits for the same.
pub(super) type Flights = Mutex<HashMap<(u32, u32), watch::Receiver<Option<FillResult>>>>;

/// One hydration.
pub(super) struct Filler {
    pub(super) files: Vec<Sparse>,
    /// Chunks to fetch before all others.
    pub(super) hot: Vec<(u32, u32)>,
    pub(super) presence: Presence,
    pub(super) state: Arc<State>,
    pub(super) source: Arc<dyn Source>,
    /// The data directory.
    pub(super) data: Arc<OwnedFd>,
    pub(super) place: Place,
    pub(super) tuning: Tuning,
    pub(super) metrics: Metrics,
    pub(super) scope: Scope,
    pub(super) flights: Flights,
    /// Faults being served now; the background steps aside for them.
    pub(super) faults: AtomicUsize,
    pub(super) quiet: Notify,
    /// Something changed that the background should look at.
    pub(super) news: Notify,
    pub(super) windows: Mutex<HashMap<u32, Window>>,
    /// Bounds chunks that nobody waits for.
    pub(super) unasked: Arc<Semaphore>,
    pub(super) touched: Mutex<Vec<(u32, u32)>>,
    pub(super) filled: AtomicU64,
    pub(super) canary: Canary,
    pub(super) complete: watch::Sender<bool>,
}

/// The page that the front reads at each start.
pub(super) struct Canary {
    pub(super) file: File,
    pub(super) pattern: Mutex<[u8; 32]>,
}

impl Canary {
    /// The index of its entry.
    pub(super) fn index(filler: &Filler) -> u32 {
        filler.files.len() as u32
    }

    /// Makes it absent again, with new contents.
    pub(super) fn arm(filler: &Filler) -> std::io::Result<()> {
        let pattern = rand::bytes();
        *filler.canary.pattern.lock() = pattern;
        filler.presence.store(filler.files.len(), 0)?;
        filler.canary.file.set_len(0)?;
        filler.canary.file.set_len(CANARY_SIZE)?;
        filler.presence.canary(&pattern)
    }

    /// Fills it, because the front asked.
    pub(super) fn fill(filler: &Filler) -> std::io::Result<()> {
        let pattern = *filler.canary.pattern.lock();
        let page = pattern.repeat(CANARY_SIZE as usize / pattern.len());
        filler.canary.file.write_all_at(&page, 0)?;
        filler.presence.store(filler.files.len(), 1)
    }
}

impl Filler {
    /// Whether nothing is absent.
    pub(super) fn all_present(&self) -> bool {
        self.files.iter().all(Sparse::done)
    }

    /// Whether the path of the data directory still leads to what is filled: its files are read and started on by
    /// that path. Blocks, for a moment.
    pub(super) fn is_in_place(&self) -> std::io::Result<bool> {
        match beneath::open_dir(&self.place.data) {
            Ok(data) => Ok(Anchor::of(&self.data)?.is(&Anchor::of(&data)?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Notes a fault for the recorded boot set.
    pub(super) fn touch(&self, file: u32, chunk: u32) {
        let mut touched = self.touched.lock();
        if touched.len() < MAX_TOUCHED {
            touched.push((file, chunk));
        }
    }

    /// A file has no path any more.
    pub(super) fn mark_gone(&self, file: u32) {
        let sparse = &self.files[file as usize];
        if !sparse.gone.swap(true, Ordering::AcqRel) {
            tracing::debug!(path = sparse.path, "a file with holes is gone");
            self.publish_flags(file);
            self.news.notify_one();
        }
    }

    /// Tells the front about the state of a file. An old flag only costs it a look at the bits.
    pub(super) fn publish_flags(&self, file: u32) {
        let flags = super::presence::flags_of(&self.files[file as usize]);
        if let Err(error) = self.presence.flag(file as usize, flags) {
            tracing::warn!(%error, "the presence file cannot be written");
        }
    }
}
