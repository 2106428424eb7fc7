//! What a webhook is told: one JSON object, described in `docs/reference/alerts.md`.

use dormouse_api::alert::{Rule, Scope};
use dormouse_api::statistics::{Metric, Unit};
use dormouse_base::{Timestamp, rand};
use dormouse_statistics::Subject;
use dormouse_statistics::alert::rule::thresholds;
use serde_json::{Value, json};

use super::watch::Change;

/// A new notice's ID.
#[must_use]
pub fn id() -> String {
    format!("dlv_{}", rand::token(24))
}

/// Whom a notice is about, with names for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Who {
    /// As in the API.
    pub scope: Scope,
    /// The project's name.
    pub project: Option<String>,
    /// The name of the endpoint's branch.
    pub branch: Option<String>,
}

impl Who {
    /// A subject of which nothing more is known.
    #[must_use]
    pub fn of(subject: &Subject) -> Self {
        let scope = match subject {
            Subject::Server => Scope::default(),
            Subject::Project(id) => Scope { project_id: Some(id.clone()), endpoint_id: None },
            Subject::Endpoint(id) => Scope { project_id: None, endpoint_id: Some(id.clone()) },
        };
        Self { scope, project: None, branch: None }
    }

    fn for_people(&self) -> String {
        match (&self.scope.endpoint_id, &self.project, &self.branch) {
            (Some(endpoint), Some(project), Some(branch)) => format!("{endpoint} ({project}/{branch})"),
            (Some(endpoint), ..) => endpoint.to_string(),
            (None, Some(project), _) => format!("project {project}"),
            (None, None, _) => match &self.scope.project_id {
                Some(project) => format!("project {project}"),
                None => "the server".to_owned(),
            },
        }
    }
}

/// A figure with its unit, for people.
#[must_use]
pub fn figure(metric: Metric, value: f64) -> String {
    match metric.unit() {
        Unit::Percent => format!("{value:.1} %"),
        Unit::Cu => format!("{value:.2} CU"),
        Unit::Count if value.fract() == 0.0 => format!("{value:.0}"),
        Unit::Count => format!("{value:.1}"),
        Unit::Bytes => format!("{:.2} GiB", value / (1_u64 << 30) as f64),
        Unit::PerHour => format!("{value:.1} per hour"),
        Unit::Milliseconds => format!("{value:.0} ms"),
        Unit::UsdPerHour => format!("${value:.2} per hour"),
    }
}

/// The notice of a change. `rule` is absent when it was deleted.
#[must_use]
pub fn of_change(id: &str, change: &Change, rule: Option<&Rule>, who: &Who) -> Value {
    let now = &change.now;
    let usual = || rule.and_then(|rule| thresholds(rule).threshold(now.state));
    let threshold = now.threshold.or_else(usual);
    let value = now.value.map_or_else(String::new, |value| format!(": {}", figure(now.metric, value)));
    let line =
        threshold.map_or_else(String::new, |line| format!(" (threshold {})", figure(now.metric, line)));
    json!({
        "id": id,
        "type": "alert",
        "at": now.since,
        "rule_id": now.rule,
        "name": now.name,
        "metric": now.metric,
        "unit": now.metric.unit(),
        "scope": who.scope,
        "project_name": who.project,
        "branch_name": who.branch,
        "from": change.from,
        "to": now.state,
        "value": now.value,
        "threshold": threshold,
        "text": format!("{} of {} is {}{value}{line}", now.name, who.for_people(), word(now.state)),
    })
}

fn word(state: dormouse_api::alert::AlertState) -> &'static str {
    use dormouse_api::alert::AlertState;
    match state {
        AlertState::NoData => "not known any more",
        AlertState::Ok => "as it should be",
        AlertState::Warning => "at warning",
        AlertState::Critical => "critical",
    }
}

/// A notice that is sent because somebody wants to see one.
#[must_use]
pub fn of_test(id: &str, at: Timestamp, rule: Option<&Rule>) -> Value {
    let name = rule.map_or("Test", |rule| rule.name.as_str());
    json!({
        "id": id,
        "type": "test",
        "at": at,
        "rule_id": rule.map(|rule| &rule.id),
        "name": name,
        "metric": rule.map(|rule| rule.metric),
        "unit": rule.map(|rule| rule.unit),
        "text": format!("{name}: this is a test of Dormouse's alerts; nothing has happened"),
    })
}

#[cfg(test)]
mod tests {
    use dormouse_api::alert::AlertState;

    use super::*;
    use crate::alerts::watch::Firing;

    #[test]
    fn a_notice_says_it_for_programs_and_for_people() {
        let rules = dormouse_statistics::alert::defaults();
        let rule = rules.iter().find(|rule| rule.metric == Metric::CpuUtilization).unwrap();
        let subject = Subject::Endpoint("ep-one".parse().unwrap());
        let now = Firing {
            rule: rule.id.clone(),
            name: rule.name.clone(),
            metric: rule.metric,
            subject: subject.clone(),
            state: AlertState::Critical,
            value: Some(91.23),
            threshold: None,
            since: Timestamp::from_second(1_700_000_000).unwrap(),
        };
        let change = Change { now, from: AlertState::Ok };
        let who = Who { project: Some("shop".into()), branch: Some("main".into()), ..Who::of(&subject) };
        let told = of_change("dlv_1", &change, Some(rule), &who);
        let text = "CPU of ep-one (shop/main) is critical: 91.2 % (threshold 85.0 %)";
        assert_eq!(told["text"], text);
        assert_eq!((&told["to"], &told["threshold"]), (&json!("critical"), &json!(85.0)));
        assert_eq!(told["scope"], json!({"endpoint_id": "ep-one"}));
        let gone = of_change("dlv_1", &change, None, &Who::of(&Subject::Server));
        assert_eq!(gone["text"], "CPU of the server is critical: 91.2 %");
        assert_eq!(of_test("dlv_2", change.now.since, None)["type"], "test");
    }
}
