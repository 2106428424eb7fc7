//! From the ledger to money: a report of usage as what [`dormouse_pricing`] prices. Pure.
//!
//! What a provider bills as one database is a branch here. It is billed for its existence (where providers do so)
//! while it has an endpoint, once per endpoint; a branch without one is data only. Nothing is billed before the
//! ledger began, so that a comparison with 24/7 is about the same time on both sides.

use std::collections::{BTreeMap, HashMap};

use dormouse_api::cost::{CostLine, Price, PriceSheet, SheetCost};
use dormouse_api::usage::{Report, Totals};
use dormouse_base::{BranchId, ProjectId, Timestamp};
use dormouse_pricing::{Bill, Database, Line, Period, Pricing, Project, Sheet, Usage};
use jiff::tz::TimeZone;
use jiff::{ToSpan, Zoned};

use crate::db::cost::Life;

/// A month of the calendar, UTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Month {
    /// Its name, such as `2026-11`.
    pub name: String,
    /// Its first moment.
    pub from: Timestamp,
    /// The first moment after it.
    pub to: Timestamp,
}

impl Month {
    /// The month that a moment is in.
    #[must_use]
    pub fn of(at: Timestamp) -> Self {
        let first = at.to_zoned(TimeZone::UTC).first_of_month().and_then(|day| day.start_of_day());
        Self::starting(&first.unwrap_or_else(|_| at.to_zoned(TimeZone::UTC)))
    }

    /// From its name; `None` when that is none.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let exact = name.len() == 7 && name.is_ascii();
        let day: jiff::civil::Date = exact.then(|| format!("{name}-01").parse().ok()).flatten()?;
        Some(Self::starting(&day.to_zoned(TimeZone::UTC).ok()?))
    }

    fn starting(first: &Zoned) -> Self {
        let next = first.checked_add(1.month()).map_or(Timestamp::MAX, |next| next.timestamp());
        Self { name: first.strftime("%Y-%m").to_string(), from: first.timestamp(), to: next }
    }

    /// How long it is, seconds.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        between(self.from, self.to)
    }
}

fn between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_second().saturating_sub(from.as_second())).unwrap_or_default()
}

/// What a report says, as what is priced. `month_seconds` is the length of the month that it is part of.
#[must_use]
pub fn usage(report: &Report, lives: &HashMap<BranchId, Life>, month_seconds: u64) -> Usage {
    let projects = by_project(report, lives).into_values().collect();
    Usage { period: period(report, month_seconds), projects }
}

/// The same, each project as an account of its own.
#[must_use]
pub fn usages(
    report: &Report,
    lives: &HashMap<BranchId, Life>,
    month_seconds: u64,
) -> BTreeMap<ProjectId, Usage> {
    let alone = |(id, project)| {
        let period = period(report, month_seconds);
        (id, Usage { period, projects: vec![project] })
    };
    by_project(report, lives).into_iter().map(alone).collect()
}

fn known_from(report: &Report) -> Timestamp {
    report.from.max(report.known_since)
}

fn period(report: &Report, month_seconds: u64) -> Period {
    Period { seconds: between(known_from(report), report.to), month_seconds }
}

fn by_project(report: &Report, lives: &HashMap<BranchId, Life>) -> BTreeMap<ProjectId, Project> {
    let mut projects = BTreeMap::<ProjectId, Project>::new();
    for branch in &report.branches {
        let exists = exists(lives.get(&branch.branch_id), report, &branch.totals);
        let project = projects.entry(branch.project_id.clone()).or_default();
        project.databases.push(database(&branch.totals, exists));
    }
    projects
}

/// How long it is billed by who bills existence, seconds; all its endpoints added up.
fn exists(life: Option<&Life>, report: &Report, totals: &Totals) -> u64 {
    match life {
        Some(Life::Here(endpoints)) => {
            let from = known_from(report);
            endpoints.iter().map(|since| between(from.max(*since), report.to)).sum()
        }
        Some(Life::Gone(seconds)) if totals.active_seconds > 0.0 => {
            (*seconds).min(between(known_from(report), report.to))
        }
        // Data only; what it did is billed all the same.
        Some(Life::Gone(_)) | None => 0,
    }
}

/// What one branch used, as what is priced; `exists` is how long it existed, seconds.
#[must_use]
pub fn database(totals: &Totals, exists: u64) -> Database {
    Database {
        exists_seconds: exists,
        active_seconds: whole(totals.active_seconds),
        milli_cu_seconds: whole(totals.cu_seconds * 1e3).into(),
        // The ledger does not keep the largest size: fixed sizes are asked for the mean, in favour of who sells them.
        // It is taken from the exact numbers, because a few seconds that are rounded would move it.
        peak_milli_cu: (totals.active_seconds > 0.0)
            .then(|| whole(totals.cu_seconds * 1e3 / totals.active_seconds)),
        storage_byte_seconds: large(totals.storage_byte_hours * 3_600.0),
        history_byte_seconds: large(totals.history_byte_hours * 3_600.0),
        egress_bytes: totals.egress_bytes,
        io_requests: None,
        wakes: totals.wakes,
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; `as` saturates")]
fn whole(number: f64) -> u64 {
    number.max(0.0).round() as u64
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative; `as` saturates")]
fn large(number: f64) -> u128 {
    number.max(0.0).round() as u128
}

/// What usage costs by the default sheet, for limits of spending. Only totals are known there: they are taken as one
/// database that exists while it is active, with the fees and allowances of one month. `month_seconds` is the length of
/// the month that it is in.
#[must_use]
pub fn spent(pricing: &Pricing, used: &Totals, month_seconds: u64) -> f64 {
    let period = Period { seconds: month_seconds, month_seconds };
    pricing.spend(&Usage::of(period, database(used, 0))).to_f64()
}

/// A bill in the words of the API.
#[must_use]
pub fn told(sheet: &Sheet, bill: Bill) -> SheetCost {
    SheetCost {
        id: sheet.id.clone(),
        provider: sheet.provider.clone(),
        plan: sheet.plan.clone(),
        region: sheet.region.clone(),
        currency: sheet.currency.clone(),
        dated: sheet.dated.to_string(),
        total: bill.total.to_f64(),
        always_on_total: bill.always_on_total.to_f64(),
        saving: bill.saving().to_f64(),
        saving_percent: bill.saving_percent(),
        fits: bill.fits,
        lines: bill.lines.into_iter().map(line).collect(),
        notes: bill.notes,
    }
}

fn line(line: Line) -> CostLine {
    CostLine {
        item: line.item,
        quantity: line.quantity,
        unit: line.unit,
        unit_price: line.unit_price.to_f64(),
        amount: line.amount.to_f64(),
    }
}

/// A sheet in the words of the API.
#[must_use]
pub fn sheet(sheet: &Sheet) -> PriceSheet {
    let price = |row: dormouse_pricing::sheet::PriceRow| Price {
        item: row.item,
        unit: row.unit,
        price: row.price.to_f64(),
        beyond: row.beyond.map(dormouse_pricing::Fixed::to_f64),
    };
    PriceSheet {
        id: sheet.id.clone(),
        provider: sheet.provider.clone(),
        plan: sheet.plan.clone(),
        region: sheet.region.clone(),
        currency: sheet.currency.clone(),
        dated: sheet.dated.to_string(),
        source: sheet.source.clone(),
        scales_to_zero: sheet.compute.sleep().sleeps,
        prices: sheet.rows().into_iter().map(price).collect(),
        notes: sheet.notes.clone(),
    }
}

#[cfg(test)]
#[path = "cost_tests.rs"]
mod tests;
