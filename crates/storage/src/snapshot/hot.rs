//! Chooses the chunks of a boot pack, and finds their stored bytes.
//!
//! In this order, until the pack is full: what no start can do without, what starts were seen to read, the
//! catalogs. So when a catalog is very large, the part of it that was never read at a start goes first.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use super::error::SnapshotError;
use super::rules::{self, Need};
use crate::chunk::{self, ChunkRef, Hash};
use crate::key::{self, Key};
use crate::manifest::segment::{self, MAP_CHUNKS};
use crate::manifest::{Content, FileEntry, Manifest, Owner};
use crate::pack::boot::{BootPack, MAX_CHUNK_BYTES};
use crate::pack::reader::{Wanted, expand};
use crate::pack::{DataError, PackReader};

/// The most recorded chunks that are looked at; a boot pack holds far fewer.
pub const MAX_HOT: usize = 4096;

/// How much a start needs each file of a manifest, in the manifest's order.
#[must_use]
pub fn needs(manifest: &Manifest) -> Vec<Need> {
    let dir = |path: &str| path.rsplit_once('/').map(|(dir, _)| dir.to_owned());
    let mut next_dir = None;
    let mut needs: Vec<Need> = manifest
        .files
        .iter()
        .rev()
        .map(|file| {
            let this = dir(&file.path);
            let last = next_dir.as_ref() != Some(&this);
            next_dir = Some(this);
            rules::need(&file.path, last)
        })
        .collect();
    needs.reverse();
    needs
}

/// Whether a chunk is part of a template, which nodes have anyway.
#[must_use]
pub fn is_of_template(at: &ChunkRef) -> bool {
    at.pack.as_str().strip_prefix(key::templates().as_str()).is_some_and(|rest| rest.starts_with('/'))
}

/// Stands for the plain length of a segment map, which is not a chunk.
const MAP: u32 = u32::MAX;

/// The recorded chunks that still exist, wherever their references are. A chunk of a large file comes with
/// the segment map that says where it is: a start must not ask the store for that first.
pub(super) async fn recorded(
    manifest: &Manifest,
    hot: &[(String, u32)],
    reader: &PackReader,
) -> Result<Vec<Wanted>, SnapshotError> {
    let mut large: HashMap<&str, Vec<ChunkRef>> = HashMap::new();
    let mut found = Vec::new();
    for (path, index) in hot.iter().take(MAX_HOT) {
        let Some(file) = manifest.file(path) else { continue };
        if let Content::Maps(_) = &file.content
            && !large.contains_key(path.as_str())
        {
            large.insert(path, file.resolve(reader).await.map_err(SnapshotError::Base)?);
        }
        if let Content::Maps(maps) = &file.content {
            let map = maps.get((*index / MAP_CHUNKS) as usize).cloned();
            found.extend(map.map(|at| Wanted { at, plain: MAP }));
        }
        let at = large.get(path.as_str()).and_then(|refs| refs.get(*index as usize)).cloned();
        let plain = chunk::plain_len(file.size, *index);
        found.extend(at.map(|at| Wanted { at, plain }).or_else(|| wanted(file, *index)));
    }
    Ok(found)
}

/// The chunks of the boot pack: references and plain lengths.
pub(super) fn choose(manifest: &Manifest, recorded: Vec<Wanted>) -> Vec<Wanted> {
    let repeat_template = matches!(manifest.header.owner, Owner::Template { .. });
    let needs = needs(manifest);
    let of = |need: Need| {
        manifest.files.iter().zip(&needs).filter(move |(_, n)| **n == need).map(|(file, _)| file)
    };
    let mut must: Vec<&FileEntry> = of(Need::Must).collect();
    must.sort_by_key(|file| file.size);
    let all = |file: &FileEntry| (0..file.chunks()).filter_map(|i| wanted(file, i)).collect::<Vec<_>>();
    let order = must.into_iter().flat_map(all).chain(recorded).chain(of(Need::Soon).flat_map(all));
    let (mut bytes, mut seen, mut chosen) = (0, HashSet::new(), Vec::new());
    for wanted in order {
        let skip = wanted.at.is_zeros() || (is_of_template(&wanted.at) && !repeat_template);
        if !skip && bytes + u64::from(wanted.at.len) <= MAX_CHUNK_BYTES && seen.insert(wanted.at.hash) {
            bytes += u64::from(wanted.at.len);
            chosen.push(wanted);
        }
    }
    chosen
}

/// A chunk of a small file; large ones are what hydration is for.
fn wanted(file: &FileEntry, index: u32) -> Option<Wanted> {
    let Content::Chunks(refs) = &file.content else { return None };
    let at = refs.get(index as usize)?.clone();
    Some(Wanted { at, plain: chunk::plain_len(file.size, index) })
}

/// Stored bytes of the chosen chunks: new ones are at hand, others are in the base's boot pack or in packs.
pub(super) async fn gather(
    chosen: &[Wanted],
    fresh: &HashMap<Hash, Bytes>,
    base_boot: Option<&Key>,
    reader: &PackReader,
) -> Result<Vec<(Hash, Bytes)>, SnapshotError> {
    let mut found: HashMap<Hash, Bytes> = HashMap::new();
    let lacking = |found: &HashMap<Hash, Bytes>| -> Vec<Wanted> {
        let lacks = |w: &&Wanted| !fresh.contains_key(&w.at.hash) && !found.contains_key(&w.at.hash);
        chosen.iter().filter(lacks).cloned().collect()
    };
    if let Some(boot) = base_boot.filter(|_| !lacking(&found).is_empty()) {
        let bytes = reader.store().get(boot).await.map_err(DataError::Store);
        match bytes.and_then(|bytes| BootPack::decode(boot, &bytes)) {
            Ok(pack) => {
                let there = |w: &Wanted| Some((w.at.hash, pack.stored(w.at.hash)?.clone()));
                found.extend(chosen.iter().filter_map(there));
            }
            // It only repeats what packs hold.
            Err(error) => tracing::warn!(%error, %boot, "the base's boot pack cannot be used"),
        }
    }
    let rest = lacking(&found);
    let refs: Vec<ChunkRef> = rest.iter().map(|w| w.at.clone()).collect();
    let stored = reader.stored(&refs).await.map_err(SnapshotError::Base)?;
    for (wanted, stored) in rest.iter().zip(stored) {
        prove(wanted, &stored).map_err(SnapshotError::Base)?;
        found.insert(wanted.at.hash, stored);
    }
    let bytes =
        |w: &Wanted| Some((w.at.hash, fresh.get(&w.at.hash).or_else(|| found.get(&w.at.hash))?.clone()));
    Ok(chosen.iter().filter_map(bytes).collect())
}

fn prove(wanted: &Wanted, stored: &[u8]) -> Result<(), DataError> {
    if wanted.plain != MAP {
        return expand(wanted, stored).map(drop);
    }
    let damaged = |damage| DataError::chunk(&wanted.at.pack, wanted.at.offset, damage);
    segment::expand(stored, wanted.at.hash).map(drop).map_err(damaged)
}
