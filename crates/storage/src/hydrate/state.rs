//! What survives a restart of the server or of the machine: a directory of the server's beside the data.
//!
//! * `plan`: the files and their inodes. Its existence *is* the mark "this directory has holes".
//! * `watermarks`: grows by a line at each truncation, synchronised before PostgreSQL may truncate; the last line
//!   of a file counts, a torn one does not.
//! * `sealed`: all is present and on the disk; only the control file's name and this directory are to be tidied.
//! * `durable`: the directory as it was made has reached the disk, and the plan with it. Without it a machine that lost its power has
//!   nothing to go on with, and the directory has to be made again.
//! * `suspect`: the disk refused a synchronisation. The kernel takes what it could not write for written, so that the
//!   next synchronisation says yes: nothing after the first refusal is believed, and the directory is made again.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use dormouse_runtime::failpoint::hit_blocking;
use parking_lot::Mutex;
use rustix::fs::{AtFlags, Mode, OFlags};
use serde::{Deserialize, Serialize};

use super::anchor::Anchor;
use super::beneath::Identity;
use super::handle::HydrateError;
use super::plan::Plan;

const PLAN: &str = "plan";
const WATERMARKS: &str = "watermarks";
const DURABLE: &str = "durable";
const SEALED: &str = "sealed";
const SUSPECT: &str = "suspect";

/// The largest plan that is read: about sixteen million chunks.
const MAX_PLAN: u64 = 256 * 1024 * 1024;

/// What is written once.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Written {
    /// Raised when the form changes.
    pub(super) version: u32,
    pub(super) nonce: [u8; 16],
    /// The boot in which the directory was made.
    pub(super) boot: [u8; 16],
    pub(super) plan: Plan,
    pub(super) identities: Vec<Identity>,
    /// What the directory is known by; `None` in what was written before there were anchors.
    #[serde(default)]
    pub(super) anchor: Option<Anchor>,
}

/// The state directory, open, with the watermark log open. It is this directory for ever: what ends late, after it was
/// removed, fails instead of saying something of the one that came after it.
#[derive(Debug)]
pub(super) struct State {
    dir: File,
    log: Mutex<File>,
    /// A refusal is told to one of those who ask at once, so one asks at a time.
    sync: Mutex<()>,
    suspect: AtomicBool,
}

/// A file's watermark, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) bytes: u64,
    /// The last one that was another; `None`: the file as it was planned.
    pub(super) before: Option<u64>,
}

impl Mark {
    fn before_another(self, bytes: u64) -> Option<u64> {
        if self.bytes == bytes { self.before } else { Some(self.bytes) }
    }
}

/// The form of `plan`.
pub(super) const FORM: u32 = 1;

/// The machine's current boot.
pub(super) fn boot() -> io::Result<[u8; 16]> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let number = u128::from_str_radix(&digits, 16).map_err(io::Error::other)?;
    Ok(number.to_be_bytes())
}

/// Reads the plan; `None` when there is none, so the directory has no holes.
pub(super) fn read(dir: &Path) -> io::Result<Option<Written>> {
    let path = dir.join(PLAN);
    match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
        Ok(meta) if meta.len() > MAX_PLAN => return Err(io::Error::other("the plan is too large")),
        Ok(_) => {}
    }
    let written: Written = serde_json::from_slice(&fs::read(&path)?).map_err(io::Error::other)?;
    let fits = written.version == FORM && written.identities.len() == written.plan.files.len();
    let fits = fits && written.plan.files.iter().all(|file| file.present.len() == file.chunks());
    if fits { Ok(Some(written)) } else { Err(io::Error::other("the plan is of another version")) }
}

impl State {
    /// Writes the plan of a directory that was just made. It reaches the disk together with that directory
    /// ([`Self::note_durable`]): before, a machine that loses its power has nothing to go on with anyway, and a
    /// start would wait for the disk twice for nothing.
    pub(super) fn create(dir: &Path, written: &Written) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        for old in [DURABLE, SEALED, SUSPECT, WATERMARKS] {
            match fs::remove_file(dir.join(old)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let bytes = serde_json::to_vec(written).map_err(io::Error::other)?;
        let new = dir.join("plan.new");
        let mut file = File::create(&new)?;
        file.write_all(&bytes)?;
        hit_blocking("hydrate.plan.before_rename")?;
        let state = Self::open(dir)?;
        fs::rename(&new, dir.join(PLAN))?;
        hit_blocking("hydrate.plan.after_rename")?;
        Ok(state)
    }

    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let log = File::options().append(true).create(true).open(dir.join(WATERMARKS))?;
        let state = Self {
            dir: File::open(dir)?,
            log: Mutex::new(log),
            sync: Mutex::default(),
            suspect: AtomicBool::new(false),
        };
        state.suspect.store(state.has(SUSPECT), Ordering::Release);
        Ok(state)
    }

    fn make(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::openat(&self.dir, name, flags, Mode::from_raw_mode(0o644))?))
    }

    fn has(&self, name: &str) -> bool {
        rustix::fs::statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.dir, name, AtFlags::empty())?)
    }

    /// The watermarks that were set, by file.
    pub(super) fn watermarks(&self) -> io::Result<BTreeMap<u32, Mark>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let mut text = Vec::new();
        File::from(rustix::fs::openat(&self.dir, WATERMARKS, flags, Mode::empty())?)
            .read_to_end(&mut text)?;
        let mut marks = BTreeMap::<u32, Mark>::new();
        for (file, bytes) in text.split_inclusive(|byte| *byte == b'\n').filter_map(parse) {
            let before = marks.get(&file).and_then(|mark| mark.before_another(bytes));
            marks.insert(file, Mark { bytes, before });
        }
        Ok(marks)
    }

    /// Makes a watermark durable.
    pub(super) fn mark(&self, file: u32, bytes: u64) -> io::Result<()> {
        let body = format!("{file} {bytes}");
        let sum = crc32c::crc32c(body.as_bytes());
        let mut log = self.log.lock();
        hit_blocking("hydrate.watermark.before_write")?;
        // Begins with a line end: a line that was torn by a crash before must not swallow this one.
        log.write_all(format!("\n{body} {sum:08x}\n").as_bytes())?;
        hit_blocking("hydrate.watermark.before_sync")?;
        log.sync_data()?;
        hit_blocking("hydrate.watermark.after_sync")
    }

    /// Writes all of a directory's file system to the disk, unless it was refused before.
    pub(super) fn synchronise(&self, data: &OwnedFd) -> io::Result<()> {
        let _alone = self.sync.lock();
        self.ask(data)
    }

    /// Writes a new directory to the disk and notes that. Who comes second has nothing left to do.
    pub(super) fn make_durable(&self, data: &OwnedFd) -> io::Result<()> {
        let _alone = self.sync.lock();
        if self.is_durable() && !self.is_suspect() {
            return Ok(());
        }
        self.ask(data)?;
        hit_blocking("hydrate.durable.after_sync")?;
        self.note_durable()
    }

    fn ask(&self, data: &OwnedFd) -> io::Result<()> {
        if self.is_suspect() {
            return Err(io::Error::other(HydrateError::Suspect));
        }
        let synced = hit_blocking("hydrate.sync.asks").and_then(|()| Ok(rustix::fs::syncfs(data)?));
        if synced.is_err() {
            self.suspect.store(true, Ordering::Release);
            // For the next server. A disk that does not take this either is lost with its machine's memory.
            let noted =
                self.make(SUSPECT).and_then(|file| file.sync_all()).and_then(|()| self.dir.sync_all());
            if let Err(error) = noted {
                tracing::error!(%error, "a refusal of the disk cannot be noted");
            }
        }
        synced
    }

    /// Whether the disk refused something once.
    pub(super) fn is_suspect(&self) -> bool {
        self.suspect.load(Ordering::Acquire)
    }

    /// Notes that the directory as it was made is on the disk.
    fn note_durable(&self) -> io::Result<()> {
        self.make(DURABLE)?.sync_all()?;
        self.dir.sync_all()
    }

    pub(super) fn is_durable(&self) -> bool {
        self.has(DURABLE)
    }

    /// Notes that nothing is missing.
    pub(super) fn note_sealed(&self) -> io::Result<()> {
        self.make(SEALED)?.sync_all()?;
        self.dir.sync_all()
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.has(SEALED)
    }

    /// Forgets everything: the directory has no holes any more.
    pub(super) fn finish(&self) -> io::Result<()> {
        self.remove(PLAN)?;
        self.dir.sync_all()?;
        hit_blocking("hydrate.complete.after_unmark")?;
        for rest in [DURABLE, SEALED, WATERMARKS] {
            let _may_be_missing = self.remove(rest);
        }
        Ok(())
    }
}

fn parse(line: &[u8]) -> Option<(u32, u64)> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (body, sum) = line.rsplit_once(' ')?;
    if format!("{:08x}", crc32c::crc32c(body.as_bytes())) != sum {
        return None;
    }
    let (file, bytes) = body.split_once(' ')?;
    Some((file.parse().ok()?, bytes.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_watermark_does_not_count_and_does_not_harm() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path()).unwrap();
        state.mark(3, 8192).unwrap();
        state.log.lock().write_all(b"\n3 0 123").unwrap();
        assert_eq!(state.watermarks().unwrap(), BTreeMap::from([(3, Mark { bytes: 8192, before: None })]));
        state.mark(3, 4096).unwrap();
        state.mark(4, 0).unwrap();
        state.mark(3, 4096).unwrap();
        let (third, fourth) = (Mark { bytes: 4096, before: Some(8192) }, Mark { bytes: 0, before: None });
        assert_eq!(state.watermarks().unwrap(), BTreeMap::from([(3, third), (4, fourth)]));
    }

    #[test]
    fn what_ends_late_says_nothing_of_the_next_directory() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("hydrate");
        fs::create_dir(&place).unwrap();
        let late = State::open(&place).unwrap();
        fs::remove_dir_all(&place).unwrap();
        fs::create_dir(&place).unwrap();
        fs::write(place.join(PLAN), "the next one's").unwrap();
        let next = State::open(&place).unwrap();
        assert!(late.note_sealed().is_err() && late.note_durable().is_err() && late.finish().is_err());
        assert!(!next.is_sealed() && !next.is_durable() && place.join(PLAN).exists());
    }

    #[test]
    fn the_boot_has_a_number() {
        assert_ne!(boot().unwrap(), [0; 16]);
        assert!(read(tempfile::tempdir().unwrap().path()).unwrap().is_none());
    }
}
