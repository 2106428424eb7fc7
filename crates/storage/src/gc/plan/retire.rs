//! Which snapshots leave the registers, and how far `history_start` moves.

use std::collections::{BTreeMap, BTreeSet};

use dormouse_base::{BranchId, Lsn, Timestamp};

use super::need::{Chosen, Needs, Reach, pinned};
use super::{Change, Known, Limits, Look, Pin, age};
use crate::branch::line::{LineError, Records};
use crate::branch::record::{BranchRecord, Retired, SnapshotRecord};
use crate::key::{self, Key};

/// The changes, and the registers as they are with them.
pub(super) fn changes(
    look: &Look,
    limits: &Limits,
    now: Timestamp,
) -> Result<(Vec<Change>, Records), LineError> {
    let mut records = look.records();
    let reaches = reaches(look, &records, limits, now)?;
    let mut pins = BTreeSet::new();
    for pin in &look.pins {
        pins.extend(pinned(&records, pin)?.into_iter().map(|s| s.manifest.clone()));
    }
    let stored: BTreeSet<&Key> = look.objects.iter().map(|object| &object.key).collect();
    let context = Context { limits, now, pins: &pins, stored: &stored };
    let mut changes = Vec::new();
    let living = look.branches.iter().filter(|(_, known)| look.deleted_since(known).is_none());
    for (id, known) in living {
        let chosen = reaches.chosen.get(id);
        let change = context.change(id, known, chosen, reaches.of.get(id));
        if change.record != known.record {
            records.insert(id.clone(), change.record.clone());
            changes.push(change);
        }
    }
    Ok((changes, records))
}

struct Reaches {
    chosen: BTreeMap<BranchId, Chosen>,
    /// Of each living branch: as its register says, and as its window says.
    of: BTreeMap<BranchId, (Reach, Reach)>,
}

fn reaches(look: &Look, records: &Records, limits: &Limits, now: Timestamp) -> Result<Reaches, LineError> {
    let (mut before, mut needs) = (Needs::new(records), Needs::new(records));
    let mut of = BTreeMap::new();
    for (id, known) in &look.branches {
        let record = &known.record;
        if !look.has_window(known, limits, now) {
            continue;
        }
        let pinned = look.pins.iter().filter_map(|pin| match pin {
            Pin::Point { branch, lsn } if branch == id => Some(*lsn),
            _ => None,
        });
        // Without a window all that is still there is kept, whatever is pinned of it.
        let low = known.keep_from.map(|from| pinned.fold(from, Lsn::min));
        let low = low.unwrap_or_default().max(record.history_start);
        let pair = (before.root(id, record.history_start)?, needs.root(id, low)?);
        of.insert(id.clone(), pair);
    }
    Ok(Reaches { chosen: needs.chosen, of })
}

struct Context<'a> {
    limits: &'a Limits,
    now: Timestamp,
    pins: &'a BTreeSet<Key>,
    stored: &'a BTreeSet<&'a Key>,
}

impl Context<'_> {
    fn change(
        &self,
        branch: &BranchId,
        known: &Known,
        chosen: Option<&Chosen>,
        reach: Option<&(Reach, Reach)>,
    ) -> Change {
        let mut record = known.record.clone();
        let nothing = Chosen::default();
        let chosen = chosen.unwrap_or(&nothing);
        let restored = self.restore(&mut record, chosen);
        let expired = self.expire(&mut record);
        let retired = self.retire(&mut record, chosen);
        if let Some((before, after)) = reach {
            self.move_start(&mut record, branch, before, after);
        }
        Change { branch: branch.clone(), seq: known.seq, record, retired, restored, expired }
    }

    /// Puts back what a branch needs that was made while it was taken off the list.
    fn restore(&self, record: &mut BranchRecord, chosen: &Chosen) -> usize {
        let wanted = |retired: &Retired| {
            let key = &retired.snapshot.manifest;
            // A template's is not in this listing, but it stays as long as a register lists it.
            let stored = self.stored.contains(key) || key.as_str().starts_with(key::templates().as_str());
            retired.of.is_none() && chosen.bases.contains(key) && stored
        };
        let (back, stay): (Vec<_>, Vec<_>) = record.retired.drain(..).partition(wanted);
        record.retired = stay;
        let count = back.len();
        record.snapshots.extend(back.into_iter().map(|retired| retired.snapshot));
        record.snapshots.sort_by_key(|s| (s.lsn, s.epoch));
        count
    }

    fn expire(&self, record: &mut BranchRecord) -> usize {
        let before = record.retired.len();
        record.retired.retain(|retired| {
            age(self.now, retired.at) < self.limits.grace || self.pins.contains(&retired.snapshot.manifest)
        });
        before - record.retired.len()
    }

    fn retire(&self, record: &mut BranchRecord, chosen: &Chosen) -> usize {
        let needed = |s: &SnapshotRecord| {
            [&chosen.bases, &chosen.later, self.pins].iter().any(|set| set.contains(&s.manifest))
        };
        let mut keep: Vec<SnapshotRecord> = record.snapshots.iter().filter(|s| needed(s)).cloned().collect();
        self.thin(&mut keep, chosen);
        let kept: BTreeSet<&Key> = keep.iter().map(|s| &s.manifest).collect();
        let gone: Vec<Retired> = record
            .snapshots
            .iter()
            .filter(|s| !kept.contains(&s.manifest))
            .cloned()
            .map(|snapshot| Retired { snapshot, of: None, at: self.now })
            .collect();
        let count = gone.len();
        record.retired.extend(gone);
        if count > 0 {
            record.snapshots = keep;
        }
        count
    }

    /// Drops snapshots between others where the WAL that a restore replays stays short.
    fn thin(&self, keep: &mut Vec<SnapshotRecord>, chosen: &Chosen) {
        keep.sort_by_key(|s| (s.lsn, s.epoch));
        let old = keep.len().saturating_sub(self.limits.recent_snapshots.max(1));
        let mut at = 1;
        let mut left = old.saturating_sub(1);
        while left > 0 && at + 1 < keep.len() {
            let (before, this, next) = (&keep[at - 1], &keep[at], &keep[at + 1]);
            let fixed = chosen.bases.contains(&this.manifest) || self.pins.contains(&this.manifest);
            if !fixed && next.lsn.since(before.redo) <= self.limits.thin_bound {
                keep.remove(at);
            } else {
                at += 1;
            }
            left -= 1;
        }
    }

    fn move_start(&self, record: &mut BranchRecord, branch: &BranchId, before: &Reach, after: &Reach) {
        let Some((_, base)) = &after.base else { return };
        record.history_start = record.history_start.max(base.lsn);
        // Somebody may be reading this branch from an ancestor's snapshot that its window has just left.
        if let Some((owner, old)) = before.base.as_ref().filter(|_| before.base != after.base)
            && owner != branch
            && !record.retired.iter().any(|r| r.of.is_some() && r.snapshot.manifest == old.manifest)
        {
            let lent = Retired { snapshot: old.clone(), of: Some(owner.clone()), at: self.now };
            record.retired.push(lent);
        }
    }
}
