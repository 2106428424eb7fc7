//! Decides for each file what has to be read, from what it looks like now and looked like then. Pure,
//! except that the segment maps of changed files are loaded.
//!
//! ```text
//!  same size, times, inode, not racy         ──► keep all references, read nothing
//!  data of a logged relation, same file      ──► by WAL (`since`), when all of it since the base is at hand:
//!                                                a chunk is read when a record names a page of it, or is new
//!                                            ──► else by page LSN: a chunk is read when one of its pages has
//!                                                an LSN above the base's redo, or none, or is new
//!  anything else                             ──► read, compare by hash
//! ```
//!
//! Why the LSN may be trusted: every change of a page of a logged relation is in the WAL, and puts its
//! position into the page; what the base contains is the state at its redo position or later. Hint bits are
//! the exception, and do not matter. But without page checksums one more thing changes without a new
//! position: the flag "all visible" of a heap page, and an old flag beside a new visibility map makes
//! index-only scans wrong. So clusters without checksums are compared by hash. Another file may
//! be a new relation under an old name, whose pages carry old positions (a copied database), so it is read. The same
//! file is one with the same inode that was made at the same time: inodes are used again, often at once. Where the
//! file system does not tell when, nothing is taken for the same.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use dormouse_base::Lsn;
use dormouse_runtime::task;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::error::SnapshotError;
use super::rules::{Fork, Relation, Verdict};
use super::scan::Found;
use super::since::{self, Stretch};
use super::state::{Remembered, State};
use super::{Base, Missing};
use crate::branch::record::SnapshotKind;
use crate::chunk::{ChunkRef, Hash};
use crate::manifest::{Bits, Content, FileEntry, Header};
use crate::pack::{DataError, PackReader};

/// Files whose segment maps are loaded at once.
const RESOLVED_AT_ONCE: usize = 16;

/// How the chunks of a file are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum How {
    /// Only those that are named here, and new ones.
    Named(Bits),
    /// Only those with a page above this position.
    ByLsn(Lsn),
    /// All.
    ByHash,
}

/// A file that has to be looked at.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) found: Found,
    pub(super) how: How,
    /// Size and references in the base, when the file is there.
    pub(super) base: Option<(u64, Vec<ChunkRef>)>,
    /// Segment maps in the base.
    pub(super) base_maps: Vec<ChunkRef>,
    /// Chunks that are absent here.
    pub(super) missing: Option<Bits>,
}

/// What to do.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Files that keep what they have.
    pub(super) kept: Vec<(Found, Content)>,
    /// Files to look at.
    pub(super) jobs: Vec<Arc<Job>>,
    /// Chunks of the base by hash: a copy of a file needs no second copy of its bytes.
    pub(super) known: HashMap<Hash, ChunkRef>,
}

/// What the plan is made from.
pub(super) struct Inputs<'a> {
    /// The cluster's directory.
    pub(super) dir: &'a Path,
    pub(super) files: Vec<Found>,
    pub(super) header: &'a Header,
    pub(super) base: Option<&'a Base>,
    pub(super) state: Option<State>,
    pub(super) missing: Option<&'a Missing>,
}

pub(super) async fn plan(inputs: Inputs<'_>, reader: &PackReader) -> Result<Plan, SnapshotError> {
    let unlogged = unlogged(&inputs.files);
    let online = inputs.header.kind == SnapshotKind::Online;
    let state = inputs.state.unwrap_or_default();
    // Pages of another cluster, or rewritten ones (checksums switched on), say nothing by their LSN.
    let comparable = inputs.base.filter(|base| {
        let (was, is) = (&base.manifest.header, inputs.header);
        was.system_identifier == is.system_identifier
            && was.checksums == is.checksums
            && was.pg_major == is.pg_major
    });
    let mut plan = Plan::default();
    let mut jobs: Vec<Draft<'_>> = Vec::new();
    for found in inputs.files {
        let is_unlogged = relation_of(&found).is_some_and(|r| unlogged.contains(&(r.database, r.node)));
        if online && is_unlogged && relation_of(&found).is_some_and(|r| r.fork != Fork::Init) {
            continue;
        }
        let entry = inputs.base.and_then(|base| base.manifest.file(&found.path));
        let then = state.files.get(&found.path);
        if let Some(entry) = entry.filter(|entry| comparable.is_some() && is_kept(entry, then, &found)) {
            plan.kept.push((found, entry.content.clone()));
            continue;
        }
        let by_lsn = comparable.filter(|_| {
            let main = relation_of(&found).is_some_and(|r| r.fork == Fork::Main);
            main && !is_unlogged
                && inputs.header.checksums
                && then.is_some_and(|then| then.stamp.is_same_file(&found.stamp))
        });
        let how = by_lsn.map_or(How::ByHash, |base| How::ByLsn(base.manifest.header.redo));
        let missing = inputs.missing.and_then(|missing| missing(&found.path));
        jobs.push((found, how, missing, entry));
    }
    if let Some(base) = comparable {
        name_changes(inputs.dir, &base.manifest.header, inputs.header, &mut jobs).await;
    }
    let resolved = jobs.into_iter().map(|(found, how, missing, entry)| {
        // Boxed and collected: otherwise callers cannot prove that the whole is `Send` for every lifetime.
        async move {
            let base = match entry {
                Some(entry) => Some((entry.size, entry.resolve(reader).await?)),
                None => None,
            };
            let base_maps = match entry.map(|entry| &entry.content) {
                Some(Content::Maps(maps)) => maps.clone(),
                _ => Vec::new(),
            };
            Ok::<_, DataError>(Arc::new(Job { found, how, base, base_maps, missing }))
        }
        .boxed()
    });
    let resolved: Vec<BoxFuture<'_, _>> = resolved.collect();
    let resolved = stream::iter(resolved).buffered(RESOLVED_AT_ONCE).try_collect();
    plan.jobs = resolved.await.map_err(SnapshotError::Base)?;
    plan.known = inputs.base.map(known).unwrap_or_default();
    Ok(plan)
}

/// A file to look at, before its references are known.
type Draft<'a> = (Found, How, Option<Bits>, Option<&'a FileEntry>);

/// Asks the WAL since the base for what the LSNs of pages would tell.
async fn name_changes(dir: &Path, base: &Header, header: &Header, jobs: &mut [Draft<'_>]) {
    let by_lsn = jobs.iter().filter(|(_, how, ..)| matches!(how, How::ByLsn(_)));
    let scanned = by_lsn.map(|(found, ..)| found.stamp.size).sum();
    // A clean snapshot is the state at its end, an online one is replayed from its redo position on.
    let to = if header.kind == SnapshotKind::Online { header.redo } else { header.lsn };
    let stretch =
        Stretch { major: header.pg_major, from: base.redo, to, timelines: (base.timeline, header.timeline) };
    let dir = dir.to_owned();
    let Some(since) = task::blocking(move || since::since(&dir, stretch, scanned)).await else { return };
    for (found, how, ..) in jobs.iter_mut().filter(|(_, how, ..)| matches!(how, How::ByLsn(_))) {
        let named = relation_of(found).and_then(|relation| since.of(relation, found.stamp.size));
        if let Some(named) = named {
            *how = How::Named(named);
        }
    }
}

/// Whether a file is for certain what the base has.
fn is_kept(entry: &FileEntry, then: Option<&Remembered>, found: &Found) -> bool {
    let is_unchanged = then.is_some_and(|then| !then.racy && then.stamp.is_unchanged(&found.stamp));
    is_unchanged && entry.size == found.stamp.size
}

fn relation_of(found: &Found) -> Option<Relation> {
    match found.verdict {
        Verdict::Relation(relation) => Some(relation),
        _ => None,
    }
}

/// Relations with an init fork: their data is not in the WAL.
fn unlogged(files: &[Found]) -> HashSet<(u32, u32)> {
    let init = files.iter().filter_map(relation_of).filter(|r| r.fork == Fork::Init);
    init.map(|r| (r.database, r.node)).collect()
}

fn known(base: &Base) -> HashMap<Hash, ChunkRef> {
    let mut known = HashMap::new();
    for file in &base.manifest.files {
        if let Content::Chunks(refs) = &file.content {
            known.extend(refs.iter().filter(|at| !at.is_zeros()).map(|at| (at.hash, at.clone())));
        }
    }
    known
}
