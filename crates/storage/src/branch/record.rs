//! The content of registers: of a branch, and of a project.

use dormouse_base::{BranchId, Epoch, Lsn, ProjectId, Timeline, Timestamp};
use serde::{Deserialize, Serialize};

use crate::key::Key;

/// Everything that the store knows of a branch. The highest numbered version counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BranchRecord {
    /// Version of this format.
    pub format: u32,
    /// Its project.
    pub project: ProjectId,
    /// Its identifier.
    pub branch: BranchId,
    /// When it was made.
    pub created_at: Timestamp,
    /// Where it begins.
    pub origin: Origin,
    /// The newest writer's epoch; 0 before the first.
    pub epoch: Epoch,
    /// What each writer wrote, oldest first, without gaps: where one ends the next begins.
    pub spans: Vec<Span>,
    /// Its snapshots, by LSN.
    pub snapshots: Vec<SnapshotRecord>,
    /// Snapshots that are on their way out, see [`Retired`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retired: Vec<Retired>,
    /// Points before this one cannot be restored any more.
    pub history_start: Lsn,
    /// Nor can moments before this one.
    pub history_start_at: Timestamp,
    /// What the control plane wants to find again after a disaster. Not understood here.
    pub meta: serde_json::Value,
}

impl BranchRecord {
    /// Whether a snapshot is of what counts: a writer may have listed one behind the place where its successor began.
    #[must_use]
    pub fn counts(&self, snapshot: &SnapshotRecord) -> bool {
        self.as_of(None).counts(snapshot)
    }

    /// The branch as a child sees it that was made while `writer` was its newest; `None`: as it is.
    #[must_use]
    pub fn as_of(&self, writer: Option<Epoch>) -> AsOf<'_> {
        AsOf { record: self, writer }
    }
}

/// A branch up to one of its writers. A later one begins where that one ended, or, when the end of that one's WAL was
/// lost with its machine, before: then what it writes there is not what was there when the child was made.
#[derive(Debug, Clone, Copy)]
pub struct AsOf<'a> {
    /// The branch, with all its writers.
    pub record: &'a BranchRecord,
    writer: Option<Epoch>,
}

impl<'a> AsOf<'a> {
    /// What its writers wrote, the last of them without an end.
    pub fn spans(&self) -> impl Iterator<Item = Span> + use<'a> {
        let writer = self.writer;
        let is_there = move |span: &&Span| writer.is_none_or(|writer| span.epoch <= writer);
        let open = move |span: &Span| Span { to: span.to.filter(|_| Some(span.epoch) != writer), ..*span };
        self.record.spans.iter().filter(is_there).map(open)
    }

    /// Whether a snapshot of it is of what counts.
    #[must_use]
    pub fn counts(&self, snapshot: &SnapshotRecord) -> bool {
        self.writer.is_none_or(|writer| snapshot.epoch <= writer)
            && !self.spans().any(|span| span.epoch > snapshot.epoch && span.from < snapshot.lsn)
    }
}

/// Where a branch begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A pristine cluster.
    Template {
        /// Its name in the store.
        template: String,
    },
    /// A point of another branch.
    Branch {
        /// The parent.
        parent: BranchId,
        /// Everything of the parent that ends at or before this position.
        lsn: Lsn,
        /// The wall-clock time of that point, as far as it is known.
        at: Option<Timestamp>,
        /// The parent's newest writer then, if that had a directory on the server that made the branch; else the point
        /// was in the store already.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        writer: Option<Epoch>,
    },
    /// A directory that was imported; its first snapshot is its beginning.
    Import,
}

/// What one writer wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The writer.
    pub epoch: Epoch,
    /// The timeline it wrote on.
    pub timeline: Timeline,
    /// Its first byte.
    pub from: Lsn,
    /// Behind its last byte; `None` for the newest writer.
    pub to: Option<Lsn>,
    /// A random number of the directory in which it was written: it knows its own span by that, and nobody who makes
    /// another one of the same point takes it for his.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<u32>,
}

/// How a snapshot was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotKind {
    /// After a clean stop: usable as it is.
    Clean,
    /// From a running compute: needs the WAL from `redo` to at least `lsn`.
    Online,
}

/// A snapshot of a branch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRecord {
    /// How it was taken.
    pub kind: SnapshotKind,
    /// Clean: the end of the WAL. Online: where the backup stopped, the first consistent point.
    pub lsn: Lsn,
    /// Where replay starts; every page that changed later has a page LSN above this.
    pub redo: Lsn,
    /// The timeline at `lsn`.
    pub timeline: Timeline,
    /// The writer that took it.
    pub epoch: Epoch,
    /// Its manifest.
    pub manifest: Key,
    /// Its boot pack.
    pub boot: Key,
    /// When it was taken: no commit before `lsn` is younger.
    pub taken_at: Timestamp,
    /// Plain bytes of all files.
    pub logical_bytes: u64,
    /// Bytes that it added to the store.
    pub added_bytes: u64,
}

/// A snapshot that is no longer offered to anybody, but whose objects stay for a grace period, because
/// somebody who read an older version of the register may be using them. Only the collector of garbage
/// writes this list, see `gc`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retired {
    /// The snapshot as it was listed.
    pub snapshot: SnapshotRecord,
    /// Whose it was; `None` = this branch's own. Another's was where this branch's window began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<BranchId>,
    /// When it was taken off the list.
    pub at: Timestamp,
}

/// What the store knows of a project. Whether it was deleted is told by its register.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProjectRecord {
    /// Version of this format.
    pub format: u32,
    /// Its identifier.
    pub project: ProjectId,
    /// When it was made.
    pub created_at: Timestamp,
    /// The major version of PostgreSQL, such as 18.
    pub pg_version: u32,
    /// What the control plane wants to find again after a disaster. Not understood here.
    pub meta: serde_json::Value,
}
