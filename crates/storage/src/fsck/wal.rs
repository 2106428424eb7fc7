//! WAL: without a hole from the first redo of a window to the end of what is stored.

use std::collections::BTreeMap;

use dormouse_base::{BranchId, Epoch, Lsn, ProjectId, with_causes};

use crate::branch::line::{LineError, LineSpan, Plan, Records, line};
use crate::branch::record::SnapshotKind;
use crate::gc::look::Seen;
use crate::gc::plan::Reach;
use crate::gc::window::Pieces;
use crate::key;
use crate::object::{Store, StoreError};
use crate::wal::Major;
use crate::wal::read::{self, Line, ReadError, Stretch};

/// Behind all WAL.
const END: Lsn = Lsn(u64::MAX);

/// How far stored WAL reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Coverage {
    /// Behind the last byte that is there without a gap before it.
    pub(super) end: Lsn,
    /// What is missing, when something must be or is behind `end`.
    pub(super) hole: Option<(Lsn, Lsn)>,
}

/// How far the pieces of these writers reach from `from` on. The last writer may still be writing: that
/// nothing follows is no hole.
pub(super) fn coverage(spans: &[LineSpan], pieces: &Pieces, from: Lsn) -> Coverage {
    let mut end = from;
    for span in spans.iter().filter(|span| span.to > from) {
        let named = pieces.get(&(span.branch.clone(), span.epoch)).map(Vec::as_slice).unwrap_or_default();
        end = end.max(span.from);
        while let Some(next) = named.iter().filter(|p| p.start <= end && end < p.end).map(|p| p.end).max() {
            end = next.min(span.to);
            if end == span.to {
                break;
            }
        }
        if end < span.to {
            let next = named.iter().map(|p| p.start).filter(|start| *start > end && *start < span.to).min();
            let missing_to = if span.to == END { next } else { Some(next.unwrap_or(span.to)) };
            return Coverage { end, hole: missing_to.map(|to| (end, to)) };
        }
    }
    Coverage { end, hole: None }
}

/// The line of a plan, as those who read WAL want it; nothing for an unknown version of PostgreSQL.
#[must_use]
pub fn wal_line(project: &ProjectId, pg_major: u16, plan: &Plan) -> Option<Line> {
    to_line(project, pg_major, &plan.line)
}

fn to_line(project: &ProjectId, pg_major: u16, spans: &[LineSpan]) -> Option<Line> {
    let stretch = |span: &LineSpan| Stretch {
        branch: span.branch.clone(),
        epoch: span.epoch,
        timeline: span.timeline,
        from: span.from,
        to: span.to,
    };
    let stretches = spans.iter().map(stretch).collect();
    Some(Line { project: project.clone(), major: Major::new(u32::from(pg_major))?, stretches })
}

/// The line of a branch from the beginning of its window on.
pub(crate) fn window_line(
    records: &Records,
    branch: &BranchId,
    reach: &Reach,
) -> Result<(Lsn, Vec<LineSpan>), LineError> {
    let mut spans = line(records, branch, END)?;
    spans.retain(|span| span.to > reach.redo);
    let mut from = reach.redo;
    if let (Some(first), Some((_, base))) = (spans.first_mut(), &reach.base) {
        // A clean snapshot brings along what is before its end.
        if first.from > from && first.from <= base.lsn && base.kind == SnapshotKind::Clean {
            from = first.from;
        }
        first.from = first.from.max(from);
        if first.from > from {
            return Err(LineError::Hole { branch: branch.clone(), from, to: first.from });
        }
    }
    Ok((from, spans))
}

/// Checks the WAL of branches of one project; what was checked for a parent is not checked again.
pub(super) struct Wal<'a> {
    store: &'a Store,
    seen: &'a Seen,
    quick: bool,
    checked: BTreeMap<(BranchId, Epoch), Vec<(Lsn, Lsn)>>,
    pub(super) objects: u64,
    pub(super) bytes: u64,
}

impl<'a> Wal<'a> {
    pub(super) fn new(store: &'a Store, seen: &'a Seen, quick: bool) -> Self {
        Self { store, seen, quick, checked: BTreeMap::new(), objects: 0, bytes: 0 }
    }

    /// What is wrong with the WAL of a branch: object and problem.
    pub(super) async fn check(
        &mut self,
        records: &Records,
        branch: &BranchId,
        reach: &Reach,
        pg_major: Option<u16>,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let project = &self.seen.look.project;
        let about = key::branch(project, branch).to_string() + "/wal";
        let (from, mut spans) = match window_line(records, branch, reach) {
            Ok(line) => line,
            Err(error) => return Ok(vec![(about, with_causes(&error))]),
        };
        let mut problems = Vec::new();
        let Coverage { end, hole } = coverage(&spans, &self.seen.pieces, from);
        if let Some((from, to)) = hole {
            problems.push((about.clone(), format!("the WAL from {from} to {to} is missing")));
        }
        if self.quick {
            self.objects += spans.iter().map(|span| self.named(span)).sum::<u64>();
            return Ok(problems);
        }
        for span in &mut spans {
            span.to = span.to.min(end);
        }
        spans.retain(|span| span.from < span.to && !self.is_checked(span));
        let Some(line) = pg_major.and_then(|major| to_line(project, major, &spans)) else {
            return Ok(problems);
        };
        if let (Some(first), Some(last)) = (spans.first(), spans.last()) {
            match read::check(self.store, &line, (first.from, last.to)).await {
                Ok(report) => {
                    self.objects += report.pieces;
                    self.bytes += report.bytes;
                    problems.extend(report.problems.iter().map(|error| told(&about, error)));
                }
                Err(ReadError::Store(error)) => return Err(error),
                Err(error) => problems.push(told(&about, &error)),
            }
        }
        for span in spans {
            self.checked.entry((span.branch, span.epoch)).or_default().push((span.from, span.to));
        }
        Ok(problems)
    }

    fn named(&self, span: &LineSpan) -> u64 {
        let named = self.seen.pieces.get(&(span.branch.clone(), span.epoch)).into_iter().flatten();
        named.filter(|piece| piece.start < span.to && span.from < piece.end).count() as u64
    }

    fn is_checked(&self, span: &LineSpan) -> bool {
        let ranges = self.checked.get(&(span.branch.clone(), span.epoch)).into_iter().flatten();
        ranges.into_iter().any(|(from, to)| *from <= span.from && span.to <= *to)
    }
}

fn told(about: &str, error: &ReadError) -> (String, String) {
    let object = match error {
        ReadError::Piece { key, .. } => key.to_string(),
        _ => about.to_owned(),
    };
    (object, with_causes(error))
}
