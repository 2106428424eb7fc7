//! Reads the roll-ups: what was used in some whole months, days and hours together, or one after the other.

use std::collections::HashMap;

use dormouse_api::usage::{Granularity, Totals};
use dormouse_base::{BranchId, ProjectId};
use rusqlite::{Connection, OptionalExtension, Result, Row, params, params_from_iter};

use super::number;
use crate::db::column::id;

/// A time as whole periods of one length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The length of the periods.
    pub grain: Granularity,
    /// The first one's beginning, seconds since 1970.
    pub start: i64,
    /// The last one's end.
    pub end: i64,
}

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Filter {
    /// Everything.
    #[default]
    All,
    /// A project.
    Project(ProjectId),
    /// A branch.
    Branch(BranchId),
}

impl Filter {
    /// Which index is best, and the condition; its only parameter has the number 4.
    fn sql(&self) -> (&'static str, &'static str) {
        match self {
            Filter::All => ("", ""),
            Filter::Project(_) => (
                "INDEXED BY usage_of_subject",
                "AND u.subject IN (SELECT id FROM usage_subjects WHERE project_id = ?4)",
            ),
            Filter::Branch(_) => (
                "INDEXED BY usage_of_subject",
                "AND u.subject = (SELECT id FROM usage_subjects WHERE branch_id = ?4)",
            ),
        }
    }

    fn parameters(&self, range: &Range) -> Vec<rusqlite::types::Value> {
        let mut all = vec![number(range.grain).into(), range.start.into(), range.end.into()];
        match self {
            Filter::All => {}
            Filter::Project(id) => all.push(id.to_string().into()),
            Filter::Branch(id) => all.push(id.to_string().into()),
        }
        all
    }
}

/// What was used, and what only Neon's words need.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Used {
    /// What was used.
    pub totals: Totals,
    /// Bytes of WAL.
    pub written: u64,
}

impl std::ops::AddAssign for Used {
    fn add_assign(&mut self, more: Self) {
        self.totals += more.totals;
        self.written = self.written.saturating_add(more.written);
    }
}

pub(super) const SUMS: &str =
    "sum(u.active_ms), sum(u.milli_cu_ms), sum(u.paused_ms), sum(u.storage_byte_hours),
     sum(u.history_byte_hours), sum(u.egress), sum(u.ingress), sum(u.queries), sum(u.written), sum(u.wakes)";

#[allow(clippy::cast_precision_loss, reason = "a year has 35 bits of milliseconds")]
pub(super) fn used(row: &Row<'_>, first: usize) -> Result<Used> {
    let sum = |column: usize| -> Result<u64> {
        Ok(u64::try_from(row.get::<_, Option<i64>>(first + column)?.unwrap_or(0)).unwrap_or(0))
    };
    let real =
        |column: usize| -> Result<f64> { Ok(row.get::<_, Option<f64>>(first + column)?.unwrap_or(0.0)) };
    let totals = Totals {
        active_seconds: sum(0)? as f64 / 1e3,
        cu_seconds: sum(1)? as f64 / 1e6,
        paused_seconds: sum(2)? as f64 / 1e3,
        storage_byte_hours: real(3)?,
        history_byte_hours: real(4)?,
        egress_bytes: sum(5)?,
        ingress_bytes: sum(6)?,
        queries: sum(7)?,
        wakes: sum(9)?,
    };
    Ok(Used { totals, written: sum(8)? })
}

/// A branch as the ledger knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// Its project.
    pub project_id: ProjectId,
    /// The branch.
    pub branch_id: BranchId,
    /// Its name, or its last.
    pub name: String,
    /// Its project's name, or its last.
    pub project_name: String,
    /// It is gone.
    pub deleted: bool,
    /// Its project is gone.
    pub project_deleted: bool,
}

/// What each branch used in these times together, by project and branch.
pub fn by_branch(db: &Connection, ranges: &[Range], filter: &Filter) -> Result<Vec<(Subject, Used)>> {
    let (index, condition) = filter.sql();
    let sql = format!(
        "SELECT u.subject, {SUMS} FROM usage u {index}
         WHERE u.grain = ?1 AND u.start >= ?2 AND u.start < ?3 {condition} GROUP BY u.subject"
    );
    let mut sums: HashMap<i64, Used> = HashMap::new();
    for range in ranges {
        let mut statement = db.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(filter.parameters(range)))?;
        while let Some(row) = rows.next()? {
            *sums.entry(row.get(0)?).or_default() += used(row, 1)?;
        }
    }
    let mut all = Vec::with_capacity(sums.len());
    let mut statement = db.prepare_cached(
        "SELECT s.project_id, s.branch_id, coalesce(b.name, s.name), coalesce(p.name, s.project_name),
             b.id IS NULL OR b.deleting = 1, p.id IS NULL OR p.deleting = 1
         FROM usage_subjects s LEFT JOIN branches b ON b.id = s.branch_id
             LEFT JOIN projects p ON p.id = s.project_id WHERE s.id = ?1",
    )?;
    for (subject, used) in sums {
        let read = |row: &Row<'_>| {
            Ok(Subject {
                project_id: id(row, 0)?,
                branch_id: id(row, 1)?,
                name: row.get(2)?,
                project_name: row.get(3)?,
                deleted: row.get(4)?,
                project_deleted: row.get(5)?,
            })
        };
        all.extend(statement.query_row([subject], read).optional()?.map(|subject| (subject, used)));
    }
    all.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(all)
}

/// What was used in each period of a time, by its beginning (seconds since 1970); periods without use are missing.
pub fn by_time(db: &Connection, range: &Range, filter: &Filter) -> Result<Vec<(i64, Used)>> {
    let (index, condition) = filter.sql();
    let sql = format!(
        "SELECT u.start, {SUMS} FROM usage u {index}
         WHERE u.grain = ?1 AND u.start >= ?2 AND u.start < ?3 {condition} GROUP BY u.start ORDER BY u.start"
    );
    db.prepare_cached(&sql)?
        .query_map(params_from_iter(filter.parameters(range)), |row| Ok((row.get(0)?, used(row, 1)?)))?
        .collect()
}

/// The branch of this ID, also when it is gone.
pub fn find_branch(db: &Connection, project: Option<&ProjectId>, wanted: &str) -> Result<Option<BranchId>> {
    db.prepare_cached(
        "SELECT s.branch_id FROM usage_subjects s WHERE s.branch_id = ?1 AND (?2 IS NULL OR s.project_id = ?2)",
    )?
    .query_row(params![wanted, project.map(ProjectId::as_str)], |row| id(row, 0))
    .optional()
}

/// The branch of a project that is gone and had this name in the end; of several the youngest.
pub fn find_gone(db: &Connection, project: &ProjectId, name: &str) -> Result<Option<BranchId>> {
    db.prepare_cached(
        "SELECT s.branch_id FROM usage_subjects s WHERE s.project_id = ?1 AND s.name = ?2
             AND NOT EXISTS (SELECT 1 FROM branches b WHERE b.id = s.branch_id)
         ORDER BY s.id DESC LIMIT 1",
    )?
    .query_row([project.as_str(), name], |row| id(row, 0))
    .optional()
}

/// Whether the ledger knows a project, also when it is gone.
pub fn knows_project(db: &Connection, project: &ProjectId) -> Result<bool> {
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM usage_subjects WHERE project_id = ?1)")?
        .query_row([project.as_str()], |row| row.get(0))
}
