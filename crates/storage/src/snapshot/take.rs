//! The two ways to take a snapshot, step by step.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use dormouse_base::clock::{self, Mono};
use dormouse_base::{Lsn, Timeline};
use dormouse_runtime::{failpoint, task};

use super::collect::Collector;
use super::control_file::{self, ControlFile, State};
use super::error::SnapshotError;
use super::plan::{self, How, Inputs, Plan};
use super::scan::{Found, Listing, Root};
use super::state;
use super::wal_end::{self, WAL_PAGE};
use super::worker::{self, Shared};
use super::{Backup, MAX_THREADS, Places, Request, Taken};
use crate::branch::record::SnapshotKind;
use crate::key::Key;
use crate::manifest::{Directory, FileEntry, Header, Manifest, WalPages};
use crate::pack::{PackReader, PackWriter};

/// How often a control file that is being written is read again.
const CONTROL_READS: u32 = 20;

/// Takes a snapshot of a stopped cluster.
///
/// # Errors
/// [`SnapshotError::Cancelled`] when it was; otherwise what is wrong with the cluster, disk or store.
pub async fn clean(request: Request) -> Result<Taken, SnapshotError> {
    let started = Mono::now();
    let root = Arc::new(Root::open(&request.dir)?);
    let told = request.missing.is_some();
    let (page, control) = blocking(&root, move |root| read_whole_control(root, told)).await?;
    if control.state != State::ShutDown {
        let number = if let State::Other(state) = control.state { state } else { 2 };
        return Err(SnapshotError::NotClean(number));
    }
    let (lsn, wal) = blocking(&root, move |root| wal_of_start(root, &control)).await?;
    let header = header(&request, &root, &control, SnapshotKind::Clean, lsn).await?;
    let mut copied = copy(&request, &root, header, None).await?;
    let (again, _) = blocking(&root, read_control).await?;
    if again != page {
        return Err(SnapshotError::Changed { path: control_file::PATH.to_owned() });
    }
    copied.control(&page, request.options.level).await?;
    copied.manifest.wal = wal;
    copied.publish(request, started).await
}

/// Takes a snapshot of a running cluster.
///
/// # Errors
/// As [`clean`], and when the backup cannot be started or stopped.
pub async fn online(request: Request, backup: &mut dyn Backup) -> Result<Taken, SnapshotError> {
    let started = Mono::now();
    let root = Arc::new(Root::open(&request.dir)?);
    let told = request.missing.is_some();
    blocking(&root, move |root| read_whole_control(root, told)).await?;
    let start = backup.start().await.map_err(|source| SnapshotError::Backup { what: "start", source })?;
    failpoint::hit("snapshot.online.started").await.map_err(SnapshotError::Interrupted)?;
    let (_, control) = blocking(&root, read_control).await?;
    let mut header = header(&request, &root, &control, SnapshotKind::Online, Lsn::ZERO).await?;
    (header.redo, header.timeline) = (start.redo, start.timeline);
    let mut copied = copy(&request, &root, header, Some(start.redo)).await?;
    // Last, as pg_basebackup does: it must not be older than any page that was copied.
    let (page, control) = blocking(&root, read_control).await?;
    failpoint::hit("snapshot.online.copied").await.map_err(SnapshotError::Interrupted)?;
    let stop = backup.stop().await.map_err(|source| SnapshotError::Backup { what: "stop", source })?;
    if !stop.tablespace_map.trim().is_empty() {
        return Err(SnapshotError::Tablespace { path: "pg_tblspc".to_owned() });
    }
    copied.manifest.header.lsn = stop.lsn;
    // No commit before that position is younger: the window of the past relies on it.
    copied.manifest.header.taken_at = clock::now();
    copied.manifest.header.checkpoint = control.checkpoint;
    copied.control(&page, request.options.level).await?;
    let label = stop.backup_label.as_bytes();
    let label = copied.collector.small("backup_label", 0o600, label, request.options.level).await?;
    copied.manifest.files.push(label);
    copied.publish(request, started).await
}

/// Remembers what a directory looks like that was just made from `manifest_key`, and that nothing has
/// used yet; its first snapshot is then as quick as any later one.
///
/// # Errors
/// When the directory cannot be listed or the file cannot be written.
pub async fn remember(dir: &Path, manifest_key: &Key, state: &Path) -> Result<(), SnapshotError> {
    let root = Arc::new(Root::open(dir)?);
    let (key, state) = (manifest_key.clone(), state.to_owned());
    let scanned_at = now();
    blocking(&root, move |root| {
        let listing = root.list()?;
        let files = listing.files.iter();
        let files = files.map(|f| (f.path.as_str(), state::Remembered::scanned(f, scanned_at)));
        state::State::save(&state, &key, files)
            .map_err(|e| SnapshotError::file("write", &state.display().to_string(), e))
    })
    .await
}

/// How a cluster was left that was stopped cleanly.
#[derive(Debug, Clone)]
pub struct Left {
    /// Where its WAL ends: its next start writes from there on.
    pub end: Lsn,
    /// The timeline that it goes on with.
    pub timeline: Timeline,
    /// The pages of its WAL that a start reads.
    pub(crate) wal: Vec<WalPages>,
}

/// Looks how a cluster was left; `None` = it runs, was killed, or is a standby. Blocks.
///
/// # Errors
/// When its control file or its WAL cannot be read.
pub fn left(dir: &Path) -> Result<Option<Left>, SnapshotError> {
    let root = Root::open(dir)?;
    let (_, control) = read_control(&root)?;
    if control.state != State::ShutDown {
        return Ok(None);
    }
    let (end, wal) = wal_of_start(&root, &control)?;
    Ok(Some(Left { end, timeline: control.timeline, wal }))
}

/// A copy that is complete but for the control file.
pub(super) struct Copied {
    pub(super) manifest: Manifest,
    pub(super) collector: Collector,
    pub(super) reader: PackReader,
    /// What the directory looked like, and when.
    pub(super) files: Vec<Found>,
    pub(super) scanned_at: i64,
}

impl Copied {
    async fn control(&mut self, page: &[u8], level: i32) -> Result<(), SnapshotError> {
        let entry = self.collector.small(control_file::PATH, 0o600, page, level).await?;
        self.manifest.files.push(entry);
        Ok(())
    }
}

/// Scans, plans, reads, and fills packs.
async fn copy(
    request: &Request,
    root: &Arc<Root>,
    header: Header,
    started_at: Option<Lsn>,
) -> Result<Copied, SnapshotError> {
    let scanned_at = now();
    let state_path = request.state.clone().zip(request.base.as_ref().map(|base| base.key.clone()));
    let (listing, state) = blocking(root, move |root| {
        Ok((root.list()?, state_path.and_then(|(path, key)| state::State::load(&path, &key))))
    })
    .await?;
    failpoint::hit("snapshot.scan.done").await.map_err(SnapshotError::Interrupted)?;
    let Listing { dirs, mut files } = listing;
    files.retain(|file| file.path != control_file::PATH);
    let reader = PackReader::new(request.store.clone());
    let (base, missing) = (request.base.as_ref(), request.missing.as_ref());
    let dir = request.dir.as_path();
    let inputs = Inputs { dir, files: files.clone(), header: &header, base, state, missing };
    let plan: Arc<Plan> = Arc::new(plan::plan(inputs, &reader).await?);
    let packs = Places::of(&request.owner, header.lsn, request.epoch).packs;
    let writer = PackWriter::new(request.store.clone(), packs, request.epoch);
    let mut collector = Collector::new(writer, Arc::clone(&plan), &request.hot);
    collector.stats.told_files =
        plan.jobs.iter().filter(|job| matches!(job.how, How::Named(_))).count() as u64;
    let shared = Shared {
        root: Arc::clone(root),
        runs: worker::runs(&plan),
        plan: Arc::clone(&plan),
        next: AtomicUsize::new(0),
        checksums: header.checksums,
        started_at,
        level: request.options.level,
        cancel: request.cancel.child_token(),
    };
    collector.run(Arc::new(shared), threads(request.options.threads)).await?;
    let entries: Vec<FileEntry> = collector.entries().await?;
    let dirs = dirs.into_iter().map(|(path, mode)| Directory { path, mode }).collect();
    let manifest = Manifest { header, dirs, files: entries, wal: Vec::new() };
    Ok(Copied { manifest, collector, reader, files, scanned_at })
}

fn threads(asked: usize) -> usize {
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if asked == 0 { cores().min(MAX_THREADS) } else { asked.min(MAX_THREADS) }
}

async fn header(
    request: &Request,
    root: &Arc<Root>,
    control: &ControlFile,
    kind: SnapshotKind,
    lsn: Lsn,
) -> Result<Header, SnapshotError> {
    let pg_major = blocking(root, |root| {
        let text = root.file("PG_VERSION").and_then(io::read_to_string);
        let text = text.map_err(|e| SnapshotError::file("read", "PG_VERSION", e))?;
        let wrong = |_| SnapshotError::file("read", "PG_VERSION", io::Error::other("it is not a number"));
        text.trim().parse().map_err(wrong)
    });
    Ok(Header {
        owner: request.owner.clone(),
        pg_major: pg_major.await?,
        system_identifier: control.system_identifier,
        checksums: control.checksums,
        wal_segment: u32::try_from(dormouse_base::lsn::WAL_SEGMENT).expect("16 MiB"),
        kind,
        lsn,
        redo: control.redo,
        checkpoint: control.checkpoint,
        timeline: control.timeline,
        epoch: request.epoch,
        taken_at: clock::now(),
        base: request.base.as_ref().map(|base| base.key.clone()),
    })
}

/// Nanoseconds since 1970, the clock of file times.
fn now() -> i64 {
    i64::try_from(clock::now().as_nanosecond()).unwrap_or(i64::MAX)
}

async fn blocking<T: Send + 'static>(
    root: &Arc<Root>,
    work: impl FnOnce(&Root) -> Result<T, SnapshotError> + Send + 'static,
) -> Result<T, SnapshotError> {
    let root = Arc::clone(root);
    task::blocking(move || work(&root)).await
}

/// The control file; of an incomplete directory only if it was `told` which chunks are absent, because who does not
/// know that takes holes for zeros.
fn read_whole_control(root: &Root, told: bool) -> Result<(Vec<u8>, ControlFile), SnapshotError> {
    let read = read_control(root)?;
    let whole = told || root.file(control_file::PATH).is_ok();
    if whole { Ok(read) } else { Err(SnapshotError::Incomplete) }
}

/// The control file, read until its checksum is right: a running server writes it in place.
fn read_control(root: &Root) -> Result<(Vec<u8>, ControlFile), SnapshotError> {
    let failed = |e| SnapshotError::file("read", control_file::PATH, e);
    let mut tries = 0;
    loop {
        let file = match root.file(control_file::PATH) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => root.file(control_file::HIDDEN_PATH),
            other => other,
        };
        let mut page = vec![0; control_file::PAGE as usize];
        let got = worker::fill(&file.map_err(failed)?, &mut page, 0).map_err(failed)?;
        page.truncate(got);
        tries += 1;
        match ControlFile::parse(&page) {
            Ok(control) => return Ok((page, control)),
            Err(control_file::ControlError::Checksum) if tries < CONTROL_READS => {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            Err(error) => return Err(SnapshotError::Control(error)),
        }
    }
}

/// The end of a stopped cluster's WAL, and the pages of it that a start reads.
fn wal_of_start(root: &Root, control: &ControlFile) -> Result<(Lsn, Vec<WalPages>), SnapshotError> {
    let read = |at: Lsn| read_wal_page(root, control.timeline, at);
    let end = wal_end::end_of_checkpoint(control.checkpoint, &read).map_err(SnapshotError::WalEnd)?;
    let mut pages: Vec<WalPages> = Vec::new();
    for at in wal_end::pages_of_start(control.checkpoint, end) {
        let bytes = read(at).map_err(|e| SnapshotError::file("read", "pg_wal", e))?;
        match pages.last_mut() {
            Some(last) if last.at.0 + last.bytes.len() as u64 == at.0 => last.bytes.extend_from_slice(&bytes),
            _ => pages.push(WalPages { at, bytes }),
        }
    }
    // What lies behind the end is of an earlier use of the file.
    if let Some(last) = pages.last_mut() {
        let used = usize::try_from(end.since(last.at)).unwrap_or(usize::MAX).min(last.bytes.len());
        last.bytes[used..].fill(0);
    }
    Ok((end, pages))
}

fn read_wal_page(root: &Root, timeline: Timeline, at: Lsn) -> io::Result<Vec<u8>> {
    let file = root.file(&format!("pg_wal/{}", timeline.segment_name(at)))?;
    let mut page = vec![0; WAL_PAGE as usize];
    file.read_exact_at(&mut page, at.since(at.segment_start()))?;
    Ok(page)
}
