//! Making a directory, step by step.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use dormouse_base::clock::Mono;
use dormouse_runtime::{failpoint, task};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, try_join_all};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::decide::{self, Known, Step};
use super::fetch::Fetch;
use super::make::{self, Making};
use super::tree::Tree;
use super::{ChunkSource, From, LazyFile, Materialised, Mode, Order, RestoreError, Stats};
use crate::Store;
use crate::chunk;
use crate::manifest::{Content, FileEntry, Manifest};
use crate::pack::boot::BootPack;
use crate::pack::reader::Wanted;
use crate::pack::{DataError, PackReader};
use crate::snapshot::control_file;
use crate::snapshot::rules::Need;

/// Threads that make files: directories of a file system have locks, more threads only wait for them.
const THREADS: usize = 2;

/// Files whose segment maps are read at once.
const RESOLVED_AT_ONCE: usize = 16;

/// Reads a snapshot's boot pack, or its manifest alone as a boot pack without chunks.
///
/// # Errors
/// When it cannot be read or is damaged.
pub async fn load(store: &Store, from: &From) -> Result<(BootPack, u64), DataError> {
    let (From::Boot(key) | From::Manifest(key)) = from;
    let bytes = store.get(key).await.map_err(DataError::Store)?;
    let (from, len) = (from.clone(), bytes.len() as u64);
    let decoded = task::blocking(move || match from {
        From::Boot(key) => BootPack::decode(&key, &bytes),
        From::Manifest(key) => BootPack::of_manifest(&key, bytes),
    });
    Ok((decoded.await?, len))
}

/// Makes a cluster's directory of a snapshot.
///
/// # Errors
/// When the snapshot cannot be read or the disk does not play along. What was made so far stays for the
/// caller to remove.
pub async fn materialise(order: Order) -> Result<Materialised, RestoreError> {
    let started = Mono::now();
    let loaded = load(&order.store, &order.from).await.map_err(RestoreError::Data)?;
    materialise_loaded(order, loaded, started).await
}

/// The same with what [`load`] gave for `order.from` already, begun at `started`.
///
/// # Errors
/// As [`materialise`].
pub async fn materialise_loaded(
    order: Order,
    (boot, boot_bytes): (BootPack, u64),
    started: Mono,
) -> Result<Materialised, RestoreError> {
    let (manifest, boot) = (Arc::clone(&boot.manifest), Arc::new(boot));
    let mut stats = Stats { boot_bytes, files: manifest.files.len() as u64, ..Stats::default() };
    stats.read_time = started.elapsed();
    failpoint::hit("restore.boot.read").await.map_err(RestoreError::Interrupted)?;
    let reader = PackReader::new(order.store.clone());
    let known = known(&manifest, &boot, order.mode, &reader).await?;
    let decided = decide::decide(&manifest, order.base.as_deref(), &boot, &known, order.mode);
    stats.kept_files = decided.kept;
    stats.lazy_files = decided.lazy.len() as u64;
    let control = control_page(&manifest, &boot, &order, &reader).await?;
    let hot = decided.hot(&manifest);
    let mut fetch = Fetch::new(decided.fetch);
    let lazy_names: Vec<usize> = decided.lazy.iter().map(|(file, _)| *file).collect();
    let making = start_making(&order, &manifest, &boot, decided.steps);
    let make_started = Mono::now();
    let (making, ()) = tokio::try_join!(make_all(making, &mut stats), fetch.ahead(&reader))?;
    stats.make_time = make_started.elapsed();
    failpoint::hit("restore.files.made").await.map_err(RestoreError::Interrupted)?;
    fetch.write(&reader, &making, &mut stats).await?;
    failpoint::hit("restore.control.before_write").await.map_err(RestoreError::Interrupted)?;
    let hidden = !decided.lazy.is_empty();
    stats.written_bytes +=
        task::blocking(move || making.control(&control, hidden).map(|()| control.len() as u64)).await?;
    if order.durable {
        let sync_started = Mono::now();
        sync(&order.dir).await?;
        stats.sync_time = sync_started.elapsed();
    }
    let lazy: Vec<LazyFile> = decided
        .lazy
        .into_iter()
        .map(|(file, present)| {
            let entry = &manifest.files[file];
            LazyFile { path: entry.path.clone(), size: entry.size, present }
        })
        .collect();
    let source = ChunkSource::new(reader, lazy_names.iter().map(|file| &manifest.files[*file]), Some(boot));
    stats.time = started.elapsed();
    Ok(Materialised { manifest, lazy, source, hot, stats })
}

/// Writes everything of the file system that holds `dir` to the disk: one call is much cheaper than one for
/// each of a thousand files.
///
/// # Errors
/// When the disk refuses; then nothing is known to be stored.
pub async fn sync(dir: &Path) -> Result<(), RestoreError> {
    let path = dir.to_owned();
    task::blocking(move || {
        failpoint::hit_blocking("restore.sync.before").map_err(RestoreError::Interrupted)?;
        let failed = |source| RestoreError::File { what: "store", path: path.clone(), source };
        let dir = std::fs::File::open(&path).map_err(failed)?;
        rustix::fs::syncfs(&dir).map_err(|errno| failed(errno.into()))
    })
    .await
}

/// The references of all files: what an eager restore or an indispensable file needs is read from packs.
async fn known(
    manifest: &Manifest,
    boot: &BootPack,
    mode: Mode,
    reader: &PackReader,
) -> Result<Vec<Known>, RestoreError> {
    let needs = crate::snapshot::needs(manifest);
    let of = manifest.files.iter().zip(needs).map(|(file, need)| {
        // Boxed and collected: otherwise callers cannot prove that the whole is `Send` for every lifetime.
        async move {
            let all = mode == Mode::Eager || need == Need::Must;
            if all && matches!(file.content, Content::Maps(_)) {
                let refs = file.resolve(reader).await?;
                return Ok(Known { refs: refs.into_iter().map(Some).collect() });
            }
            Ok::<_, DataError>(Known::of(file, boot))
        }
        .boxed()
    });
    let of: Vec<BoxFuture<'_, _>> = of.collect();
    stream::iter(of).buffered(RESOLVED_AT_ONCE).try_collect().await.map_err(RestoreError::Data)
}

/// The plain bytes of the control file.
async fn control_page(
    manifest: &Manifest,
    boot: &BootPack,
    order: &Order,
    reader: &PackReader,
) -> Result<bytes::Bytes, RestoreError> {
    let (From::Boot(key) | From::Manifest(key)) = &order.from;
    let Some(FileEntry { content: Content::Chunks(refs), size, .. }) = manifest.file(control_file::PATH)
    else {
        return Err(make::no_control(key));
    };
    let at = refs.first().ok_or_else(|| make::no_control(key))?;
    let wanted = Wanted { at: at.clone(), plain: chunk::plain_len(*size, 0) };
    let page = match boot.stored(at.hash) {
        Some(stored) => crate::pack::reader::expand(&wanted, stored),
        None => reader.plain(&[wanted]).await.map(|mut pages| pages.swap_remove(0)),
    };
    page.map_err(RestoreError::Data)
}

/// What the blocking part needs, as a closure that opens the directory there.
fn start_making(
    order: &Order,
    manifest: &Arc<Manifest>,
    boot: &Arc<BootPack>,
    steps: Vec<Step>,
) -> impl FnOnce() -> Result<Arc<Making>, RestoreError> + Send + 'static {
    let (dir, base, owner) = (order.dir.clone(), order.base.clone(), order.owner);
    let (manifest, boot) = (Arc::clone(manifest), Arc::clone(boot));
    move || {
        let tree = Tree::open(&dir, &manifest.dirs, base.is_some(), owner)?;
        if let Some(base) = base {
            tree.prune(&manifest, &base)?;
        }
        Ok(Arc::new(Making { tree, manifest, boot, steps, next: AtomicUsize::new(0) }))
    }
}

async fn make_all(
    making: impl FnOnce() -> Result<Arc<Making>, RestoreError> + Send + 'static,
    stats: &mut Stats,
) -> Result<Arc<Making>, RestoreError> {
    let making = task::blocking(making).await?;
    let workers = (0..THREADS).map(|_| {
        let making = Arc::clone(&making);
        task::blocking(move || making.work())
    });
    stats.written_bytes += try_join_all(workers).await?.into_iter().sum::<u64>();
    let wal = Arc::clone(&making);
    stats.written_bytes += task::blocking(move || wal.wal()).await?;
    Ok(making)
}
