//! Tables `usage…`: the ledger's rows. [`store`] writes a batch, [`load`] is where the next server goes on from,
//! [`by_branch`] and [`by_time`] read the roll-ups.
//!
//! Every gain is added to its hour, its day and its month, so that reading never adds up more than what is asked
//! for, and old hours can go ([`prune`]) without anything being lost from the months.

use std::collections::{BTreeMap, HashMap};

use dormouse_api::usage::{Granularity, Totals};
use dormouse_base::{BranchId, Cu, EndpointId, ProjectId, Timestamp};
use jiff::ToSpan;
use jiff::tz::TimeZone;
use rusqlite::{Connection, OptionalExtension, Result, Row, params, params_from_iter};

use super::column::{id, micros, time};
use crate::metering::{Account, Batch, Doing, Gain, HOUR_MS, Hour, Level, Mark, Moment};

/// Days that hours are kept.
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

/// A run of an endpoint begins: whoever finds its compute later knows that it was off before.
pub fn open(db: &Connection, endpoint: &EndpointId, now: &Moment) -> Result<()> {
    let Some(subject) = subject_of_endpoint(db, endpoint)? else { return Ok(()) };
    put_mark(db, endpoint, subject, &Mark { doing: Doing::Off, cu: Cu::MIN, at: *now })
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

const SUMS: &str = "sum(u.active_ms), sum(u.milli_cu_ms), sum(u.paused_ms), sum(u.storage_byte_hours),
     sum(u.history_byte_hours), sum(u.egress), sum(u.ingress), sum(u.queries), sum(u.written), sum(u.wakes)";

#[allow(clippy::cast_precision_loss, reason = "a year has 35 bits of milliseconds")]
fn used(row: &Row<'_>, first: usize) -> Result<Used> {
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

/// The branch that was last known by this name (or ID) in a project, also when it is gone.
pub fn find_branch(db: &Connection, project: Option<&ProjectId>, name: &str) -> Result<Option<BranchId>> {
    db.prepare_cached(
        "SELECT s.branch_id FROM usage_subjects s WHERE s.branch_id = ?1 AND (?2 IS NULL OR s.project_id = ?2)",
    )?
    .query_row(params![name, project.map(ProjectId::as_str)], |row| id(row, 0))
    .optional()
}

/// Whether the ledger knows a project, also when it is gone.
pub fn knows_project(db: &Connection, project: &ProjectId) -> Result<bool> {
    db.prepare_cached("SELECT EXISTS (SELECT 1 FROM usage_subjects WHERE project_id = ?1)")?
        .query_row([project.as_str()], |row| row.get(0))
}

/// Branches that are gone, and have something in the store as far as the ledger knows.
pub fn gone(db: &Connection) -> Result<Vec<BranchId>> {
    db.prepare_cached(
        "SELECT s.branch_id FROM usage_subjects s WHERE (s.storage > 0 OR s.history > 0)
         AND NOT EXISTS (SELECT 1 FROM branches b WHERE b.id = s.branch_id)",
    )?
    .query_map([], |row| id(row, 0))?
    .collect()
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
        let Ok(oldest) = now.checked_sub((kept_days(grain) * 24).hours()) else { continue };
        db.prepare_cached("DELETE FROM usage WHERE grain = ?1 AND start < ?2")?
            .execute(params![number(grain), oldest.as_second()])?;
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
