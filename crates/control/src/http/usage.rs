//! `/usage`: what branches and projects used, from the ledger.

use std::collections::{BTreeMap, HashMap};

use axum::extract::State;
use axum::{Extension, Json};
use dormouse_api::usage::{BranchUsage, Granularity, ProjectUsage, Query, Report, UsagePeriod};
use dormouse_base::{Kind, ProjectId, Timestamp, clock};

use super::error::Error;
use super::extract::Asked;
use crate::control::Control;
use crate::db::usage::{self as rows, Filter, Range, Subject, Used};
use crate::identity::Caller;
use crate::metering::report::{self, MAX_PERIODS, Span, Unfit};

/// `GET /usage`.
pub(super) async fn get(
    State(control): State<Control>,
    Extension(caller): Extension<Caller>,
    Asked(mut query): Asked<Query>,
) -> Result<Json<Report>, Error> {
    if let Some(own) = &caller.project {
        // The same words whether another project exists or not.
        if let Some(name) = query.project_id.as_deref()
            && !control.filter_of_project(name).is_ok_and(|asked| asked == *own)
        {
            return Err(not_found("project", name));
        }
        query.project_id = Some(own.to_string());
    }
    Ok(Json(control.usage(&query).await?))
}

fn not_found(what: &'static str, name: &str) -> Error {
    let code = if what == "project" { "project-not-found" } else { "branch-not-found" };
    Error::not_found(what, code, name)
}

fn unfit(why: Unfit) -> Error {
    let (message, hint) = match why {
        Unfit::Empty => ("`from` must be before `to`, and not in the future".to_owned(), None),
        Unfit::TooMany => (
            format!("that is more than {MAX_PERIODS} periods of this `granularity`"),
            Some("ask for longer periods, or for less time".to_owned()),
        ),
        Unfit::Gone(by) => {
            let (name, days) = (by.name(), rows::kept_days(by));
            let longer = if by == Granularity::Hour { "`day` or `month`" } else { "`month`" };
            (
                format!("`granularity={name}` goes back {days} days, and `from` is earlier"),
                Some(format!("ask for {longer}")),
            )
        }
    };
    let error = Error::new(Kind::Invalid, "bad-query", message);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

impl Control {
    /// What a caller may know of what was used.
    pub(super) async fn usage_for(&self, caller: &Caller, mut query: Query) -> Result<Report, Error> {
        if let Some(own) = &caller.project {
            let asked = query.project_id.as_deref().map(|name| self.filter_of_project(name)).transpose()?;
            if asked.is_some_and(|asked| asked != *own) {
                return Err(not_found("project", query.project_id.as_deref().unwrap_or_default()));
            }
            query.project_id = Some(own.to_string());
        }
        self.usage(&query).await
    }

    /// A project by its ID, or by name while it exists.
    fn filter_of_project(&self, name: &str) -> Result<ProjectId, Error> {
        if let Ok(id) = name.parse::<ProjectId>()
            && self.foundation.db.read("look for a project", |db| rows::knows_project(db, &id))?
        {
            return Ok(id);
        }
        Ok(self.project(name)?.id)
    }

    fn filter(&self, query: &Query) -> Result<Filter, Error> {
        let project = query.project_id.as_deref().map(|name| self.filter_of_project(name)).transpose()?;
        let Some(branch) = query.branch_id.as_deref() else {
            return Ok(project.map_or(Filter::All, Filter::Project));
        };
        let known = self
            .foundation
            .db
            .read("look for a branch", |db| rows::find_branch(db, project.as_ref(), branch))?;
        let project = match (known, project) {
            (Some(known), _) => return Ok(Filter::Branch(known)),
            (None, Some(project)) => project,
            (None, None) => {
                return Err(not_found("branch", branch).hint("a branch's name needs its project beside it"));
            }
        };
        let unknown = match self.branch(project.as_str(), branch) {
            Ok(place) => return Ok(Filter::Branch(place.branch.id)),
            Err(error) => error,
        };
        let db = &self.foundation.db;
        let gone = db.read("look for a branch", |db| rows::find_gone(db, &project, branch))?;
        gone.map(Filter::Branch).ok_or(unknown)
    }

    /// What was used, from the roll-ups: cheap, and away from the executor's threads.
    ///
    /// # Errors
    /// When the query cannot be answered, or the metadata cannot be read.
    pub async fn usage(&self, query: &Query) -> Result<Report, Error> {
        let now = clock::now();
        let filter = self.filter(query)?;
        let asked = Span {
            from: query.from.unwrap_or_else(|| report::floor(now, Granularity::Month)),
            to: query.to.unwrap_or(now),
        };
        let span = report::widened(asked, query.granularity, now).map_err(unfit)?;
        let by = query.granularity;
        let read = move |db: &rusqlite::Connection| {
            let branches = rows::by_branch(db, &report::ranges(span, now), &filter)?;
            let periods = match by {
                Some(grain) => rows::by_time(db, &range(grain, span), &filter)?,
                None => Vec::new(),
            };
            Ok((branches, periods, rows::since(db)?))
        };
        let (branches, periods, since) = self.foundation.db.survey("add up what was used", read).await?;
        Ok(told(span, by, branches, &periods, since, now))
    }
}

fn range(grain: Granularity, span: Span) -> Range {
    Range { grain, start: span.from.as_second(), end: span.to.as_second() }
}

/// A report.
pub(crate) fn told(
    span: Span,
    by: Option<Granularity>,
    branches: Vec<(Subject, Used)>,
    periods: &[(i64, Used)],
    since: Option<Timestamp>,
    now: Timestamp,
) -> Report {
    let mut projects: BTreeMap<ProjectId, ProjectUsage> = BTreeMap::new();
    for (subject, used) in &branches {
        let project = projects.entry(subject.project_id.clone()).or_insert_with(|| ProjectUsage {
            project_id: subject.project_id.clone(),
            name: subject.project_name.clone(),
            deleted: subject.project_deleted,
            totals: dormouse_api::usage::Totals::default(),
        });
        project.totals += used.totals;
    }
    let by_start: HashMap<i64, &Used> = periods.iter().map(|(start, used)| (*start, used)).collect();
    let period = |frame: Span| UsagePeriod {
        start: frame.from,
        end: frame.to,
        totals: by_start.get(&frame.from.as_second()).map(|used| used.totals).unwrap_or_default(),
    };
    Report {
        from: span.from,
        to: span.to.min(now),
        granularity: by,
        known_since: since.unwrap_or(now),
        totals: branches.iter().map(|(_, used)| used.totals).sum(),
        projects: projects.into_values().collect(),
        branches: branches.into_iter().map(|(subject, used)| branch(subject, used)).collect(),
        periods: by.into_iter().flat_map(|by| report::starts(span, by)).map(period).collect(),
    }
}

fn branch(subject: Subject, used: Used) -> BranchUsage {
    let Subject { project_id, branch_id, name, deleted, .. } = subject;
    BranchUsage { project_id, branch_id, name, deleted, totals: used.totals }
}
