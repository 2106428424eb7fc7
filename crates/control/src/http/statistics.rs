//! What was measured, period by period.

use axum::extract::State;
use axum::{Extension, Json};
use dormouse_api::statistics::{
    By, Datapoint, KEPT_SECONDS, MAX_DATAPOINTS, MAX_SERIES, Metric, MetricInfo, MetricList, Series,
    Statistic, Statistics, StatisticsQuery,
};
use dormouse_base::{EndpointId, Kind, ProjectId, Timestamp, clock};
use dormouse_runtime::task;
use dormouse_statistics::query::{MAX_READ, Plan};
use dormouse_statistics::tier::{LONGEST, is_period};
use dormouse_statistics::{Key, Question, Subject};

use super::error::Error;
use super::extract::Asked;
use crate::control::Control;
use crate::db::endpoints;
use crate::identity::Caller;

/// What is shown when nobody says from when: the last hour.
const DEFAULT_SECONDS: i64 = 3600;

/// A subject with its project.
type Of = (Subject, Option<ProjectId>);

fn bad(message: String) -> Error {
    Error::new(Kind::Invalid, "bad-query", message)
}

/// `GET /statistics/metrics`.
pub(super) async fn metrics() -> Json<MetricList> {
    let info =
        |name: Metric| MetricInfo { name, unit: name.unit(), description: name.description().to_owned() };
    Json(MetricList { metrics: Metric::ALL.map(info).to_vec() })
}

/// `GET /statistics`.
pub(super) async fn get(
    State(control): State<Control>,
    Extension(caller): Extension<Caller>,
    Asked(query): Asked<StatisticsQuery>,
) -> Result<Json<Statistics>, Error> {
    let metrics = named(query.metrics.as_deref(), "metrics", &Metric::ALL, Metric::named, Metric::name)?;
    let statistics =
        named(query.statistics.as_deref(), "statistics", &Statistic::ALL, Statistic::named, Statistic::name)?;
    let now = clock::now();
    let (from, to, period) = span(&query, now)?;
    let subjects = subjects(&control, &caller, &query)?;
    let plan = Plan::of(period, from, to, now.as_second());
    let series = subjects.len() * metrics.len();
    check_size(&plan, series)?;
    let of = |(subject, project): &Of| {
        let (subject, project) = (subject.clone(), project.clone());
        metrics.iter().map(move |metric| (Key { subject: subject.clone(), metric: *metric }, project.clone()))
    };
    let (keys, projects): (Vec<Key>, Vec<_>) = subjects.iter().flat_map(of).unzip();
    let question = Question { keys, from, to, period, statistics };
    let recorder = control.foundation.recorder.clone();
    let asked = task::blocking(move || recorder.ask(&question, now.as_second()));
    let answer = asked.await.map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "statistics");
        Error::new(Kind::Internal, "statistics-failed", "the statistics cannot be read: see the server's log")
    })?;
    let told =
        answer.series.into_iter().zip(projects).map(|((key, points), project)| tell(key, project, points));
    Ok(Json(Statistics {
        from: Timestamp::from_second(answer.plan.from).unwrap_or_default(),
        to: Timestamp::from_second(to).unwrap_or_default(),
        period: u32::try_from(answer.plan.period).unwrap_or(u32::MAX),
        series: told.collect(),
    }))
}

fn tell(key: Key, project_id: Option<ProjectId>, datapoints: Vec<Datapoint>) -> Series {
    let endpoint_id = match key.subject {
        Subject::Endpoint(id) => Some(id),
        Subject::Project(_) | Subject::Server => None,
    };
    Series { metric: key.metric, unit: key.metric.unit(), endpoint_id, project_id, datapoints }
}

/// A list of names with commas between them; all of them when absent.
fn named<T: Copy + PartialEq>(
    text: Option<&str>,
    field: &str,
    all: &[T],
    find: impl Fn(&str) -> Option<T>,
    name: impl Fn(T) -> &'static str,
) -> Result<Vec<T>, Error> {
    let Some(text) = text else { return Ok(all.to_vec()) };
    let mut found = Vec::new();
    for part in text.split(',').map(str::trim) {
        let one = find(part).ok_or_else(|| {
            let known = all.iter().map(|one| name(*one)).collect::<Vec<_>>().join(", ");
            let shown: String = part.chars().take(60).collect();
            bad(format!("`{field}` names `{shown}`, which there is not")).hint(format!("there are: {known}"))
        })?;
        if !found.contains(&one) {
            found.push(one);
        }
    }
    Ok(found)
}

/// From when to when, and the period if one is wished for. Seconds since 1970.
fn span(query: &StatisticsQuery, now: Timestamp) -> Result<(i64, i64, Option<i64>), Error> {
    // What is only a moment ahead is a clock that is.
    let to = query.to.unwrap_or(now).min(now).as_second();
    let from = query.from.map_or(to - DEFAULT_SECONDS, Timestamp::as_second);
    if from >= to {
        return Err(bad("`from` must be before `to`, and before now".to_owned()));
    }
    // Whoever asks for exactly 15 days asked a moment ago.
    if from < now.as_second() - KEPT_SECONDS - LONGEST {
        return Err(bad("`from` is more than 15 days ago: statistics are kept for that long".to_owned()));
    }
    let period = query.period.map(i64::from);
    if period.is_some_and(|period| !is_period(period)) {
        return Err(bad(format!("`period` must be 10, or a multiple of 60 up to {LONGEST} seconds")));
    }
    Ok((from, to, period))
}

fn check_size(plan: &Plan, series: usize) -> Result<(), Error> {
    if series > MAX_SERIES {
        return Err(bad(format!("this asks for {series} series: at most {MAX_SERIES} are told at once"))
            .hint("name fewer `metrics`, or a project"));
    }
    let (points, rows) = (plan.datapoints() * series, plan.rows() * series);
    if points > MAX_DATAPOINTS || rows > MAX_READ {
        let message = format!(
            "this asks for {points} datapoints: at most {MAX_DATAPOINTS} are told at once, of {MAX_READ} rows"
        );
        return Err(bad(message).hint("ask for a longer `period`, a shorter time or fewer `metrics`"));
    }
    Ok(())
}

/// Whom the question is about. Who is bound to a project sees only that.
fn subjects(control: &Control, caller: &Caller, query: &StatisticsQuery) -> Result<Vec<Of>, Error> {
    if let Some(text) = &query.endpoint_id {
        if query.by.is_some() {
            return Err(bad("`by` divides a project or the server: leave `endpoint_id` out".to_owned()));
        }
        let missing = || Error::not_found("endpoint", "endpoint-not-found", text);
        let row = control.foundation.db.read("find an endpoint", |db| endpoints::get_by_text(db, text))?;
        let row = row.filter(|row| !row.deleting && caller.sees(&row.project_id)).ok_or_else(missing)?;
        if let Some(project) = &query.project_id
            && control.project_for(caller, project)? != row.project_id
        {
            return Err(missing());
        }
        return Ok(vec![(Subject::Endpoint(row.id), Some(row.project_id))]);
    }
    let project = match (&query.project_id, &caller.project) {
        (Some(named), _) => Some(control.project_for(caller, named)?),
        (None, own) => own.clone(),
    };
    match (query.by, project) {
        (None, Some(project)) => Ok(vec![(Subject::Project(project.clone()), Some(project))]),
        (None, None) => Ok(vec![(Subject::Server, None)]),
        (Some(By::Endpoint), project) => {
            let all = control.foundation.db.read("list endpoints", endpoints::projects)?;
            let wanted = |(_, of): &(EndpointId, ProjectId)| project.as_ref().is_none_or(|only| only == of);
            let each = all.into_iter().filter(wanted);
            Ok(each.map(|(endpoint, project)| (Subject::Endpoint(endpoint), Some(project))).collect())
        }
    }
}
