//! What each branch of a project takes, exact to the byte: stored parts are counted once, and what two
//! branches reach belongs to neither alone.
//!
//! All branches of a project are computed together from one listing, the registers and the manifests.
//! What a manifest refers to never changes, so it is remembered by its key; the result is remembered for
//! [`FRESH`]. A hundred branches that share most of their chunks so cost one listing and a hundred small
//! reads, and less than a second of computing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_base::{BranchId, ProjectId};
use parking_lot::Mutex;

use crate::branch::line::{LineError, Records};
use crate::branch::record::SnapshotRecord;
use crate::fsck::window_line;
use crate::gc::GcError;
use crate::gc::look::{Registers, Seen};
use crate::gc::plan::Needs;
use crate::gc::reach;
use crate::key::{self, Key};
use crate::manifest::references::References;
use crate::object::Store;
use crate::pack::{DataError, PackReader};

/// How long a result is good.
pub const FRESH: Duration = Duration::from_secs(30);

/// The most parts of packs that remembered manifests name, together; some 32 bytes each.
pub const MAX_PARTS: usize = 2_000_000;

/// What a branch takes, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizes {
    /// All its files, as PostgreSQL sees them, at its newest snapshot.
    pub logical: u64,
    /// Stored bytes that only this branch reaches, its past included.
    pub own: u64,
    /// The part of `own` that only its past needs: WAL, superseded chunks, older snapshots.
    pub history: u64,
}

/// The sizes of a project's living branches.
pub type ProjectSizes = Arc<BTreeMap<BranchId, Sizes>>;

/// Sizes cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// The listing or the registers cannot be read.
    #[error("cannot look at a project to measure it")]
    Look(#[source] GcError),
    /// The registers contradict each other.
    #[error("cannot measure a branch")]
    Line(#[source] LineError),
    /// A manifest cannot be read.
    #[error("cannot read what a snapshot refers to")]
    Data(#[source] DataError),
}

/// Measures. Share one, for what it remembers.
#[derive(Debug)]
pub struct Usage {
    reader: PackReader,
    references: Mutex<BTreeMap<Key, Arc<References>>>,
    results: tokio::sync::Mutex<BTreeMap<ProjectId, (Mono, ProjectSizes)>>,
}

/// Who reaches a part, and whether a newest snapshot does.
#[derive(Debug, Clone, Copy)]
struct Part {
    len: u64,
    /// The number of the only branch; `None` = several.
    by: Option<usize>,
    newest: bool,
}

/// Everything that is reached, by object and place in it; whole objects are at 0.
type Parts<'a> = HashMap<(&'a Key, u32), Part>;

impl Usage {
    /// Of a store.
    #[must_use]
    pub fn new(store: &Store) -> Self {
        let (references, results) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { reader: PackReader::new(store.clone()), references, results }
    }

    /// What each living branch of a project takes. Who asks while it is computed waits for the result.
    ///
    /// # Errors
    /// When something that has to be read for it cannot be read.
    pub async fn project(&self, project: &ProjectId) -> Result<ProjectSizes, UsageError> {
        let mut results = self.results.lock().await;
        results.retain(|_, (at, _)| at.elapsed() < FRESH);
        if let Some((_, known)) = results.get(project) {
            return Ok(Arc::clone(known));
        }
        let seen = Registers::new(self.reader.store(), project).look(None).await.map_err(UsageError::Look)?;
        let sizes = Arc::new(self.compute(&seen).await?);
        results.insert(project.clone(), (Mono::now(), Arc::clone(&sizes)));
        Ok(sizes)
    }

    /// What a branch takes; nothing when it is not there.
    ///
    /// # Errors
    /// When something that has to be read for it cannot be read.
    pub async fn branch(&self, project: &ProjectId, branch: &BranchId) -> Result<Sizes, UsageError> {
        Ok(self.project(project).await?.get(branch).copied().unwrap_or_default())
    }

    async fn compute(&self, seen: &Seen) -> Result<BTreeMap<BranchId, Sizes>, UsageError> {
        let look = &seen.look;
        let records = look.records();
        let living = look.branches.iter().filter(|(_, known)| known.deleted_at.is_none());
        let living: Vec<&BranchId> = living.map(|(id, _)| id).collect();
        let stored: HashMap<&Key, u64> = look.objects.iter().map(|o| (&o.key, o.size)).collect();
        // The references have to outlive the map that borrows their keys.
        let mut reached: Vec<(usize, bool, SnapshotRecord, Arc<References>)> = Vec::new();
        let mut sizes = vec![Sizes::default(); living.len()];
        let mut wal: Vec<(usize, Key)> = Vec::new();
        for (number, id) in living.iter().enumerate() {
            let (snapshots, pieces) = reaches(&records, id, seen).map_err(UsageError::Line)?;
            wal.extend(pieces.into_iter().map(|key| (number, key)));
            for (at, snapshot) in snapshots.into_iter().enumerate() {
                let newest = at == 0;
                if newest {
                    sizes[number].logical = snapshot.logical_bytes;
                }
                let references = self.references(&snapshot.manifest).await?;
                reached.push((number, newest, snapshot, references));
            }
        }
        let mut parts = Parts::new();
        for (by, newest, snapshot, references) in &reached {
            // Packs of templates belong to the store.
            for extent in references.extents().filter(|extent| stored.contains_key(&*extent.pack)) {
                note(&mut parts, (&extent.pack, extent.offset), u64::from(extent.len), (*by, *newest));
            }
            for key in [&snapshot.manifest, &snapshot.boot] {
                note(&mut parts, (key, 0), stored.get(key).copied().unwrap_or_default(), (*by, *newest));
            }
        }
        for (by, key) in &wal {
            note(&mut parts, (key, 0), stored.get(key).copied().unwrap_or_default(), (*by, false));
        }
        for part in parts.values() {
            if let Some(number) = part.by {
                sizes[number].own += part.len;
                sizes[number].history += if part.newest { 0 } else { part.len };
            }
        }
        Ok(living.into_iter().cloned().zip(sizes).collect())
    }

    async fn references(&self, manifest: &Key) -> Result<Arc<References>, UsageError> {
        if let Some(known) = self.references.lock().get(manifest) {
            return Ok(Arc::clone(known));
        }
        let read = reach::manifest(&self.reader, manifest).await.map_err(UsageError::Data)?;
        let references = Arc::new(read.references(&self.reader).await.map_err(UsageError::Data)?);
        let mut known = self.references.lock();
        known.insert(manifest.clone(), Arc::clone(&references));
        let mut total: usize = known.values().map(|references| references.extents().count()).sum();
        // Manifests are asked for in the order of their keys, so no choice is better than another.
        while total > MAX_PARTS && known.len() > 1 {
            if let Some((_, gone)) = known.pop_first() {
                total -= gone.extents().count();
            }
        }
        Ok(references)
    }
}

fn note<'a>(parts: &mut Parts<'a>, place: (&'a Key, u32), len: u64, (by, newest): (usize, bool)) {
    let part = parts.entry(place).or_insert(Part { len, by: Some(by), newest: false });
    if part.by != Some(by) {
        part.by = None;
    }
    part.newest |= newest;
}

/// The snapshots that a branch's window reaches, the newest first, and its pieces of WAL.
fn reaches(
    records: &Records,
    branch: &BranchId,
    seen: &Seen,
) -> Result<(Vec<SnapshotRecord>, Vec<Key>), LineError> {
    let mut needs = Needs::new(records);
    let start = records.get(branch).map(|record| record.history_start).unwrap_or_default();
    let reach = needs.root(branch, start)?;
    let mut snapshots: Vec<SnapshotRecord> = needs.snapshots().into_iter().cloned().collect();
    snapshots.sort_by_key(|snapshot| std::cmp::Reverse((snapshot.lsn, snapshot.epoch)));
    let mut pieces = Vec::new();
    let (_, spans) = window_line(records, branch, &reach)?;
    for span in &spans {
        let wal = key::wal(&seen.look.project, &span.branch, span.epoch);
        let named = seen.pieces.get(&(span.branch.clone(), span.epoch)).into_iter().flatten();
        let inside = named.filter(|piece| piece.start < span.to && span.from < piece.end);
        pieces.extend(inside.map(|piece| piece.key(&wal)));
    }
    Ok((snapshots, pieces))
}

#[cfg(test)]
mod tests {
    use dormouse_base::clock;

    use super::*;
    use crate::gc::tests::lab::{Files, Lab, at, noise, project};

    #[tokio::test]
    async fn shared_bytes_are_nobodys_own_and_superseded_ones_are_history() {
        let lab = Lab::new();
        let main = lab.root().await;
        let mut files = Files::from([("a".to_owned(), noise(1, 2)), ("b".to_owned(), noise(2, 2))]);
        lab.snapshot(&main, 10, 10, &files).await;
        let chunk = 256 * 1024;
        let alone = Usage::new(&lab.store).branch(&project(), &main).await.unwrap();
        assert_eq!(alone.logical, 4 * chunk);
        assert!(alone.own > 4 * chunk && alone.history < 2000, "{alone:?}");
        let piece = lab.file(&main, 10, 20, clock::now()).await;
        files.insert("b".to_owned(), noise(3, 2));
        lab.snapshot(&main, 20, 20, &files).await;
        let grown = Usage::new(&lab.store).branch(&project(), &main).await.unwrap();
        let wal = lab.store.head(&piece).await.unwrap().size;
        assert!(grown.history > 2 * chunk + wal, "b as it was, and WAL: {grown:?}");
        let usage = Usage::new(&lab.store);
        let child = lab.child("child", &main, 20).await;
        let both = usage.project(&project()).await.unwrap();
        assert_eq!((both[&child].own, both[&child].logical), (0, 4 * chunk));
        assert!(both[&main].own < grown.own - 4 * chunk && both[&main].own >= grown.history - chunk);
        lab.open(&child, 20).await;
        files.insert("a".to_owned(), noise(4, 3));
        lab.snapshot(&child, 20, 20, &files).await;
        assert_eq!(usage.project(&project()).await.unwrap(), both, "remembered for a while");
        let after = Usage::new(&lab.store).branch(&project(), &child).await.unwrap();
        // The laboratory compares with a branch's own snapshots only; two chunks are in the boot pack again.
        assert!(after.own > 7 * chunk && after.own < 8 * chunk && after.history == 0, "{after:?}");
        assert_eq!(after.logical, 5 * chunk);
        assert_eq!(lab.record(&child).await.history_start, at(20));
    }
}
