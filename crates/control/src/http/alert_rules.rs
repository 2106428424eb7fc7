//! The rules of alerts.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use dormouse_api::alert::{
    Comparison, CreateRule, DEFAULT_CLEAR_RATIO, Rule, RuleReply, RuleTested, Rules, Scope, Subject,
    UpdateRule,
};
use dormouse_api::statistics::Statistic;
use dormouse_base::{AlertRuleId, Kind, clock};
use dormouse_statistics::alert::rule::{check, default_each};
use dormouse_statistics::alert::{BadRule, defaults};
use futures_util::future::join_all;

use super::alerts::Places;
use super::audit::Made;
use super::error::Error;
use super::extract::Body;
use crate::alerts::notice;
use crate::control::Control;
use crate::db::{alerts, endpoints, webhooks};
use crate::reconcile::alerts::{shown, verdict};
use crate::reconcile::notices;

/// The most rules that are made on one server.
pub const MAX_RULES: usize = 200;

impl From<BadRule> for Error {
    fn from(bad: BadRule) -> Self {
        Self::new(Kind::Invalid, "bad-alert-rule", bad.0)
    }
}

/// `GET /alerts/rules`.
pub(super) async fn list(State(control): State<Control>) -> Result<Json<Rules>, Error> {
    Ok(Json(Rules { rules: control.foundation.db.read("read the rules", alerts::rules)? }))
}

/// `GET /alerts/rules/{rule_id}`.
pub(super) async fn get(
    State(control): State<Control>,
    Path(rule): Path<String>,
) -> Result<Json<RuleReply>, Error> {
    Ok(Json(RuleReply { rule: control.alert_rule(&rule)? }))
}

/// `POST /alerts/rules`.
pub(super) async fn create(
    State(control): State<Control>,
    Body(wish): Body<CreateRule>,
) -> Result<(StatusCode, Extension<Made>, Json<RuleReply>), Error> {
    let db = &control.foundation.db;
    if db.read("count the rules", alerts::count)? >= MAX_RULES {
        let message =
            format!("this server has {MAX_RULES} alert rules, which is its limit: delete one first");
        return Err(Error::new(Kind::Limit, "too-many-alert-rules", message));
    }
    let scope = control.alert_scope(wish.scope.unwrap_or_default())?;
    let in_project = scope.project_id.is_some() || scope.endpoint_id.is_some();
    let rule = Rule {
        id: AlertRuleId::generate(),
        name: wish.name,
        metric: wish.metric,
        unit: wish.metric.unit(),
        statistic: wish.statistic.unwrap_or(Statistic::Average),
        period_seconds: wish.period_seconds.unwrap_or(60),
        datapoints: wish.datapoints.unwrap_or(1),
        comparison: wish.comparison.unwrap_or(Comparison::Above),
        warning: wish.warning,
        critical: wish.critical,
        clear_ratio: wish.clear_ratio.unwrap_or(DEFAULT_CLEAR_RATIO),
        each: wish.each.unwrap_or_else(|| default_each(wish.metric, in_project)),
        scope,
        enabled: wish.enabled.unwrap_or(true),
        default: false,
    };
    check(&rule)?;
    let stored = rule.clone();
    db.write("add an alert rule", move |db| alerts::put_rule(db, &stored, clock::now())).await?;
    let made = Extension(Made { project: None, name: rule.id.to_string() });
    Ok((StatusCode::CREATED, made, Json(RuleReply { rule })))
}

/// `PATCH /alerts/rules/{rule_id}`.
pub(super) async fn update(
    State(control): State<Control>,
    Path(rule): Path<String>,
    Body(wish): Body<UpdateRule>,
) -> Result<Json<RuleReply>, Error> {
    let old = control.alert_rule(&rule)?;
    let rule = Rule {
        name: wish.name.unwrap_or(old.name),
        statistic: wish.statistic.unwrap_or(old.statistic),
        period_seconds: wish.period_seconds.unwrap_or(old.period_seconds),
        datapoints: wish.datapoints.unwrap_or(old.datapoints),
        comparison: wish.comparison.unwrap_or(old.comparison),
        warning: wish.warning.unwrap_or(old.warning),
        critical: wish.critical.unwrap_or(old.critical),
        clear_ratio: wish.clear_ratio.unwrap_or(old.clear_ratio),
        enabled: wish.enabled.unwrap_or(old.enabled),
        ..old
    };
    check(&rule)?;
    let stored = rule.clone();
    let db = &control.foundation.db;
    db.write("change an alert rule", move |db| alerts::put_rule(db, &stored, clock::now())).await?;
    Ok(Json(RuleReply { rule }))
}

/// `DELETE /alerts/rules/{rule_id}`.
pub(super) async fn delete(
    State(control): State<Control>,
    Path(rule): Path<String>,
) -> Result<Json<RuleReply>, Error> {
    let rule = control.alert_rule(&rule)?;
    let id = rule.id.clone();
    control.foundation.db.write("remove an alert rule", move |db| alerts::delete_rule(db, &id)).await?;
    let again = defaults().into_iter().find(|known| known.id == rule.id);
    Ok(Json(RuleReply { rule: again.unwrap_or(rule) }))
}

/// `POST /alerts/rules/{rule_id}/test`.
pub(super) async fn test(
    State(control): State<Control>,
    Path(rule): Path<String>,
) -> Result<Json<RuleTested>, Error> {
    let rule = control.alert_rule(&rule)?;
    let places = Places::all(&control)?;
    let shown = shown(&control, &rule, clock::now()).map_err(|trouble| {
        tracing::error!(error = &trouble as &dyn std::error::Error, "cannot try an alert rule");
        Error::new(Kind::Internal, "statistics-failed", "the statistics cannot be read: see the server's log")
    })?;
    let subjects = shown.into_iter().filter_map(|(subject, value)| {
        let scope = places.scope(&subject)?;
        let state = verdict(&control, &rule, &subject, value);
        Some(Subject { scope, value: Some(value), state })
    });
    let subjects = subjects.collect();
    let webhooks = control.foundation.db.read("list webhooks", webhooks::all)?;
    // All at once: twenty receivers that do not answer, one after the other, would take minutes.
    let told = join_all(webhooks.iter().map(|webhook| {
        let id = notice::id();
        let body = notice::of_test(&id, clock::now(), Some(&rule)).to_string();
        let control = &control;
        async move { notices::once(control, webhook, &id, body).await }
    }));
    let deliveries = told.await.into_iter().filter_map(Result::transpose).collect::<Result<_, _>>()?;
    Ok(Json(RuleTested { subjects, deliveries }))
}

impl Control {
    /// The rule that a path names.
    fn alert_rule(&self, id: &str) -> Result<Rule, Error> {
        let rules = self.foundation.db.read("read the rules", alerts::rules)?;
        let known = || rules.iter().map(|rule| rule.id.to_string()).take(20).collect::<Vec<_>>().join(", ");
        let found = rules.iter().find(|rule| rule.id.as_str() == id).cloned();
        found.ok_or_else(|| {
            Error::not_found("alert rule", "alert-rule-not-found", id).hint(format!("there are: {}", known()))
        })
    }

    /// What a rule is to be about, with IDs that exist.
    fn alert_scope(&self, wish: Scope) -> Result<Scope, Error> {
        let project = wish.project_id.map(|id| self.project(id.as_str())).transpose()?;
        let project_id = project.map(|project| project.id);
        let Some(endpoint) = wish.endpoint_id else { return Ok(Scope { project_id, endpoint_id: None }) };
        let row = self.foundation.db.read("find an endpoint", |db| endpoints::get(db, &endpoint))?;
        let here = row.filter(|row| project_id.as_ref().is_none_or(|only| *only == row.project_id));
        match here {
            Some(row) => Ok(Scope { project_id: Some(row.project_id), endpoint_id: Some(row.id) }),
            None => Err(Error::not_found("endpoint", "endpoint-not-found", endpoint.as_str())),
        }
    }
}
