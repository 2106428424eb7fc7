//! What projects and branches used in one month, and what they have now: for replies that show them in passing.

use std::collections::HashMap;

use dormouse_api::usage::Granularity;
use dormouse_base::{BranchId, ProjectId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Result, params};

use super::number;
use super::rollups::{SUMS, Used, used};
use crate::db::column::{id, maybe_time};

/// A project's month.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Month {
    /// What it used.
    pub used: Used,
    /// Bytes of data and of its past, as they were measured last.
    pub stored: Option<(u64, u64)>,
    /// When an endpoint of it was active last.
    pub last_active: Option<Timestamp>,
}

/// Of the project that is named, or of all, in the month that began then; projects of which nothing is known are missing.
pub fn of_projects(
    db: &Connection,
    month: Timestamp,
    only: Option<&ProjectId>,
) -> Result<HashMap<ProjectId, Month>> {
    let only = only.map(ProjectId::as_str);
    let mut months: HashMap<ProjectId, Month> = HashMap::new();
    let sql = format!(
        "SELECT s.project_id, {SUMS} FROM usage_subjects s CROSS JOIN usage u INDEXED BY usage_of_subject
         WHERE (?3 IS NULL OR s.project_id = ?3) AND u.subject = s.id AND u.grain = ?1 AND u.start = ?2
         GROUP BY s.project_id"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query(params![number(Granularity::Month), month.as_second(), only])?;
    while let Some(row) = rows.next()? {
        months.entry(id(row, 0)?).or_default().used = used(row, 1)?;
    }
    let mut statement = db.prepare_cached(
        "SELECT s.project_id, sum(s.storage), sum(s.history) FROM usage_subjects s
         JOIN branches b ON b.id = s.branch_id WHERE ?1 IS NULL OR s.project_id = ?1 GROUP BY s.project_id",
    )?;
    let mut rows = statement.query([only])?;
    while let Some(row) = rows.next()? {
        let bytes = |column| Ok::<_, rusqlite::Error>(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0));
        months.entry(id(row, 0)?).or_default().stored = Some((bytes(1)?, bytes(2)?));
    }
    let mut statement = db.prepare_cached(
        "SELECT project_id, max(last_active) FROM endpoints WHERE ?1 IS NULL OR project_id = ?1 GROUP BY project_id",
    )?;
    let mut rows = statement.query([only])?;
    while let Some(row) = rows.next()? {
        months.entry(id(row, 0)?).or_default().last_active = maybe_time(row, 1)?;
    }
    Ok(months)
}

/// Of every branch of a project that used something in the month that began then.
pub fn of_branches(
    db: &Connection,
    month: Timestamp,
    project: &ProjectId,
) -> Result<HashMap<BranchId, Used>> {
    let sql = format!(
        "SELECT s.branch_id, {SUMS} FROM usage_subjects s CROSS JOIN usage u INDEXED BY usage_of_subject
         WHERE s.project_id = ?3 AND u.subject = s.id AND u.grain = ?1 AND u.start = ?2 GROUP BY s.branch_id"
    );
    db.prepare_cached(&sql)?
        .query_map(params![number(Granularity::Month), month.as_second(), project.as_str()], |row| {
            Ok((id(row, 0)?, used(row, 1)?))
        })?
        .collect()
}

/// Of one branch.
pub fn of_branch(db: &Connection, month: Timestamp, branch: &BranchId) -> Result<Used> {
    let sql = format!(
        "SELECT {SUMS} FROM usage u JOIN usage_subjects s ON s.id = u.subject
         WHERE s.branch_id = ?3 AND u.grain = ?1 AND u.start = ?2"
    );
    let found = db
        .prepare_cached(&sql)?
        .query_row(params![number(Granularity::Month), month.as_second(), branch.as_str()], |row| {
            used(row, 0)
        })
        .optional()?;
    Ok(found.unwrap_or_default())
}
