//! Everything that nobody asked for yet, hot chunks first; and the end of the hydration.
//!
//! A full disk or a store that is away means to wait and to go on; only what the disk refused to synchronise is given
//! up. Faults come first: no
//! further chunk is begun while one is served (for a moment at most, or a busy database would never be done).
//!
//! Hot chunks are different: they are what a recovery is about to touch, in its order. They are fetched at once,
//! side by side, and do not step aside, because the fault that is served is for one of the next. A recovery
//! that asks for one chunk after the other would wait for the store once for each.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_hydrate::layout::{CONTROL, HIDDEN_CONTROL};
use dormouse_runtime::failpoint::{hit, hit_blocking};
use parking_lot::Mutex;
use rustix::io::Errno;
use tokio::sync::OwnedSemaphorePermit;

use super::beneath;
use super::fill::Unfilled;
use super::filler::Filler;
use super::handle::HydrateError;

/// How long one chunk steps aside for faults.
const STEP_ASIDE: Duration = Duration::from_millis(20);
/// Pause after a round; doubles up to the longest as long as something fails.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The longest while the disk is full: somebody is probably making room.
const LONGEST_PAUSE_FULL: Duration = Duration::from_secs(5);

/// How a round of all absent chunks went; the worst counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Round {
    /// What is left is on its way, or belongs to a file that is being cut.
    Clean,
    /// Some chunks could not be had.
    Failed,
    /// No disk space; the round ended early.
    Full,
}

/// Runs until all is present or the scope ends.
pub(super) async fn run(filler: Arc<Filler>) {
    let stopping = filler.scope.token();
    tokio::select! {
        () = finish(&filler) => {}
        () = stopping.cancelled() => {}
    }
}

async fn finish(filler: &Arc<Filler>) {
    let rested = async {
        if let Err(error) = make_durable(filler).await {
            tracing::warn!(%error, "the new directory could not be synchronised");
        }
        tokio::time::sleep(filler.tuning.rest).await;
    };
    tokio::join!(rested, hot(filler));
    let mut pause = FIRST_PAUSE;
    // What the disk refused once is not worth a chunk more than somebody waits for.
    while !filler.state.is_suspect() {
        let round = if filler.tuning.background > 0 { round(filler).await } else { Round::Clean };
        if filler.all_present() {
            match seal(filler).await {
                Ok(()) => return,
                // Whoever stops it may be about to remove the directory.
                Err(_) if filler.scope.token().is_cancelled() => return,
                Err(error) => tracing::error!(%error, "the hydration cannot be completed; trying again"),
            }
        }
        let _early = tokio::time::timeout(pause, filler.news.notified()).await;
        pause = match round {
            Round::Clean => FIRST_PAUSE,
            Round::Failed => (pause * 2).min(LONGEST_PAUSE),
            Round::Full => (pause * 2).min(LONGEST_PAUSE_FULL),
        };
    }
    tracing::error!(data = %filler.place.data.display(), "the disk refused a part of a directory; it is never completed");
}

/// The directory as it was made goes to the disk, which nobody has to wait for.
pub(super) async fn make_durable(filler: &Arc<Filler>) -> io::Result<()> {
    if filler.state.is_durable() && !filler.state.is_suspect() {
        return Ok(());
    }
    let worker = Arc::clone(filler);
    let work = move || {
        hit_blocking("hydrate.durable.before_sync")?;
        worker.state.make_durable(&worker.data)
    };
    filler.scope.blocking(work).await
}

/// Asks for the hot chunks once; those that cannot be had now are left to the rounds.
async fn hot(filler: &Arc<Filler>) {
    if filler.tuning.background > 0 && !filler.hot.is_empty() {
        let began = Mono::now();
        ask(filler, filler.hot.iter().copied(), false).await;
        let (chunks, time) = (filler.hot.len(), began.elapsed());
        tracing::debug!(chunks, ?time, "what a recovery touches was fetched ahead of it");
    }
}

/// Asks for every absent chunk once.
async fn round(filler: &Arc<Filler>) -> Round {
    let all =
        (0u32..).zip(&filler.files).flat_map(|(file, sparse)| (0..sparse.chunks).map(move |c| (file, c)));
    ask(filler, all, true).await
}

/// Asks for those of these chunks that are absent.
async fn ask(filler: &Arc<Filler>, chunks: impl Iterator<Item = (u32, u32)>, polite: bool) -> Round {
    let worst = Arc::new(Mutex::new(Round::Clean));
    for (file, chunk) in chunks {
        let Some(sparse) = filler.files.get(file as usize) else { continue };
        if chunk >= sparse.chunks || sparse.present(chunk) || sparse.gone.load(Ordering::Acquire) {
            continue;
        }
        if polite {
            step_aside(filler).await;
        }
        let Ok(place) = Arc::clone(&filler.unasked).acquire_owned().await else { break };
        if *worst.lock() == Round::Full {
            break;
        }
        let (worker, worst) = (Arc::clone(filler), Arc::clone(&worst));
        filler.scope.spawn("background", async move {
            let _place: OwnedSemaphorePermit = place;
            let round = match worker.fill(file, chunk).await {
                Ok(()) | Err(Unfilled::Gone | Unfilled::Stopping) => Round::Clean,
                Err(Unfilled::Failed) => Round::Failed,
                Err(Unfilled::Full) => Round::Full,
            };
            let mut worst = worst.lock();
            *worst = round.max(*worst);
        });
    }
    // All places free again: the last ones have landed.
    let all = u32::try_from(filler.tuning.background.max(1)).unwrap_or(u32::MAX);
    let _landed = filler.unasked.acquire_many(all).await;
    *worst.lock()
}

async fn step_aside(filler: &Filler) {
    let quiet = filler.quiet.notified();
    if filler.faults.load(Ordering::Acquire) > 0 {
        let _at_most = tokio::time::timeout(STEP_ASIDE, quiet).await;
    }
}

/// All is present: make it durable, give the control file its name back, forget the plan. Each step may be the last
/// one before a crash; [`super::Hydration::resume`] then does it again.
async fn seal(filler: &Arc<Filler>) -> io::Result<()> {
    hit("hydrate.complete.before_sync").await?;
    let worker = Arc::clone(filler);
    let work = move || {
        if !worker.is_in_place()? {
            return Err(io::Error::other(HydrateError::Moved));
        }
        worker.state.synchronise(&worker.data)?;
        hit_blocking("hydrate.complete.before_seal")?;
        worker.state.note_sealed()?;
        release(&worker.data, &worker.state)?;
        worker.presence.complete()
    };
    filler.scope.blocking(work).await?;
    tracing::info!(data = %filler.place.data.display(), "all data is present");
    filler.metrics.running.dec();
    filler.complete.send_replace(true);
    Ok(())
}

/// The steps after the seal. From the first on PostgreSQL can start without the front, and may.
pub(super) fn release(data: &OwnedFd, state: &super::state::State) -> io::Result<()> {
    hit_blocking("hydrate.complete.before_rename")?;
    unhide_control(data)?;
    hit_blocking("hydrate.complete.after_rename")?;
    state.finish()
}

fn control_parts() -> (&'static str, &'static str) {
    CONTROL.rsplit_once('/').expect("the control file is in a directory")
}

/// Puts the control file where PostgreSQL finds it.
fn unhide_control(data: &OwnedFd) -> io::Result<()> {
    let (dir, name) = control_parts();
    let dir = beneath::open_dir_beneath(data, dir)?;
    match rustix::fs::renameat(data, HIDDEN_CONTROL, &dir, name) {
        // A crash came between this and forgetting the plan.
        Err(Errno::NOENT) => {}
        other => other?,
    }
    rustix::fs::fsync(&dir)?;
    Ok(rustix::fs::fsync(data)?)
}

/// Takes the control file away, before the first hole is believed in. It need not be on the disk before the holes
/// are: a directory that the machine's power cut short is made again.
pub(super) fn hide_control(data: &OwnedFd) -> io::Result<()> {
    let (dir, name) = control_parts();
    let dir = beneath::open_dir_beneath(data, dir)?;
    // Whoever made the directory may have hidden it already, there or where it stays.
    for from in [name, HIDDEN_CONTROL] {
        match rustix::fs::renameat(&dir, from, data, HIDDEN_CONTROL) {
            Ok(()) => break,
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
