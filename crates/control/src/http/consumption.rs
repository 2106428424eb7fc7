//! What was used in Neon's words, from the ledger.

use std::collections::HashMap;

use axum::extract::State;
use axum::{Extension, Json};
use dormouse_api::consumption::{
    AccountConsumption, ConsumptionQuery, Granularity, Period, ProjectConsumption, ProjectsConsumption,
    Timeframe,
};
use dormouse_api::usage::Granularity as Grain;
use dormouse_api::user::PLAN;
use dormouse_api::{Page, PageQuery};
use dormouse_base::{Kind, ProjectId, Timestamp, clock};

use super::error::Error;
use super::extract::{Asked, Window};
use crate::control::Control;
use crate::db::projects;
use crate::db::usage::{self, Filter, Range, Used};
use crate::identity::Caller;
use crate::metering::report::{Span, floor, kept_since, starts};
use crate::model::record::Project;

/// The most projects that one request may name.
const MAX_NAMED: usize = 100;

const HOUR_S: f64 = 3600.0;

/// The length of a period, and the most of them in one reply.
fn grain(granularity: Granularity) -> (Grain, usize) {
    match granularity {
        Granularity::Hourly => (Grain::Hour, 168),
        Granularity::Daily => (Grain::Day, 60),
        Granularity::Monthly => (Grain::Month, 12),
    }
}

/// The periods that are asked for.
struct Frames {
    grain: Grain,
    span: Span,
}

impl Frames {
    fn of(query: &ConsumptionQuery) -> Result<Self, Error> {
        let (grain, most) = grain(query.granularity);
        let span = Span { from: floor(query.from, grain), to: floor(query.to, grain) };
        let count = starts(span, grain).take(most + 1).count();
        if count == 0 || count > most {
            let message = format!(
                "`from` must be before `to`, with at most {most} periods of this `granularity` between them"
            );
            return Err(Error::new(Kind::Invalid, "bad-query", message));
        }
        Ok(Self { grain, span })
    }

    fn range(&self) -> Range {
        Range { grain: self.grain, start: self.span.from.as_second(), end: self.span.to.as_second() }
    }

    /// What was used in each of them; `begun` is when counting began, as far as its owner knows.
    fn period(&self, begun: Timestamp, known: Option<Timestamp>, used: &[(i64, Used)]) -> Period {
        let by_start: HashMap<i64, &Used> = used.iter().map(|(start, used)| (*start, used)).collect();
        let now = clock::now();
        let first = known.unwrap_or(begun).max(begun);
        let told = |frame: Span| {
            // A mean is over the part of the period that there was, and that is known.
            let lived = Span { from: frame.from.max(first), to: frame.to.min(now) };
            timeframe(frame, lived, by_start.get(&frame.from.as_second()).copied())
        };
        Period {
            period_id: "all".to_owned(),
            period_plan: PLAN.to_owned(),
            period_start: begun,
            known_since: known.filter(|known| *known > begun),
            consumption: starts(self.span, self.grain).map(told).collect(),
        }
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sums are not negative, and far below 2^63"
)]
fn timeframe(frame: Span, lived: Span, used: Option<&Used>) -> Timeframe {
    let used = used.copied().unwrap_or_default();
    let hours = lived.to.duration_since(lived.from).as_secs_f64() / HOUR_S;
    let kept = used.totals.storage_byte_hours + used.totals.history_byte_hours;
    Timeframe {
        timeframe_start: frame.from,
        timeframe_end: frame.to,
        active_time_seconds: used.totals.active_seconds as u64,
        compute_time_seconds: used.totals.cu_seconds as u64,
        written_data_bytes: used.written,
        synthetic_storage_size_bytes: if hours > 0.0 { (kept / hours) as u64 } else { 0 },
        data_storage_bytes_hour: used.totals.storage_byte_hours as u64,
        data_transfer_bytes: used.totals.egress_bytes,
    }
}

/// `GET /consumption_history/account`.
pub(super) async fn account(
    State(control): State<Control>,
    Asked(query): Asked<ConsumptionQuery>,
) -> Result<Json<AccountConsumption>, Error> {
    let frames = Frames::of(&query)?;
    let filters = match named(&query)? {
        named if named.is_empty() => vec![Filter::All],
        named => control.of(&named)?.into_iter().map(|row| Filter::Project(row.id)).collect(),
    };
    let (told, known) = control.used(filters, frames.range()).await?;
    let mut sums: HashMap<i64, Used> = HashMap::new();
    for (start, used) in told.into_iter().flatten() {
        *sums.entry(start).or_default() += used;
    }
    let sums: Vec<(i64, Used)> = sums.into_iter().collect();
    let oldest = control.foundation.db.read("list projects", |db| projects::list(db, None, None, 1))?;
    let begun = oldest.first().map_or_else(clock::now, |project| project.created_at);
    Ok(Json(AccountConsumption { periods: vec![frames.period(begun, Some(known), &sums)] }))
}

/// `GET /consumption_history/projects`.
pub(super) async fn projects(
    State(control): State<Control>,
    Extension(caller): Extension<Caller>,
    Asked(query): Asked<ConsumptionQuery>,
) -> Result<Json<ProjectsConsumption>, Error> {
    let frames = Frames::of(&query)?;
    let named = named(&query)?;
    let window = Window::of(PageQuery { limit: query.limit, cursor: query.cursor, search: None })?;
    let mut rows = match &caller.project {
        Some(own) => {
            control.foundation.db.read("read a project", |db| projects::get(db, own))?.into_iter().collect()
        }
        None if named.is_empty() => control.foundation.db.read("list projects", |db| {
            projects::list(db, window.after.as_deref(), None, window.limit + 1)
        })?,
        None => control.of(&named)?,
    };
    if !named.is_empty() {
        rows.retain(|row: &Project| named.iter().any(|id| id == row.id.as_str()));
    }
    let pagination = window.cut(&mut rows, |row| row.id.to_string()).map(Page::at_cursor);
    let filters = rows.iter().map(|row| Filter::Project(row.id.clone())).collect();
    let (told, known) = control.used(filters, frames.range()).await?;
    let one = |(row, used): (Project, Vec<(i64, Used)>)| {
        let period = frames.period(row.created_at, Some(known), &used);
        ProjectConsumption { project_id: row.id, periods: vec![period] }
    };
    Ok(Json(ProjectsConsumption { projects: rows.into_iter().zip(told).map(one).collect(), pagination }))
}

fn named(query: &ConsumptionQuery) -> Result<Vec<String>, Error> {
    let text = query.project_ids.as_deref().unwrap_or_default();
    let all: Vec<String> = text.split(',').filter(|id| !id.is_empty()).map(str::to_owned).collect();
    if all.len() > MAX_NAMED {
        let message =
            format!("`project_ids` names {} projects: at most {MAX_NAMED} are told at once", all.len());
        return Err(Error::new(Kind::Invalid, "bad-query", message));
    }
    Ok(all)
}

impl Control {
    /// Projects by ID.
    fn of(&self, named: &[String]) -> Result<Vec<Project>, Error> {
        let ids = named.iter().filter_map(|id| id.parse::<ProjectId>().ok());
        let found = self.foundation.db.read("find projects", |db| {
            let found = ids.map(|id| projects::get(db, &id));
            found.collect::<rusqlite::Result<Vec<_>>>()
        })?;
        Ok(found.into_iter().flatten().filter(|row| !row.deleting).collect())
    }

    /// What each of these used, period by period, and since when that is known.
    async fn used(
        &self,
        filters: Vec<Filter>,
        range: Range,
    ) -> Result<(Vec<Vec<(i64, Used)>>, Timestamp), Error> {
        let now = clock::now();
        let read = move |db: &rusqlite::Connection| {
            let told = filters.iter().map(|filter| usage::by_time(db, &range, filter));
            Ok((told.collect::<rusqlite::Result<Vec<_>>>()?, usage::since(db)?))
        };
        let (told, since) = self.foundation.db.survey("add up what was used", read).await?;
        Ok((told, since.unwrap_or(now).max(kept_since(range.grain, now))))
    }
}

#[cfg(test)]
mod tests {
    use dormouse_api::usage::Totals;

    use super::*;

    #[test]
    fn a_mean_is_over_the_part_of_a_period_that_there_was() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let month = Span { from: at("2026-11-01T00:00:00Z"), to: at("2026-12-01T00:00:00Z") };
        // 10 GB since the 21st, asked for on the 26th: 5 days × 24 h × 10 GB.
        let totals = Totals { storage_byte_hours: 1200e9, ..Totals::default() };
        let used = Used { totals, written: 0 };
        let lived = Span { from: at("2026-11-21T00:00:00Z"), to: at("2026-11-26T00:00:00Z") };
        let told = timeframe(month, lived, Some(&used));
        assert_eq!((told.synthetic_storage_size_bytes, told.timeframe_end), (10_000_000_000, month.to));
        let unborn = Span { from: month.to, to: lived.to };
        assert_eq!(timeframe(month, unborn, Some(&used)).synthetic_storage_size_bytes, 0);
    }
}
