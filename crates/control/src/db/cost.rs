//! How long branches existed, for those who bill by that. Reads tables `endpoints`, `usage` and `usage_subjects`.

use std::collections::HashMap;

use dormouse_api::usage::Granularity;
use dormouse_base::{BranchId, Timestamp};
use rusqlite::{Connection, Result, params};

use super::column::{id, time};
use super::usage::{Range, number};
use crate::metering::report;

/// How long a branch existed with a compute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Life {
    /// It exists: since when it has each of its endpoints.
    Here(Vec<Timestamp>),
    /// It was deleted: about how long it was in the ledger, seconds.
    Gone(u64),
}

/// Of every branch that has an endpoint, or was deleted. `from` and `to` are whole hours, and bound only those that
/// were deleted.
pub fn lives(
    db: &Connection,
    from: Timestamp,
    to: Timestamp,
    now: Timestamp,
) -> Result<HashMap<BranchId, Life>> {
    let mut lives = HashMap::new();
    let mut statement =
        db.prepare_cached("SELECT branch_id, created_at FROM endpoints WHERE deleting = 0")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let life = lives.entry(id(row, 0)?).or_insert_with(|| Life::Here(Vec::new()));
        if let Life::Here(since) = life {
            since.push(time(row, 1)?);
        }
    }
    let mut statement = db.prepare_cached(
        "SELECT s.branch_id, (SELECT count(*) FROM usage u
             WHERE u.subject = s.id AND u.grain = ?1 AND u.start >= ?2 AND u.start < ?3)
         FROM usage_subjects s WHERE NOT EXISTS
             (SELECT 1 FROM branches b WHERE b.id = s.branch_id AND b.deleting = 0)",
    )?;
    let (range, seconds) = pieces(from, to, now);
    let mut rows = statement.query(params![number(range.grain), range.start, range.end])?;
    while let Some(row) = rows.next()? {
        let count = u64::try_from(row.get::<_, i64>(1)?).unwrap_or_default();
        lives.insert(id(row, 0)?, Life::Gone(count * seconds));
    }
    Ok(lives)
}

/// The shortest rows that are kept of the whole time, and the length of one, seconds.
fn pieces(from: Timestamp, to: Timestamp, now: Timestamp) -> (Range, u64) {
    let kept = from >= report::kept_since(Granularity::Hour, now);
    let (grain, seconds) = if kept { (Granularity::Hour, 3_600) } else { (Granularity::Day, 86_400) };
    (Range { grain, start: from.as_second(), end: to.as_second() }, seconds)
}
