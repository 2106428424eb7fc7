//! Which snapshots and which WAL the windows of the living branches need, and what registers keep live.

use std::collections::{BTreeMap, BTreeSet};

use dormouse_base::{BranchId, Epoch, Lsn, Timestamp};

use super::{Limits, Look, Pin};
use crate::branch::line::{LineError, MAX_DEPTH, Records, line};
use crate::branch::record::{AsOf, BranchRecord, Origin, SnapshotRecord};
use crate::key::Key;

/// Behind all WAL.
const END: Lsn = Lsn(u64::MAX);

/// What of one branch's snapshots is needed, by manifest.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    /// Where a window or a child's line begins; never thinned out.
    pub(super) bases: BTreeSet<Key>,
    /// Later ones of a window.
    pub(super) later: BTreeSet<Key>,
}

impl Chosen {
    fn has(&self, manifest: &Key) -> bool {
        self.bases.contains(manifest) || self.later.contains(manifest)
    }
}

/// Where the window of a branch begins.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Reach {
    /// The snapshot, and whose it is; `None` = the beginning of everything.
    pub(crate) base: Option<(BranchId, SnapshotRecord)>,
    /// The first byte of WAL that is needed.
    pub(crate) redo: Lsn,
}

/// All that the roots need, collected one by one.
#[derive(Debug)]
pub(crate) struct Needs<'a> {
    records: &'a Records,
    pub(super) chosen: BTreeMap<BranchId, Chosen>,
}

/// The newest of these that counts: the one that `line::plan` takes.
fn newest<'a>(
    seen: AsOf<'_>,
    of: impl Iterator<Item = &'a SnapshotRecord>,
    upto: Lsn,
) -> Option<&'a SnapshotRecord> {
    of.filter(|s| s.lsn <= upto && seen.counts(s)).max_by_key(|s| (s.lsn, s.epoch))
}

/// Retired snapshots of the branch itself.
fn retired(record: &BranchRecord) -> impl Iterator<Item = &SnapshotRecord> {
    record.retired.iter().filter(|r| r.of.is_none()).map(|r| &r.snapshot)
}

impl<'a> Needs<'a> {
    pub(crate) fn new(records: &'a Records) -> Self {
        Self { records, chosen: BTreeMap::new() }
    }

    /// All snapshots that are needed so far, ancestors' too.
    pub(crate) fn snapshots(&self) -> Vec<&'a SnapshotRecord> {
        let of = |(id, chosen): (&BranchId, &Chosen)| {
            let record = self.records.get(id);
            let all = record.into_iter().flat_map(|record| record.snapshots.iter().chain(retired(record)));
            all.filter(|s| chosen.has(&s.manifest)).collect::<Vec<_>>()
        };
        self.chosen.iter().flat_map(of).collect()
    }

    fn record(&self, id: &BranchId) -> Result<&'a BranchRecord, LineError> {
        self.records.get(id).ok_or_else(|| LineError::UnknownBranch(id.clone()))
    }

    /// Marks what the points of `branch` from `low` on need, in it and in its ancestors.
    pub(crate) fn root(&mut self, branch: &BranchId, low: Lsn) -> Result<Reach, LineError> {
        let (mut id, mut low, mut high, mut redo) = (branch.clone(), low, END, END);
        let mut seen = self.record(branch)?.as_of(None);
        for _ in 0..MAX_DEPTH {
            let record = seen.record;
            let chosen = self.chosen.entry(id.clone()).or_default();
            let mut first = END;
            let inside = |s: &&SnapshotRecord| low < s.lsn && s.lsn <= high && seen.counts(s);
            for snapshot in record.snapshots.iter().filter(inside) {
                // Of two at the same place the later writer's is taken.
                let later = |s: &SnapshotRecord| s.lsn == snapshot.lsn && s.epoch > snapshot.epoch;
                if record.snapshots.iter().any(|s| later(s) && seen.counts(s)) {
                    continue;
                }
                chosen.later.insert(snapshot.manifest.clone());
                (first, redo) = (first.min(snapshot.lsn), redo.min(snapshot.redo));
            }
            // A retired one counts only where the list has none: it was taken off the list while somebody
            // was making a branch that needs it.
            let base = newest(seen, record.snapshots.iter(), low);
            let base = base.or_else(|| newest(seen, retired(record), low));
            if let Some(base) = base {
                chosen.bases.insert(base.manifest.clone());
                return Ok(Reach { redo: redo.min(base.redo), base: Some((id, base.clone())) });
            }
            let Origin::Branch { parent, lsn, writer, .. } = &record.origin else {
                return Ok(Reach::default());
            };
            (low, high) = (low.min(*lsn), high.min(*lsn).min(Lsn(first.0 - 1)));
            seen = self.record(parent)?.as_of(*writer);
            id = parent.clone();
        }
        Err(LineError::TooDeep(branch.clone()))
    }
}

/// What is live: everything that registers list, and the WAL that belongs to it.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) manifests: BTreeSet<Key>,
    pub(super) boots: BTreeSet<Key>,
    wal: BTreeMap<BranchId, BTreeMap<Epoch, Vec<(Lsn, Lsn)>>>,
    /// What a writer with a higher epoch filed is younger than the register that was read.
    newest_epoch: BTreeMap<BranchId, Epoch>,
}

impl Live {
    /// Of these registers.
    pub(super) fn of(
        look: &Look,
        records: &Records,
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Self, LineError> {
        let mut live = Self::default();
        let mut needs = Needs::new(records);
        for (id, known) in &look.branches {
            let Some(record) = records.get(id) else { continue };
            if !look.has_window(known, limits, now) {
                live.newest_epoch.insert(id.clone(), Epoch(u32::MAX));
                continue;
            }
            live.newest_epoch.insert(id.clone(), record.epoch);
            live.list(record.snapshots.iter().chain(record.retired.iter().map(|r| &r.snapshot)));
            if let Some(redo) = record.retired.iter().map(|r| r.snapshot.redo).min() {
                live.keep_wal(records, id, redo)?;
            }
            let reach = needs.root(id, record.history_start)?;
            live.keep_wal(records, id, reach.redo)?;
        }
        for (id, chosen) in &needs.chosen {
            let needed = |s: &&SnapshotRecord| chosen.has(&s.manifest);
            let record = needs.record(id)?;
            live.list(record.snapshots.iter().chain(retired(record)).filter(needed));
        }
        for pin in &look.pins {
            let (Pin::Point { branch, .. } | Pin::Snapshot { branch, .. }) = pin else { continue };
            let pinned = pinned(records, pin)?;
            live.list(pinned.iter().copied());
            if let Some(redo) = pinned.iter().map(|s| s.redo).min() {
                live.keep_wal(records, branch, redo)?;
            }
        }
        Ok(live)
    }

    fn list<'a>(&mut self, snapshots: impl Iterator<Item = &'a SnapshotRecord>) {
        for snapshot in snapshots {
            self.manifests.insert(snapshot.manifest.clone());
            self.boots.insert(snapshot.boot.clone());
        }
    }

    fn keep_wal(&mut self, records: &Records, branch: &BranchId, from: Lsn) -> Result<(), LineError> {
        for span in line(records, branch, END)?.into_iter().filter(|span| span.to > from) {
            let spans = self.wal.entry(span.branch).or_default().entry(span.epoch).or_default();
            let (from, to) = (span.from.max(from), span.to);
            // Many branches need the same part of an ancestor.
            if !spans.iter().any(|(a, b)| *a <= from && to <= *b) {
                spans.retain(|(a, b)| !(from <= *a && *b <= to));
                spans.push((from, to));
            }
        }
        Ok(())
    }

    /// Whether a part of `[start, end)` that this writer wrote counts for somebody.
    pub(super) fn has_wal(&self, branch: &BranchId, epoch: Epoch, start: Lsn, end: Lsn) -> bool {
        let spans = self.wal.get(branch).and_then(|epochs| epochs.get(&epoch));
        spans.is_some_and(|spans| spans.iter().any(|(from, to)| start < *to && *from < end))
            || self.newest_epoch.get(branch).is_none_or(|newest| epoch > *newest)
    }
}

/// The snapshots that a pin is about, retired or not.
pub(super) fn pinned<'a>(records: &'a Records, pin: &Pin) -> Result<Vec<&'a SnapshotRecord>, LineError> {
    let mut found = Vec::new();
    let (branch, lsn, wanted) = match pin {
        Pin::Point { branch, lsn } => (branch, *lsn, None),
        Pin::Snapshot { branch, manifest } => (branch, END, Some(manifest)),
        Pin::Upload { .. } => return Ok(found),
    };
    let (mut id, mut upto) = (branch, lsn);
    for _ in 0..MAX_DEPTH {
        // A pin of a branch that is not there yet pins nothing: its maker pins the parent.
        let Some(record) = records.get(id) else { return Ok(found) };
        let all = record.snapshots.iter().chain(record.retired.iter().map(|r| &r.snapshot));
        let usable = all.filter(|s| match wanted {
            Some(manifest) => s.manifest == *manifest,
            None => s.lsn <= upto,
        });
        found.extend(usable);
        let Origin::Branch { parent, lsn, .. } = &record.origin else { return Ok(found) };
        (id, upto) = (parent, upto.min(*lsn));
    }
    Err(LineError::TooDeep(branch.clone()))
}
