//! What was used, as far as it is recorded: how long endpoints were active.

use axum::extract::State;
use axum::{Extension, Json};
use dormouse_api::consumption::{
    AccountConsumption, ConsumptionQuery, Granularity, Period, ProjectConsumption, ProjectsConsumption,
    Timeframe,
};
use dormouse_api::user::PLAN;
use dormouse_api::{Page, PageQuery};
use dormouse_base::{Kind, Timestamp, clock};

use super::error::Error;
use super::extract::{Asked, Window};
use crate::control::Control;
use crate::db::{activity, projects};
use crate::identity::Caller;
use crate::model::activity::{self as rules, Span};
use crate::model::record::Project;

/// The most projects that one request may name.
const MAX_NAMED: usize = 100;

/// The most periods of one reply, by granularity.
fn most(granularity: Granularity) -> usize {
    match granularity {
        Granularity::Hourly => 168,
        Granularity::Daily => 60,
        Granularity::Monthly => 12,
    }
}

/// `GET /consumption_history/account`.
pub(super) async fn account(
    State(control): State<Control>,
    Asked(query): Asked<ConsumptionQuery>,
) -> Result<Json<AccountConsumption>, Error> {
    let frames = frames(&query)?;
    let named = named(&query)?;
    let (mut spans, mut first, mut known) = (Vec::new(), None, None);
    let mut after = None::<String>;
    loop {
        let db = &control.foundation.db;
        let page = db.read("list projects", |db| projects::list(db, after.as_deref(), None, MAX_NAMED))?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.to_string());
        for project in page {
            if !named.is_empty() && !named.iter().any(|id| id == project.id.as_str()) {
                continue;
            }
            let (own, since) = control.active(&project)?;
            spans.extend(own);
            first = first.or(Some(project.created_at));
            known = known.max(since);
        }
    }
    let start = first.unwrap_or_else(clock::now);
    Ok(Json(AccountConsumption { periods: vec![period(start, known, &frames, &spans)] }))
}

/// `GET /consumption_history/projects`.
pub(super) async fn projects(
    State(control): State<Control>,
    Extension(caller): Extension<Caller>,
    Asked(query): Asked<ConsumptionQuery>,
) -> Result<Json<ProjectsConsumption>, Error> {
    let frames = frames(&query)?;
    let named = named(&query)?;
    let window = Window::of(PageQuery { limit: query.limit, cursor: query.cursor, search: None })?;
    let mut rows = match &caller.project {
        Some(own) => {
            control.foundation.db.read("read a project", |db| projects::get(db, own))?.into_iter().collect()
        }
        None if named.is_empty() => control.foundation.db.read("list projects", |db| {
            projects::list(db, window.after.as_deref(), None, window.limit + 1)
        })?,
        None => {
            let named = named.clone();
            control.foundation.db.read("find projects", |db| {
                let found = named.iter().map(|id| projects::find(db, id));
                found.collect::<rusqlite::Result<Vec<_>>>().map(|all| all.into_iter().flatten().collect())
            })?
        }
    };
    if !named.is_empty() {
        rows.retain(|row: &Project| named.iter().any(|id| id == row.id.as_str()));
    }
    let pagination = window.cut(&mut rows, |row| row.id.to_string()).map(Page::at_cursor);
    let told = rows.into_iter().map(|row| {
        let (spans, known) = control.active(&row)?;
        let periods = vec![period(row.created_at, known, &frames, &spans)];
        Ok(ProjectConsumption { project_id: row.id, periods })
    });
    Ok(Json(ProjectsConsumption { projects: told.collect::<Result<_, Error>>()?, pagination }))
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

fn frames(query: &ConsumptionQuery) -> Result<Vec<Span>, Error> {
    let most = most(query.granularity);
    rules::frames(query.from, query.to, query.granularity, most).ok_or_else(|| {
        let message = format!(
            "`from` must be before `to`, with at most {most} periods of this `granularity` between them"
        );
        Error::new(Kind::Invalid, "bad-query", message)
    })
}

fn period(start: Timestamp, known_since: Option<Timestamp>, frames: &[Span], spans: &[Span]) -> Period {
    let consumption = frames.iter().map(|frame| Timeframe {
        timeframe_start: frame.from,
        timeframe_end: frame.to,
        active_time_seconds: rules::within(frame, spans),
    });
    Period {
        period_id: "all".to_owned(),
        period_plan: PLAN.to_owned(),
        period_start: start,
        known_since,
        consumption: consumption.collect(),
    }
}

impl Control {
    /// When the endpoints of a project were active, and since when that is known (`None` = from the beginning).
    fn active(&self, project: &Project) -> Result<(Vec<Span>, Option<Timestamp>), Error> {
        let of =
            self.foundation.db.read("read what endpoints did", |db| activity::of_project(db, &project.id))?;
        let now = clock::now();
        let (mut spans, mut known) = (Vec::new(), None);
        for endpoint in of {
            if endpoint.is_trimmed {
                known = known.max(endpoint.turns.first().map(|(at, _)| *at));
            }
            spans.extend(rules::spans(&endpoint.turns, now));
        }
        Ok((spans, known))
    }
}
