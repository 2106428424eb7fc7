//! The blocking part of [`super::Hydration::begin`] and [`super::Hydration::resume`]: look at the directory, decide
//! what is present, make state, presence file and canary.
//!
//! What is present after a restart: the presence file says so when PostgreSQL runs on the directory, because the file
//! system cannot have gone away under it; otherwise the file system's own map of holes does. Bits would outlive their
//! bytes where a file system that lost writes is mounted again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use dormouse_base::rand;
use dormouse_hydrate::layout::{CANARY_NAME, CANARY_SIZE, SOCKET_NAME};
use dormouse_runtime::task::Scope;
use parking_lot::Mutex;
use rustix::fs::{Gid, OFlags};
use tokio::sync::{Notify, Semaphore, watch};

use super::anchor::Anchor;
use super::beneath::{self, Identity, Missing};
use super::filler::{Canary, Filler};
use super::handle::{HydrateError, Life, Place, Tuning, failed};
use super::metrics::Metrics;
use super::plan::{Bits, LazyFile, Plan};
use super::presence::{Presence, Row, Stamp, flags_of};
use super::source::Source;
use super::sparse::Sparse;
use super::state::{self, FORM, Mark, State, Written};
use super::{background, fill};
use crate::chunk::CHUNK;

/// Longest path of a Unix socket.
const MAX_SOCKET_PATH: usize = 107;
/// The blocking part of a beginning.
pub(super) struct Opening {
    pub(super) place: Place,
    pub(super) source: Arc<dyn Source>,
    pub(super) tuning: Tuning,
    pub(super) metrics: Metrics,
    pub(super) scope: Scope,
}

impl Opening {
    pub(super) fn begin(self, plan: Plan) -> Result<Filler, HydrateError> {
        let data = beneath::open_dir(&self.place.data).map_err(failed("open the data directory"))?;
        background::hide_control(&data).map_err(failed("hide the control file"))?;
        let identities: Vec<Identity> =
            plan.files.iter().map(|file| planned(&data, file)).collect::<Result<_, _>>()?;
        let boot = state::boot().map_err(failed("read the number of the boot"))?;
        let anchor = Anchor::of(&data).map_err(failed("look at the data directory"))?;
        let (nonce, anchor) = (rand::bytes(), Some(anchor));
        let written = Written { version: FORM, nonce, boot, plan, identities, anchor };
        let state = State::create(&self.place.state, &written).map_err(failed("write the plan"))?;
        let Written { plan, identities, .. } = written;
        let sparse =
            |(file, identity): (&LazyFile, Identity)| Sparse::new(file, identity, &file.present, file.size);
        let files = plan.files.iter().zip(identities).map(sparse).collect();
        self.assemble(data, state, files, plan.hot, Stamp { nonce, boot }, None)
    }

    pub(super) fn resume(self, life: Life) -> Result<Option<Filler>, HydrateError> {
        let Some(written) = state::read(&self.place.state).map_err(failed("read the plan"))? else {
            return Ok(None);
        };
        let state = State::open(&self.place.state).map_err(failed("open the state"))?;
        let data = beneath::open_dir(&self.place.data).map_err(failed("open the data directory"))?;
        if state.is_suspect() {
            return Err(HydrateError::Suspect);
        }
        if state.is_sealed() {
            background::release(&data, &state).map_err(failed("complete the directory"))?;
            return Ok(None);
        }
        let boot = state::boot().map_err(failed("read the number of the boot"))?;
        if (boot != written.boot || life == Life::Rests) && !state.is_durable() {
            return Err(HydrateError::NotDurable);
        }
        let anchor = Anchor::of(&data).map_err(failed("look at the data directory"))?;
        if written.anchor.is_some_and(|made| !made.is(&anchor)) {
            return Err(HydrateError::Moved);
        }
        background::hide_control(&data).map_err(failed("hide the control file"))?;
        let marks = state.watermarks().map_err(failed("read the watermarks"))?;
        let Written { plan, identities, nonce, .. } = written;
        let stamp = Stamp { nonce, boot };
        let mut chunks: Vec<u32> = plan.files.iter().map(LazyFile::chunks).collect();
        chunks.push(1);
        let reopened = match life {
            Life::Runs => Presence::reopen(&self.place.runtime, stamp, &chunks),
            Life::Rests => None,
        };
        let with_marks = plan.files.iter().zip(identities).zip(0u32..).map(|((file, identity), index)| {
            let mark = marks.get(&index).map_or(file.size, |mark| mark.bytes.min(file.size));
            (file, identity, mark)
        });
        let files = match &reopened {
            Some((_, bits)) => {
                let known = |((file, identity, mark), bits)| Sparse::new(file, identity, bits, mark);
                with_marks.zip(bits).map(known).collect()
            }
            None => all_by_holes(&data, with_marks)?,
        };
        let runs = reopened.is_some();
        let filler =
            self.assemble(data, state, files, plan.hot, stamp, reopened.map(|(presence, _)| presence))?;
        if runs {
            settle(&filler, &marks).map_err(failed("settle a truncation"))?;
        }
        Ok(Some(filler))
    }

    fn assemble(
        self,
        data: OwnedFd,
        state: State,
        files: Vec<Sparse>,
        hot: Vec<(u32, u32)>,
        stamp: Stamp,
        presence: Option<Presence>,
    ) -> Result<Filler, HydrateError> {
        let runtime = &self.place.runtime;
        if runtime.as_os_str().len() + 1 + SOCKET_NAME.len() > MAX_SOCKET_PATH {
            return Err(HydrateError::LongPath(runtime.clone()));
        }
        prepare_dir(&self.place).map_err(failed("make the directory for the socket"))?;
        let canary = open_canary(runtime).map_err(failed("make the canary"))?;
        let identity = beneath::look(&canary).map_err(failed("look at the canary"))?.identity;
        let presence = match presence {
            Some(presence) => presence,
            None => publish(runtime, stamp, &self.tuning, &files, identity)
                .map_err(failed("write the presence file"))?,
        };
        Ok(Filler {
            files,
            hot,
            presence,
            state: Arc::new(state),
            source: self.source,
            data: Arc::new(data),
            unasked: Arc::new(Semaphore::new(self.tuning.background.max(1))),
            place: self.place,
            tuning: self.tuning,
            metrics: self.metrics,
            scope: self.scope,
            flights: Mutex::default(),
            faults: AtomicUsize::new(0),
            quiet: Notify::new(),
            news: Notify::new(),
            windows: Mutex::default(),
            touched: Mutex::default(),
            filled: AtomicU64::new(0),
            canary: Canary { file: canary, pattern: Mutex::new([0; 32]) },
            complete: watch::Sender::new(false),
        })
    }
}

/// A file as the plan says, or an error.
fn planned(data: &OwnedFd, file: &LazyFile) -> Result<Identity, HydrateError> {
    let plan = |why| HydrateError::Plan { path: file.path.clone(), why };
    if file.present.len() != file.chunks() {
        return Err(plan("the list of present chunks has another length"));
    }
    let (_, found) = beneath::open_any(data, &file.path).map_err(failed("open a file of the plan"))?;
    if found.size == file.size { Ok(found.identity) } else { Err(plan("its size differs")) }
}

/// The directory for presence file, canary and socket: the server's, so that a compute cannot put something else
/// there; its group may pass, not look.
fn prepare_dir(place: &Place) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(&place.runtime) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let dir = File::from(beneath::open_dir(&place.runtime)?);
    if rustix::process::geteuid().as_raw() != place.uid {
        rustix::fs::fchown(&dir, Some(rustix::process::geteuid()), Some(Gid::from_raw(place.gid)))?;
    }
    dir.set_permissions(fs::Permissions::from_mode(0o710))
}

fn open_canary(runtime: &Path) -> io::Result<File> {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o644)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(runtime.join(CANARY_NAME))?;
    file.set_len(CANARY_SIZE)?;
    Ok(file)
}

fn publish(
    runtime: &Path,
    stamp: Stamp,
    tuning: &Tuning,
    files: &[Sparse],
    canary: Identity,
) -> io::Result<Presence> {
    let bits: Vec<Bits> = files.iter().map(Sparse::bits).collect();
    let row = |(file, bits)| row_of(file, bits);
    let mut rows: Vec<Row<'_>> = files.iter().zip(&bits).map(row).collect();
    rows.push(Row { identity: canary, size: CANARY_SIZE, chunks: 1, words: &[0], flags: 0 });
    let wait = u32::try_from(tuning.patience.as_millis()).unwrap_or(u32::MAX);
    Presence::create(runtime, stamp, wait, &rand::bytes(), &rows)
}

fn row_of<'a>(file: &Sparse, bits: &'a Bits) -> Row<'a> {
    let flags = flags_of(file);
    Row { identity: file.identity, size: file.size, chunks: file.chunks, words: bits.words(), flags }
}

/// All files of a plan by the map of holes.
fn all_by_holes<'a>(
    data: &OwnedFd,
    files: impl Iterator<Item = (&'a LazyFile, Identity, u64)>,
) -> Result<Vec<Sparse>, HydrateError> {
    let (mut found, mut replaced) = (Vec::new(), 0);
    for (file, identity, mark) in files {
        let sparse = by_holes(data, file, identity, mark).map_err(failed("read a file's map of holes"))?;
        let is_gone = sparse.gone.load(Ordering::Acquire);
        replaced += usize::from(is_gone && beneath::open_any(data, &file.path).is_ok());
        found.push(sparse);
    }
    // PostgreSQL hardly ever gives a file's name to another one, and never to all.
    if replaced > 0 && replaced == found.len() { Err(HydrateError::Moved) } else { Ok(found) }
}

/// While nothing runs: what is absent is what has holes below the watermark.
fn by_holes(data: &OwnedFd, file: &LazyFile, mut identity: Identity, mark: u64) -> io::Result<Sparse> {
    let (target, found) = match beneath::open(data, &file.path, &identity) {
        Ok(open) => open,
        Err(Missing::Gone) => {
            let sparse = Sparse::new(file, identity, &file.present, mark);
            sparse.gone.store(true, Ordering::Release);
            return Ok(sparse);
        }
        Err(Missing::Failed(error)) => return Err(error),
    };
    // The device may have another number now.
    identity.dev = found.identity.dev;
    let end = mark.min(found.size);
    let mut present = Bits::all(file.chunks());
    for (from, to) in fill::holes(&target, 0, end)? {
        let (first, last) = (from / CHUNK, (to - 1) / CHUNK);
        for chunk in (first as u32)..=(last as u32) {
            present.unset(chunk);
        }
    }
    file.present.iter().for_each(|chunk| present.set(chunk));
    Ok(Sparse::new(file, identity, &present, mark))
}

/// After a restart of the server alone: truncations that were allowed and not reported.
fn settle(filler: &Filler, marks: &BTreeMap<u32, Mark>) -> io::Result<()> {
    for (index, file) in (0u32..).zip(&filler.files) {
        let mark = file.watermark.load(Ordering::Acquire);
        let open = (file.first_behind(mark)..file.chunks).any(|chunk| !file.present(chunk));
        if mark == file.size || !open {
            continue;
        }
        if filler.is_cut(index, mark) {
            filler.own_behind(index, mark)?;
        } else {
            // What an earlier truncation cut off is PostgreSQL's own all the same.
            let before = marks.get(&index).and_then(|mark| mark.before).unwrap_or(file.size).min(file.size);
            filler.state.mark(index, before)?;
            file.watermark.store(before, Ordering::Release);
        }
    }
    Ok(())
}
