//! Moves what is live in mostly dead packs into new ones.
//!
//! ```text
//!   sparse packs ──► live chunks, each proven ──► new packs ──► new segment maps ──► boot pack, manifest
//!                                                 (next generation of their keys) ──► register: swap entry
//! ```
//!
//! The old manifest becomes a retired entry like any other, so readers that hold it have their grace period,
//! and the old pack dies in a later sweep. Until the swap nothing has happened: a crash leaves garbage. A
//! snapshot that is taken meanwhile may build on the old manifest and so keep the old pack alive, which
//! costs another rewrite later and nothing else.
//!
//! A rewrite has to free more than the manifests and boot packs that it writes anew.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use dormouse_base::{BranchId, Epoch, Timestamp, clock};
use dormouse_runtime::task;

use super::look::Registers;
use super::plan::{Live, Look, Pin, Sparse};
use super::{Collector, GcError, hit, reach};
use crate::branch::record::{BranchRecord, Retired, SnapshotRecord};
use crate::branch::register::{RegisterError, UpdateError};
use crate::chunk::{self, ChunkRef, Hash};
use crate::key::{self, Key};
use crate::manifest::{Content, Manifest, segment};
use crate::object::Created;
use crate::pack::boot::{self, BootPack};
use crate::pack::index::Kind;
use crate::pack::writer::{PackWriter, WriteError};
use crate::pack::{DataError, PackReader};

/// Packs that one run rewrites, of one project.
pub(super) const MAX_PACKS: usize = 16;

/// Manifests that one run rewrites, of one project; more make it cheaper to wait until some are gone.
pub(super) const MAX_MANIFESTS: usize = 256;

/// Chunks that are read at once, at most 16 MiB.
const CHUNKS_AT_ONCE: usize = 64;

/// A rewrite did not succeed. Nothing is lost by it.
#[derive(Debug, thiserror::Error)]
enum RewriteError {
    #[error("cannot read what is to be moved")]
    Data(#[from] DataError),
    #[error("cannot write a new pack")]
    Write(#[from] WriteError),
    #[error(transparent)]
    Gc(#[from] GcError),
}

/// The entry to swap is not listed any more.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the snapshot is not listed any more")]
struct Unlisted;

/// Rewrites sparse packs; tells how many. A pack that cannot be read is left alone: fsck tells about it.
pub(super) async fn packs(
    collector: &Collector,
    look: &Look,
    sparse: &[Sparse],
    live: &Live,
    (registers, now): (&mut Registers, Timestamp),
) -> Result<u64, GcError> {
    let uploading = look.pins.iter().any(|pin| matches!(pin, Pin::Upload { .. }));
    if uploading || look.deleted_at.is_some() || sparse.is_empty() {
        return Ok(0);
    }
    let rewriting = rewrite(collector, look, sparse, live, (registers, now)).await;
    match rewriting {
        Ok(count) => {
            collector.metrics.rewritten.inc_by(count);
            Ok(count)
        }
        Err(RewriteError::Gc(error)) => Err(error),
        Err(error) => {
            let error = dormouse_base::with_causes(&error);
            tracing::warn!(project = %look.project, error, "sparse packs are not rewritten");
            Ok(0)
        }
    }
}

async fn rewrite(
    collector: &Collector,
    look: &Look,
    sparse: &[Sparse],
    live: &Live,
    (registers, now): (&mut Registers, Timestamp),
) -> Result<u64, RewriteError> {
    let reader = PackReader::new(collector.store.clone());
    let mut wanted: BTreeSet<Key> = sparse.iter().map(|pack| pack.key.clone()).collect();
    let users = users(&reader, look, &mut wanted).await?;
    let chosen: BTreeSet<Key> = sparse
        .iter()
        .map(|pack| &pack.key)
        .filter(|key| wanted.contains(key))
        .take(MAX_PACKS)
        .cloned()
        .collect();
    let users: Vec<User> =
        users.into_iter().filter(|user| user.packs.iter().any(|pack| chosen.contains(pack))).collect();
    if users.is_empty() || users.len() > MAX_MANIFESTS {
        return Ok(0);
    }
    // Each snapshot gets a new manifest and a new boot pack; that should not cost more than it frees.
    let size =
        |key: &Key| look.objects.iter().find(|object| object.key == *key).map_or(0, |object| object.size);
    let cost: u64 = users.iter().map(|u| size(&u.snapshot.manifest) + size(&u.snapshot.boot)).sum();
    let total: u64 = chosen.iter().map(size).sum();
    let bytes: u64 = chosen.iter().map(|pack| live.bytes(pack)).sum();
    if total - bytes.min(total) < cost {
        return Ok(0);
    }
    tracing::info!(project = %look.project, packs = chosen.len(), manifests = users.len(), bytes, "rewriting");
    let writer = PackWriter::new(collector.store.clone(), key::packs(&look.project), Epoch(0));
    let mut mover =
        Mover { reader: reader.clone(), writer, old: &chosen, moved: HashMap::new(), maps: HashMap::new() };
    let mut new = Vec::new();
    for user in &users {
        let mut manifest = reach::manifest(&reader, &user.snapshot.manifest).await?;
        mover.manifest(&mut manifest).await?;
        // A manifest is small beside what it lists, and the swap needs the packs to be there first.
        new.push(Bytes::from(manifest.encode()));
    }
    let maps = mover.maps;
    mover.writer.finish().await?;
    hit("gc.rewrite.packs.after").await?;
    for (user, bytes) in users.iter().zip(new) {
        let after = put(&reader, user, bytes, &maps).await?;
        hit("gc.rewrite.manifest.after").await?;
        swap(registers, user, after, now).await?;
        hit("gc.rewrite.register.after").await?;
    }
    Ok(chosen.len() as u64)
}

/// A listed snapshot that uses sparse packs.
struct User {
    branch: BranchId,
    snapshot: SnapshotRecord,
    packs: BTreeSet<Key>,
}

/// The listed snapshots that use any of these packs. Takes those packs out that a snapshot uses whose
/// register cannot change.
async fn users(
    reader: &PackReader,
    look: &Look,
    wanted: &mut BTreeSet<Key>,
) -> Result<Vec<User>, RewriteError> {
    let mut users = Vec::new();
    for (branch, known) in &look.branches {
        for snapshot in &known.record.snapshots {
            let manifest = match reach::manifest(reader, &snapshot.manifest).await {
                // A deleted branch lists what is gone, too.
                Err(_) if known.deleted_at.is_some() => continue,
                manifest => manifest?,
            };
            let packs: BTreeSet<Key> = manifest.references(reader).await?.by_pack().into_keys().collect();
            let packs: BTreeSet<Key> = packs.intersection(wanted).cloned().collect();
            if known.deleted_at.is_some() || key::next_generation(&snapshot.manifest).is_none() {
                wanted.retain(|pack| !packs.contains(pack));
            } else if !packs.is_empty() {
                users.push(User { branch: branch.clone(), snapshot: snapshot.clone(), packs });
            }
        }
    }
    Ok(users)
}

/// A segment map in its new place.
struct NewMap {
    at: ChunkRef,
    stored: Bytes,
}

/// Moves chunks and the maps that name them; each once, however many manifests use it.
struct Mover<'a> {
    reader: PackReader,
    writer: PackWriter,
    old: &'a BTreeSet<Key>,
    moved: HashMap<(Arc<Key>, u32), ChunkRef>,
    /// By their old place.
    maps: HashMap<ChunkRef, NewMap>,
}

impl Mover<'_> {
    async fn manifest(&mut self, manifest: &mut Manifest) -> Result<(), RewriteError> {
        for file in &mut manifest.files {
            let size = file.size;
            match &mut file.content {
                Content::Chunks(refs) => self.chunks(refs, size, 0).await?,
                Content::Maps(maps) => {
                    for (number, map) in maps.iter_mut().enumerate() {
                        let first =
                            u32::try_from(number).unwrap_or(u32::MAX).saturating_mul(segment::MAP_CHUNKS);
                        self.map(map, size, first).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn map(&mut self, map: &mut ChunkRef, size: u64, first: u32) -> Result<(), RewriteError> {
        if let Some(new) = self.maps.get(map) {
            *map = new.at.clone();
            return Ok(());
        }
        let mut refs = self.reader.map(map).await?;
        let inside = refs.iter().any(|at| !at.is_zeros() && self.old.contains(&*at.pack));
        if !inside && !self.old.contains(&*map.pack) {
            return Ok(());
        }
        self.chunks(&mut refs, size, first).await?;
        let encoded = segment::encode(&refs);
        let at = self.writer.add(Kind::Map, encoded.plain, encoded.hash, &encoded.stored).await?;
        let new = NewMap { at: at.clone(), stored: Bytes::from(encoded.stored) };
        self.maps.insert(std::mem::replace(map, at), new);
        Ok(())
    }

    /// Moves those of `refs` that are in old packs; the first is chunk `first` of a file of `size` bytes.
    async fn chunks(&mut self, refs: &mut [ChunkRef], size: u64, first: u32) -> Result<(), RewriteError> {
        let mut todo = Vec::new();
        for (at, number) in refs.iter_mut().zip(first..) {
            if at.is_zeros() || !self.old.contains(&*at.pack) {
                continue;
            }
            match self.moved.get(&(Arc::clone(&at.pack), at.offset)) {
                Some(new) => *at = new.clone(),
                None => todo.push((at, chunk::plain_len(size, number))),
            }
        }
        for group in todo.chunks_mut(CHUNKS_AT_ONCE) {
            let old: Vec<ChunkRef> = group.iter().map(|(at, _)| (*at).clone()).collect();
            let lens: Vec<u32> = group.iter().map(|(_, plain)| *plain).collect();
            let stored = prove(self.reader.stored(&old).await?, old, lens).await?;
            for ((at, plain), stored) in group.iter_mut().zip(stored) {
                let place = (Arc::clone(&at.pack), at.offset);
                **at = match self.moved.get(&place) {
                    Some(new) => new.clone(),
                    None => self.writer.add(Kind::Chunk, *plain, at.hash, &stored).await?,
                };
                self.moved.insert(place, at.clone());
            }
        }
        Ok(())
    }
}

/// Whether these are the chunks: a bit that was flipped on the way must not replace what is in the store.
async fn prove(stored: Vec<Bytes>, refs: Vec<ChunkRef>, plain: Vec<u32>) -> Result<Vec<Bytes>, DataError> {
    task::blocking(move || {
        for ((stored, at), plain) in stored.iter().zip(&refs).zip(plain) {
            let expanded = chunk::expand(stored, plain as usize, at.hash);
            expanded.map_err(|damage| DataError::damaged(&at.pack, u64::from(at.offset), damage))?;
        }
        Ok(stored)
    })
    .await
}

/// Writes the next generation of a boot pack and a manifest.
async fn put(
    reader: &PackReader,
    user: &User,
    bytes: Bytes,
    maps: &HashMap<ChunkRef, NewMap>,
) -> Result<SnapshotRecord, RewriteError> {
    let store = reader.store();
    let old = store.get(&user.snapshot.boot).await.map_err(GcError::Store)?;
    let old = BootPack::decode(&user.snapshot.boot, &old)?;
    let pack = Bytes::from(boot::encode(&bytes, &boot_chunks(&old, maps)));
    let mut after = user.snapshot.clone();
    loop {
        let next = (key::next_generation(&after.manifest), key::next_generation(&after.boot));
        let (Some(manifest), Some(boot)) = next else {
            return Err(DataError::damaged(&after.manifest, 0, "it was rewritten too often").into());
        };
        (after.manifest, after.boot) = (manifest, boot);
        // One that is there is the rest of a rewrite that was interrupted.
        if store.create(&after.boot, pack.clone()).await.map_err(GcError::Store)? == Created::New {
            break;
        }
    }
    hit("gc.rewrite.boot.after").await?;
    store.put(&after.manifest, bytes).await.map_err(GcError::Store)?;
    Ok(after)
}

/// The chunks of a boot pack, with moved maps in place of the old ones.
fn boot_chunks(old: &BootPack, maps: &HashMap<ChunkRef, NewMap>) -> Vec<(Hash, Bytes)> {
    let mut chunks = BTreeMap::new();
    for file in &old.manifest.files {
        match &file.content {
            Content::Chunks(refs) => {
                let here = refs.iter().filter_map(|at| Some((at.hash, old.stored(at.hash)?.clone())));
                chunks.extend(here);
            }
            Content::Maps(refs) => {
                for (at, stored) in refs.iter().filter_map(|at| Some((at, old.stored(at.hash)?))) {
                    match maps.get(at) {
                        Some(new) => chunks.insert(new.at.hash, new.stored.clone()),
                        None => chunks.insert(at.hash, stored.clone()),
                    };
                }
            }
        }
    }
    chunks.into_iter().collect()
}

async fn swap(
    registers: &mut Registers,
    user: &User,
    after: SnapshotRecord,
    now: Timestamp,
) -> Result<(), GcError> {
    let update = registers.branch(&user.branch).update(|mut record: BranchRecord| {
        let listed = record.snapshots.iter_mut().find(|s| s.manifest == user.snapshot.manifest);
        let snapshot = std::mem::replace(listed.ok_or(Unlisted)?, after.clone());
        // Moving the chunks may have taken long, and whoever found it listed until now has the whole grace period.
        record.retired.push(Retired { snapshot, of: None, at: now.max(clock::now()) });
        Ok(record)
    });
    match update.await {
        Ok(_)
        | Err(UpdateError::Refused(Unlisted) | UpdateError::Register(RegisterError::Deleted { .. })) => {
            Ok(())
        }
        Err(UpdateError::Register(error)) => Err(GcError::Register(error)),
    }
}
