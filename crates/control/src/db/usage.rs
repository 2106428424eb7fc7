//! Tables `usage…`: the ledger's rows. [`store`] writes a batch, [`load`] is where the next server goes on from,
//! [`rollups`] reads what was used.
//!
//! Every gain is added to its hour, its day and its month, so that reading never adds up more than what is asked
//! for, and old hours can go ([`prune`]) without anything being lost from the months.

use std::collections::BTreeMap;

use dormouse_api::usage::Granularity;
use dormouse_base::{BranchId, Cu, EndpointId, ProjectId, Timestamp};
use jiff::tz::TimeZone;
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::column::{id, micros, time};
use crate::metering::{Account, Batch, Doing, Gain, HOUR_MS, Hour, Level, Mark, Moment, report};

mod rollups;
mod month;

pub use month::{Month, of_branch, of_branches, of_projects};
pub use rollups::{Filter, Range, Subject, Used, by_branch, by_time, find_branch, find_gone, knows_project};

/// Days that hours are kept at least: see [`report::kept_since`].
pub const HOURS_KEPT_DAYS: i64 = 35;
/// Days that days are kept.
pub const DAYS_KEPT_DAYS: i64 = 400;
/// Days that months are kept: ten years.
pub const MONTHS_KEPT_DAYS: i64 = 3653;

const DAY_S: i64 = 24 * 3600;

/// How long periods of a length are kept, days.
#[must_use]
pub fn kept_days(grain: Granularity) -> i64 {
    match grain {
        Granularity::Hour => HOURS_KEPT_DAYS,
        Granularity::Day => DAYS_KEPT_DAYS,
        Granularity::Month => MONTHS_KEPT_DAYS,
    }
}

pub(super) fn number(grain: Granularity) -> i64 {
    match grain {
        Granularity::Hour => 0,
        Granularity::Day => 1,
        Granularity::Month => 2,
    }
}

fn doing_number(doing: Doing) -> i64 {
    match doing {
        Doing::Off => 0,
        Doing::Active => 1,
        Doing::Paused => 2,
    }
}

fn doing(row: &Row<'_>, column: usize) -> Result<Doing> {
    Ok(match row.get::<_, i64>(column)? {
        1 => Doing::Active,
        2 => Doing::Paused,
        _ => Doing::Off,
    })
}

fn moment(row: &Row<'_>, column: usize) -> Result<Moment> {
    let (boot, uptime): (i64, i64) = (row.get(column + 1)?, row.get(column + 2)?);
    let uptime_ms = u64::try_from(uptime).unwrap_or(0);
    Ok(Moment { wall: time(row, column)?, boot: boot.cast_unsigned(), uptime_ms })
}

fn whole(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[allow(clippy::cast_precision_loss, reason = "a sum of byte-hours has 53 bits, which is a part in 10^15")]
fn byte_hours(byte_ms: u128) -> f64 {
    byte_ms as f64 / HOUR_MS as f64
}

/// What the next server goes on from.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The number of the last batch.
    pub number: u64,
    /// Until when endpoints are counted.
    pub marks: Vec<(EndpointId, Mark)>,
    /// What branches have, and until when that is counted.
    pub levels: Vec<(BranchId, Level)>,
}

/// Reads where the ledger stands.
pub fn load(db: &Connection) -> Result<Loaded> {
    let number = db.query_row("SELECT number FROM usage_book", [], |row| row.get::<_, i64>(0)).optional()?;
    let marks = db
        .prepare_cached("SELECT endpoint_id, doing, milli_cu, wall, boot, uptime_ms FROM usage_marks")?
        .query_map([], |row| {
            let mark = Mark { doing: doing(row, 1)?, cu: Cu::from_milli(row.get(2)?), at: moment(row, 3)? };
            Ok((id(row, 0)?, mark))
        })?
        .collect::<Result<_>>()?;
    let levels = db
        .prepare_cached(
            "SELECT branch_id, storage, history, wall, boot, uptime_ms FROM usage_subjects
             WHERE storage > 0 OR history > 0",
        )?
        .query_map([], |row| {
            let (storage, history): (i64, i64) = (row.get(1)?, row.get(2)?);
            let bytes = |value| u64::try_from(value).unwrap_or(0);
            let level = Level { storage: bytes(storage), history: bytes(history), at: moment(row, 3)? };
            Ok((id(row, 0)?, level))
        })?
        .collect::<Result<_>>()?;
    Ok(Loaded { number: number.map_or(0, |n| u64::try_from(n).unwrap_or(0)), marks, levels })
}

/// Since when there is a ledger; `None` = it has not begun.
pub fn since(db: &Connection) -> Result<Option<Timestamp>> {
    db.query_row("SELECT since FROM usage_book", [], |row| time(row, 0)).optional()
}

/// Whose a gain is, by the number of its row; remembered for one batch.
struct Subjects<'a> {
    db: &'a Connection,
    known: BTreeMap<Account, Option<i64>>,
}

impl Subjects<'_> {
    /// The row of an account; `None` when its branch was gone before anything of it was ever stored.
    fn of(&mut self, account: &Account) -> Result<Option<i64>> {
        if let Some(known) = self.known.get(account) {
            return Ok(*known);
        }
        let found = match account {
            Account::Branch(branch) => subject(self.db, branch)?,
            Account::Endpoint(endpoint) => subject_of_endpoint(self.db, endpoint)?,
        };
        self.known.insert(account.clone(), found);
        Ok(found)
    }
}

/// The row of a branch, made if the branch exists.
fn subject(db: &Connection, branch: &BranchId) -> Result<Option<i64>> {
    let known = db
        .prepare_cached("SELECT id FROM usage_subjects WHERE branch_id = ?1")?
        .query_row([branch.as_str()], |row| row.get(0))
        .optional()?;
    if known.is_some() {
        return Ok(known);
    }
    db.prepare_cached(
        "INSERT INTO usage_subjects (branch_id, project_id, name, project_name)
         SELECT b.id, p.id, b.name, p.name FROM branches b JOIN projects p ON p.id = b.project_id WHERE b.id = ?1
         RETURNING id",
    )?
    .query_row([branch.as_str()], |row| row.get(0))
    .optional()
}

fn subject_of_endpoint(db: &Connection, endpoint: &EndpointId) -> Result<Option<i64>> {
    let branch: Option<BranchId> = db
        .prepare_cached("SELECT branch_id FROM endpoints WHERE id = ?1")?
        .query_row([endpoint.as_str()], |row| id(row, 0))
        .optional()?;
    match branch {
        Some(branch) => subject(db, &branch),
        None => db
            .prepare_cached("SELECT subject FROM usage_marks WHERE endpoint_id = ?1")?
            .query_row([endpoint.as_str()], |row| row.get(0))
            .optional(),
    }
}

/// Stores a batch. False: it was stored before, and nothing changes.
pub fn store(db: &Connection, batch: &Batch, now: Timestamp) -> Result<bool> {
    let stored: Option<i64> =
        db.query_row("SELECT number FROM usage_book", [], |row| row.get(0)).optional()?;
    if stored.is_some_and(|stored| whole(batch.number) <= stored) {
        return Ok(false);
    }
    let mut subjects = Subjects { db, known: BTreeMap::new() };
    for (account, hour, gain) in &batch.gains {
        if let Some(subject) = subjects.of(account)? {
            add(db, subject, *hour, gain)?;
        }
    }
    for (endpoint, mark) in &batch.marks {
        if let Some(subject) = subjects.of(&Account::Endpoint(endpoint.clone()))? {
            put_mark(db, endpoint, subject, mark)?;
        }
    }
    for (branch, level) in &batch.levels {
        if subjects.of(&Account::Branch(branch.clone()))?.is_some() {
            put_level(db, branch, level)?;
        }
    }
    db.prepare_cached(
        "INSERT INTO usage_book (only, number, since) VALUES (1, ?1, ?2)
         ON CONFLICT (only) DO UPDATE SET number = excluded.number",
    )?
    .execute(params![whole(batch.number), micros(now)])?;
    Ok(true)
}

fn put_mark(db: &Connection, endpoint: &EndpointId, subject: i64, mark: &Mark) -> Result<()> {
    // A batch that had to wait must not take back what was written meanwhile by `open`.
    db.prepare_cached(
        "INSERT INTO usage_marks (endpoint_id, subject, doing, milli_cu, wall, boot, uptime_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (endpoint_id) DO UPDATE SET subject = excluded.subject, doing = excluded.doing,
             milli_cu = excluded.milli_cu, wall = excluded.wall, boot = excluded.boot, uptime_ms = excluded.uptime_ms
         WHERE excluded.boot <> boot OR excluded.uptime_ms >= uptime_ms",
    )?
    .execute(params![
        endpoint.as_str(),
        subject,
        doing_number(mark.doing),
        mark.cu.milli(),
        micros(mark.at.wall),
        mark.at.boot.cast_signed(),
        whole(mark.at.uptime_ms)
    ])?;
    Ok(())
}

fn put_level(db: &Connection, branch: &BranchId, level: &Level) -> Result<()> {
    db.prepare_cached(
        "UPDATE usage_subjects SET storage = ?2, history = ?3, wall = ?4, boot = ?5, uptime_ms = ?6
         WHERE branch_id = ?1",
    )?
    .execute(params![
        branch.as_str(),
        whole(level.storage),
        whole(level.history),
        micros(level.at.wall),
        level.at.boot.cast_signed(),
        whole(level.at.uptime_ms)
    ])?;
    Ok(())
}

/// A run of an endpoint begins at a size: whoever finds its compute later knows that it was off before.
pub fn open(db: &Connection, endpoint: &EndpointId, cu: Cu, now: &Moment) -> Result<()> {
    let Some(subject) = subject_of_endpoint(db, endpoint)? else { return Ok(()) };
    put_mark(db, endpoint, subject, &Mark { doing: Doing::Off, cu, at: *now })
}

/// The beginnings of the hour's day and month, seconds since 1970.
fn around(hour: Hour) -> (i64, i64) {
    let start = hour.start();
    let day = start.div_euclid(DAY_S) * DAY_S;
    let month = Timestamp::from_second(day)
        .ok()
        .and_then(|at| at.to_zoned(TimeZone::UTC).first_of_month().ok())
        .map_or(day, |at| at.timestamp().as_second());
    (day, month)
}

fn add(db: &Connection, subject: i64, hour: Hour, gain: &Gain) -> Result<()> {
    let (day, month) = around(hour);
    let starts = [(Granularity::Hour, hour.start()), (Granularity::Day, day), (Granularity::Month, month)];
    let mut statement = db.prepare_cached(
        "INSERT INTO usage (grain, start, subject, active_ms, milli_cu_ms, paused_ms, storage_byte_hours,
             history_byte_hours, egress, ingress, queries, written, wakes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT (grain, start, subject) DO UPDATE SET
             active_ms = active_ms + excluded.active_ms,
             milli_cu_ms = milli_cu_ms + excluded.milli_cu_ms,
             paused_ms = paused_ms + excluded.paused_ms,
             storage_byte_hours = storage_byte_hours + excluded.storage_byte_hours,
             history_byte_hours = history_byte_hours + excluded.history_byte_hours,
             egress = egress + excluded.egress,
             ingress = ingress + excluded.ingress,
             queries = queries + excluded.queries,
             written = written + excluded.written,
             wakes = wakes + excluded.wakes",
    )?;
    for (grain, start) in starts {
        statement.execute(params![
            number(grain),
            start,
            subject,
            whole(gain.active_ms),
            whole(gain.milli_cu_ms),
            whole(gain.paused_ms),
            byte_hours(gain.storage_byte_ms),
            byte_hours(gain.history_byte_ms),
            whole(gain.traffic.egress),
            whole(gain.traffic.ingress),
            whole(gain.traffic.queries),
            whole(gain.written),
            whole(gain.wakes)
        ])?;
    }
    Ok(())
}

/// Which of these branches are gone.
pub fn gone(db: &Connection, branches: Vec<BranchId>) -> Result<Vec<BranchId>> {
    let mut exists = db.prepare_cached("SELECT 1 FROM branches WHERE id = ?1")?;
    let mut gone = Vec::new();
    for branch in branches {
        if !exists.exists([branch.as_str()])? {
            gone.push(branch);
        }
    }
    Ok(gone)
}

/// What the branches of a project have in the store, bytes of data and of their past.
pub fn stored(db: &Connection, project: &ProjectId) -> Result<(u64, u64)> {
    let sum: (i64, i64) = db
        .prepare_cached(
            "SELECT coalesce(sum(s.storage), 0), coalesce(sum(s.history), 0) FROM usage_subjects s
             JOIN branches b ON b.id = s.branch_id WHERE s.project_id = ?1",
        )?
        .query_row([project.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((u64::try_from(sum.0).unwrap_or(0), u64::try_from(sum.1).unwrap_or(0)))
}

/// Removes what is not kept any more, and takes over the names that branches have now.
pub fn prune(db: &Connection, now: Timestamp) -> Result<()> {
    for grain in Granularity::ALL {
        db.prepare_cached("DELETE FROM usage WHERE grain = ?1 AND start < ?2")?
            .execute(params![number(grain), report::kept_since(grain, now).as_second()])?;
    }
    db.execute_batch(
        "UPDATE usage_subjects AS s SET name = b.name, project_name = p.name
             FROM branches b JOIN projects p ON p.id = b.project_id
             WHERE b.id = s.branch_id AND (s.name <> b.name OR s.project_name <> p.name);
         DELETE FROM usage_marks WHERE NOT EXISTS (SELECT 1 FROM endpoints e WHERE e.id = endpoint_id);
         DELETE FROM usage_subjects WHERE storage = 0 AND history = 0
             AND NOT EXISTS (SELECT 1 FROM branches b WHERE b.id = branch_id)
             AND NOT EXISTS (SELECT 1 FROM usage u WHERE u.subject = usage_subjects.id);",
    )
}

#[cfg(test)]
mod tests;
