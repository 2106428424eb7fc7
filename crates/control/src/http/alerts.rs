//! What alerts say, and what changed.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use axum::extract::State;
use axum::{Extension, Json};
use dormouse_api::PageQuery;
use dormouse_api::alert::{Alert, Alerts, AlertsQuery, Change as Told, Rule, Scope};
use dormouse_base::{EndpointId, ProjectId};
use dormouse_statistics::Subject;

use super::error::Error;
use super::extract::{Asked, Window};
use crate::control::Control;
use crate::db::{alerts, endpoints};
use crate::identity::Caller;

/// The most alerts that are shown, the worst of them.
pub const MAX_SHOWN: usize = 1000;
/// The most changes that are looked at for a history.
const MAX_LOOKED_AT: usize = alerts::KEPT_CHANGES;

/// Which projects' alerts are wanted, and where endpoints are.
pub(super) struct Places {
    /// Only this project; `None` = all, and the server.
    only: Option<ProjectId>,
    endpoints: BTreeMap<EndpointId, ProjectId>,
}

impl Places {
    pub(super) fn all(control: &Control) -> Result<Self, Error> {
        let endpoints = control.foundation.db.read("list endpoints", endpoints::projects)?;
        Ok(Self { only: None, endpoints })
    }

    /// As the API shows a subject; `None` when it is not wanted.
    pub(super) fn scope(&self, subject: &Subject) -> Option<Scope> {
        let scope = match subject {
            Subject::Server => Scope::default(),
            Subject::Project(id) => Scope { project_id: Some(id.clone()), endpoint_id: None },
            Subject::Endpoint(id) => {
                Scope { project_id: self.endpoints.get(id).cloned(), endpoint_id: Some(id.clone()) }
            }
        };
        let wanted = self.only.is_none() || scope.project_id == self.only;
        wanted.then_some(scope)
    }
}

/// `GET /alerts`.
pub(super) async fn list(
    State(control): State<Control>,
    Extension(caller): Extension<Caller>,
    Asked(query): Asked<AlertsQuery>,
) -> Result<Json<Alerts>, Error> {
    let window = Window::of(PageQuery { limit: query.limit, ..PageQuery::default() })?;
    let named = query.project_id.as_deref().map(|named| control.project_for(&caller, named)).transpose()?;
    let places = Places { only: named.or(caller.project), ..Places::all(&control)? };
    let rules = control.foundation.db.read("read the rules", alerts::rules)?;
    let alerts = states(&control, &rules, &places, &query);
    let history = history(&control, &places, window.limit)?;
    Ok(Json(Alerts { alerts, history }))
}

fn states(control: &Control, rules: &[Rule], places: &Places, query: &AlertsQuery) -> Vec<Alert> {
    let watch = control.foundation.watch.lock();
    let all = watch.all().filter(|(.., spot)| query.state.is_none_or(|only| only == spot.tracked.state));
    let told = all.filter_map(|(id, subject, spot)| {
        let rule = rules.iter().find(|rule| rule.id == *id)?;
        Some(Alert {
            rule_id: id.clone(),
            name: rule.name.clone(),
            metric: rule.metric,
            unit: rule.unit,
            scope: places.scope(subject)?,
            state: spot.tracked.state,
            value: spot.value,
            threshold: spot.threshold(rule),
            since: spot.since,
        })
    });
    let mut told: Vec<Alert> = told.collect();
    drop(watch);
    told.sort_by_key(|alert| (Reverse(alert.state), Reverse(alert.since)));
    told.truncate(MAX_SHOWN);
    told
}

fn history(control: &Control, places: &Places, limit: usize) -> Result<Vec<Told>, Error> {
    let (mut told, mut looked) = (Vec::new(), 0);
    control.foundation.db.read("read what changed", |db| {
        alerts::history(db, |id, change| {
            looked += 1;
            if let Some(scope) = places.scope(&change.now.subject) {
                told.push(Told {
                    id,
                    at: change.now.since,
                    rule_id: change.now.rule,
                    name: change.now.name,
                    metric: change.now.metric,
                    scope,
                    from: change.from,
                    to: change.now.state,
                    value: change.now.value,
                });
            }
            told.len() >= limit || looked >= MAX_LOOKED_AT
        })
    })?;
    Ok(told)
}
