//! A small world: registers and objects of one project, as the real writers would leave them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dormouse_base::{BranchId, Epoch, Lsn, ProjectId, Timeline, Timestamp};

use super::super::*;
use crate::branch::record::{Origin, SnapshotKind, SnapshotRecord, Span};
use crate::key::{self, FORMAT_VERSION, PieceName};

pub(crate) fn id(name: &str) -> BranchId {
    format!("br-{name}").parse().unwrap()
}

pub(crate) fn project() -> ProjectId {
    "p".parse().unwrap()
}

pub(crate) fn seconds(at: i64) -> Timestamp {
    Timestamp::from_second(at).unwrap()
}

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) now: i64,
    pub(crate) branches: BTreeMap<BranchId, Known>,
    pub(crate) objects: BTreeMap<Key, Listed>,
    pub(crate) deleted_at: Option<Timestamp>,
    pub(crate) pins: Vec<Pin>,
    pub(crate) limits: Limits,
    /// The end of each branch's WAL.
    pub(crate) ends: BTreeMap<BranchId, Lsn>,
}

impl World {
    pub(crate) fn new() -> Self {
        let limits = Limits {
            grace: Duration::from_secs(100),
            version_grace: Duration::from_secs(300),
            versions_kept: 2,
            thin_bound: 40,
            recent_snapshots: 2,
            ..Limits::default()
        };
        Self {
            now: 10_000,
            branches: BTreeMap::new(),
            objects: BTreeMap::new(),
            deleted_at: None,
            pins: Vec::new(),
            limits,
            ends: BTreeMap::new(),
        }
    }

    pub(crate) fn put(&mut self, key: Key) {
        let listed = Listed { key: key.clone(), size: 10, modified: seconds(self.now) };
        self.objects.insert(key, listed);
    }

    fn version(&mut self, branch: &BranchId) {
        let seq = self.branches[branch].seq;
        self.put(key::register_version(&key::branch_register(&project(), branch), seq));
    }

    /// Writes a new version of a register.
    pub(crate) fn update(&mut self, branch: &BranchId, change: impl FnOnce(&mut BranchRecord)) {
        let known = self.branches.get_mut(branch).unwrap();
        change(&mut known.record);
        known.seq += 1;
        self.version(branch);
    }

    /// Deletes a branch: its register has a last version.
    pub(crate) fn delete(&mut self, branch: &BranchId) {
        self.update(branch, |_| ());
        self.branches.get_mut(branch).unwrap().deleted_at = Some(seconds(self.now));
    }

    pub(crate) fn create(&mut self, name: &str, origin: Origin) -> BranchId {
        let branch = id(name);
        let start = match &origin {
            Origin::Branch { lsn, .. } => *lsn,
            _ => Lsn(100),
        };
        let record = BranchRecord {
            format: FORMAT_VERSION,
            project: project(),
            branch: branch.clone(),
            created_at: seconds(self.now),
            origin,
            epoch: Epoch(0),
            spans: Vec::new(),
            snapshots: Vec::new(),
            retired: Vec::new(),
            history_start: start,
            history_start_at: Timestamp::UNIX_EPOCH,
            meta: serde_json::Value::Null,
        };
        self.branches.insert(branch.clone(), Known { record, seq: 1, deleted_at: None, keep_from: None });
        self.ends.insert(branch.clone(), start);
        self.version(&branch);
        branch
    }

    pub(crate) fn root(&mut self, name: &str) -> BranchId {
        let root = self.create(name, Origin::Template { template: "t".into() });
        self.publish(&root, SnapshotKind::Clean, Lsn(100), Lsn(100));
        root
    }

    pub(crate) fn child(&mut self, name: &str, parent: &BranchId, lsn: Lsn) -> BranchId {
        self.create(name, Origin::Branch { parent: parent.clone(), lsn, at: None, writer: None })
    }

    /// A new writer begins a little before the end.
    pub(crate) fn open(&mut self, branch: &BranchId) {
        let end = self.ends[branch];
        self.update(branch, |record| {
            record.epoch = record.epoch.next();
            if let Some(last) = record.spans.last_mut() {
                last.to = Some(end);
            }
            let timeline = Timeline(record.epoch.0);
            record.spans.push(Span { epoch: record.epoch, timeline, from: end, to: None, mark: None });
        });
    }

    /// The newest writer writes and files so many bytes.
    pub(crate) fn write(&mut self, branch: &BranchId, bytes: u64) {
        if self.branches[branch].record.spans.is_empty() {
            self.open(branch);
        }
        let start = self.ends[branch];
        let end = start.plus(bytes);
        let epoch = self.branches[branch].record.epoch;
        let name = PieceName { start, end, last_commit: 0 };
        self.put(name.key(&key::wal(&project(), branch, epoch)));
        self.ends.insert(branch.clone(), end);
    }

    pub(crate) fn publish(&mut self, branch: &BranchId, kind: SnapshotKind, redo: Lsn, lsn: Lsn) {
        let epoch = self.branches[branch].record.epoch;
        let manifest = key::manifest(&project(), branch, lsn, epoch);
        let boot = key::boot(&project(), branch, lsn, epoch);
        self.put(manifest.clone());
        self.put(boot.clone());
        let taken_at = seconds(self.now);
        self.update(branch, |record| {
            let timeline = record.spans.last().map_or(Timeline(1), |span| span.timeline);
            let (logical_bytes, added_bytes) = (0, 0);
            let snapshot = SnapshotRecord {
                kind,
                lsn,
                redo,
                timeline,
                epoch,
                manifest,
                boot,
                taken_at,
                logical_bytes,
                added_bytes,
            };
            record.snapshots.retain(|s| (s.lsn, s.epoch) != (lsn, epoch));
            record.snapshots.push(snapshot);
        });
    }

    /// A snapshot at the end, whose redo is so many bytes before it.
    pub(crate) fn snapshot(&mut self, branch: &BranchId, back: u64) {
        let end = self.ends[branch];
        let kind = if back == 0 { SnapshotKind::Clean } else { SnapshotKind::Online };
        let record = &self.branches[branch].record;
        let first = record.spans.first().map_or(end, |span| span.from);
        // Checkpoints only move forward, and one place has one snapshot of a writer.
        let first = record.snapshots.iter().map(|s| s.redo).max().unwrap_or_default().max(first);
        if record.snapshots.iter().any(|s| (s.lsn, s.epoch) == (end, record.epoch)) {
            return;
        }
        self.publish(branch, kind, Lsn(end.0 - back).max(first), end);
    }

    pub(crate) fn look(&self) -> Look {
        Look {
            project: project(),
            deleted_at: self.deleted_at,
            opaque: Vec::new(),
            branches: self.branches.clone(),
            objects: self.objects.values().cloned().collect(),
            pins: self.pins.clone(),
        }
    }

    pub(crate) fn plan(&self) -> Plan {
        plan(&self.look(), &self.limits, seconds(self.now))
    }

    /// Applies the changes of a plan.
    pub(crate) fn apply(&mut self, plan: &Plan) {
        for change in &plan.changes {
            assert_eq!(self.branches[&change.branch].seq, change.seq);
            self.update(&change.branch, |record| *record = change.record.clone());
        }
    }

    /// One run: changes until there are none, then deletions.
    pub(crate) fn collect(&mut self) -> Plan {
        for _ in 0..4 {
            let plan = self.plan();
            assert_eq!(plan.frozen, None);
            if plan.changes.is_empty() {
                for dead in &plan.dead {
                    self.objects.remove(&dead.key);
                }
                self.forget();
                return plan;
            }
            assert!(plan.dead.is_empty());
            self.apply(&plan);
        }
        panic!("the plan does not settle");
    }

    /// Branches whose registers are gone.
    fn forget(&mut self) {
        let objects = &self.objects;
        self.branches.retain(|id, known| {
            let newest = key::register_version(&key::branch_register(&project(), id), known.seq);
            objects.contains_key(&newest)
        });
    }

    /// Runs as often as it takes for all that can go to be gone.
    pub(crate) fn settle(&mut self) {
        for _ in 0..12 {
            self.now += 150;
            self.collect();
        }
    }

    pub(crate) fn records(&self) -> Records {
        self.branches.iter().map(|(id, known)| (id.clone(), known.record.clone())).collect()
    }

    pub(crate) fn living(&self) -> Vec<BranchId> {
        let living = self.branches.iter().filter(|(_, known)| known.deleted_at.is_none());
        living.map(|(id, _)| id.clone()).collect()
    }

    /// Everything that making this point reads; fails when any of it is not there.
    pub(crate) fn objects_for(&self, branch: &BranchId, at: Lsn) -> Result<BTreeSet<Key>, String> {
        let plan = crate::branch::line::plan(&self.records(), branch, at).map_err(|e| e.to_string())?;
        let mut needed = BTreeSet::from([plan.snapshot.manifest.clone(), plan.snapshot.boot.clone()]);
        for span in &plan.line {
            let prefix = format!("{}/", key::wal(&project(), &span.branch, span.epoch));
            let mut upto = span.from;
            for (key, _) in self.objects.iter().filter(|(key, _)| key.as_str().starts_with(&prefix)) {
                let piece = PieceName::parse(key).unwrap();
                if piece.start < span.to && span.from < piece.end {
                    if piece.start > upto {
                        break;
                    }
                    upto = piece.end;
                    needed.insert(key.clone());
                }
            }
            if upto < span.to {
                return Err(format!("WAL of {} ends at {upto}, not {}", span.branch, span.to));
            }
        }
        for key in &needed {
            if !self.objects.contains_key(key) {
                return Err(format!("{key} is gone"));
            }
        }
        Ok(needed)
    }
}
