//! Which snapshot and which WAL make a point of a branch's history. Pure: registers in, a plan out.
//!
//! ```text
//!   main   ──S1────────S2──────┬───────────S3──►      S = snapshot
//!                              │ fork at X
//!   child                      └────────S4─────► Y    restore Y: S4 + WAL of child from S4
//!                                                     before S4: S2 + WAL of main up to X, then of child
//! ```
//!
//! For every byte position there is exactly one writer whose bytes count: a child's line is its
//! parent's line up to the fork, then its own spans. What a replaced writer wrote behind its span's end is
//! looked at only by children that were made of it before it was replaced ([`AsOf`]).

use std::collections::BTreeMap;

use dormouse_base::{BranchId, Epoch, Lsn, Timeline};

use super::record::{AsOf, BranchRecord, Origin, SnapshotKind, SnapshotRecord};

/// Ancestors beyond this are refused; nobody branches so deep, and a loop in damaged registers ends.
pub const MAX_DEPTH: usize = 256;

/// The registers of a branch and its ancestors.
pub type Records = BTreeMap<BranchId, BranchRecord>;

/// A part of a line: whose WAL counts in `[from, to)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineSpan {
    /// Whose register and WAL prefix.
    pub branch: BranchId,
    /// Which writer of it.
    pub epoch: Epoch,
    /// On which timeline.
    pub timeline: Timeline,
    /// The first byte.
    pub from: Lsn,
    /// Behind the last byte.
    pub to: Lsn,
}

/// How to make a directory that holds a point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The branch whose snapshot it is.
    pub owner: BranchId,
    /// The snapshot to begin with.
    pub snapshot: SnapshotRecord,
    /// The WAL from the snapshot's `redo` to the point, oldest first; what counts, without gaps.
    pub line: Vec<LineSpan>,
    /// The point.
    pub target: Lsn,
}

impl Plan {
    /// Whether the snapshot is the point itself: then nothing has to be replayed.
    #[must_use]
    pub fn is_direct(&self) -> bool {
        self.snapshot.kind == SnapshotKind::Clean && self.snapshot.lsn == self.target
    }

    /// The timeline at the point.
    #[must_use]
    pub fn timeline(&self) -> Timeline {
        self.line.last().map_or(self.snapshot.timeline, |span| span.timeline)
    }
}

/// Why a point cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// A register is missing.
    #[error("branch {0} is not in the store")]
    UnknownBranch(BranchId),
    /// Parents of parents without end.
    #[error("branch {0} has too many ancestors")]
    TooDeep(BranchId),
    /// The point is not there yet.
    #[error("position {wanted} is ahead of branch {branch}, which ends at {end}")]
    Ahead {
        /// The branch.
        branch: BranchId,
        /// The point.
        wanted: Lsn,
        /// Its end.
        end: Lsn,
    },
    /// The point is not kept any more.
    #[error("position {wanted} of branch {branch} is not kept any more: its history begins at {start}")]
    Forgotten {
        /// The branch.
        branch: BranchId,
        /// The point.
        wanted: Lsn,
        /// Where its history begins.
        start: Lsn,
    },
    /// Registers that contradict each other.
    #[error("the history of branch {branch} has a hole between {from} and {to}")]
    Hole {
        /// The branch.
        branch: BranchId,
        /// Where it begins.
        from: Lsn,
        /// Where it ends.
        to: Lsn,
    },
}

/// The branch and its ancestors, the branch first, each with the position up to which it counts.
fn ancestry<'a>(
    records: &'a Records,
    branch: &BranchId,
    target: Lsn,
) -> Result<Vec<(AsOf<'a>, Lsn)>, LineError> {
    let mut chain = Vec::new();
    let (mut id, mut upto, mut newest) = (branch.clone(), target, None);
    loop {
        if chain.len() == MAX_DEPTH {
            return Err(LineError::TooDeep(branch.clone()));
        }
        let record = records.get(&id).ok_or_else(|| LineError::UnknownBranch(id.clone()))?;
        chain.push((record.as_of(newest), upto));
        match &record.origin {
            Origin::Branch { parent, lsn, writer, .. } => {
                (id, upto, newest) = (parent.clone(), upto.min(*lsn), *writer);
            }
            Origin::Template { .. } | Origin::Import => return Ok(chain),
        }
    }
}

/// The whole line of a branch up to `target`, oldest first.
///
/// # Errors
/// When a register is missing.
pub fn line(records: &Records, branch: &BranchId, target: Lsn) -> Result<Vec<LineSpan>, LineError> {
    let mut spans: Vec<LineSpan> = Vec::new();
    for (seen, upto) in ancestry(records, branch, target)?.into_iter().rev() {
        for span in seen.spans() {
            let to = span.to.unwrap_or(Lsn(u64::MAX)).min(upto);
            if span.from < to {
                // A writer replaces what its predecessor has from its first byte on: recovery ends at the
                // last whole record, which may be a little before the fork.
                while let Some(last) = spans.last_mut().filter(|last| last.to > span.from) {
                    last.to = span.from;
                    if last.from < last.to {
                        break;
                    }
                    spans.pop();
                }
                spans.push(LineSpan {
                    branch: seen.record.branch.clone(),
                    epoch: span.epoch,
                    timeline: span.timeline,
                    from: span.from,
                    to,
                });
            }
        }
    }
    Ok(spans)
}

/// How to make `target` of a branch: the newest usable snapshot, and the WAL from there.
///
/// # Errors
/// When no snapshot is old enough, or the registers have a hole.
pub fn plan(records: &Records, branch: &BranchId, target: Lsn) -> Result<Plan, LineError> {
    let chain = ancestry(records, branch, target)?;
    let own = chain.first().map(|(seen, _)| seen.record.history_start);
    let start = own.unwrap_or_default();
    let forgotten = || LineError::Forgotten { branch: branch.clone(), wanted: target, start };
    if target < start {
        return Err(forgotten());
    }
    let usable = chain.iter().find_map(|(seen, upto)| {
        let usable = seen.record.snapshots.iter().filter(|s| s.lsn <= *upto && seen.counts(s));
        let best = usable.max_by_key(|s| (s.lsn, s.epoch));
        best.map(|snapshot| (seen.record.branch.clone(), snapshot.clone()))
    });
    let (owner, snapshot) = usable.ok_or_else(forgotten)?;
    let mut cut: Vec<LineSpan> = line(records, branch, target)?;
    cut.retain(|span| span.to > snapshot.redo);
    let mut at = snapshot.redo;
    if let Some(first) = cut.first_mut() {
        first.from = first.from.max(snapshot.redo);
        // A clean snapshot brings the WAL before its end along; so does the template of a root branch.
        if first.from > at && first.from <= snapshot.lsn && snapshot.kind == SnapshotKind::Clean {
            at = first.from;
        }
    } else if snapshot.lsn == target {
        at = target;
    }
    for span in &cut {
        if span.from != at {
            return Err(LineError::Hole { branch: branch.clone(), from: at, to: span.from });
        }
        at = span.to;
    }
    if at != target {
        return Err(LineError::Ahead { branch: branch.clone(), wanted: target, end: at });
    }
    Ok(Plan { owner, snapshot, line: cut, target })
}

#[cfg(test)]
mod tests;
