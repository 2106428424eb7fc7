//! What a rule may be.

use dormouse_api::alert::{Comparison, Each, Rule};
use dormouse_api::statistics::Metric;

use super::state::Thresholds;
use crate::tier::{TIERS, exactly};

/// The most periods that may have to agree.
pub const MAX_DATAPOINTS: u32 = 60;
/// The longest name, characters.
pub const MAX_NAME: usize = 100;

/// A rule that makes no sense. Safe to show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadRule(pub String);

/// What has a state of its own when a rule does not say.
#[must_use]
pub fn default_each(metric: Metric, one_project: bool) -> Each {
    match metric {
        Metric::CostPerHour | Metric::StorageUtilization if one_project => Each::Project,
        Metric::CostPerHour | Metric::StorageUtilization => Each::Server,
        Metric::QuotaUtilization => Each::Project,
        _ => Each::Endpoint,
    }
}

/// The lines of a rule.
#[must_use]
pub fn thresholds(rule: &Rule) -> Thresholds {
    Thresholds {
        comparison: rule.comparison,
        warning: rule.warning,
        critical: rule.critical,
        clear_ratio: rule.clear_ratio,
        datapoints: rule.datapoints,
    }
}

/// Whether a rule makes sense.
///
/// # Errors
/// What is wrong with it, and what to do.
pub fn check(rule: &Rule) -> Result<(), BadRule> {
    let bad = |text: String| Err(BadRule(text));
    let name = rule.name.trim();
    if name.is_empty() || rule.name.chars().count() > MAX_NAME || rule.name.chars().any(char::is_control) {
        return bad(format!("`name` must have 1 to {MAX_NAME} characters, none of them a control character"));
    }
    if exactly(i64::from(rule.period_seconds)).is_none() {
        let known = TIERS.map(|tier| tier.seconds.to_string()).join(", ");
        return bad(format!("`period_seconds` must be one of {known}"));
    }
    if !(1..=MAX_DATAPOINTS).contains(&rule.datapoints) {
        return bad(format!("`datapoints` must be 1 to {MAX_DATAPOINTS}"));
    }
    if !(rule.clear_ratio > 0.0 && rule.clear_ratio <= 1.0) {
        return bad("`clear_ratio` must be more than 0 and at most 1".to_owned());
    }
    for (name, line) in [("warning", rule.warning), ("critical", rule.critical)] {
        if line.is_some_and(|line| !line.is_finite() || line < 0.0) {
            return bad(format!("`{name}` must be a number that is not negative"));
        }
    }
    match (rule.warning, rule.critical, rule.comparison) {
        (None, None, _) => bad("a rule needs `warning`, `critical` or both".to_owned()),
        (Some(warning), Some(critical), Comparison::Above) if warning > critical => {
            bad("`warning` must not be above `critical` when `comparison` is `>`".to_owned())
        }
        (Some(warning), Some(critical), Comparison::Below) if warning < critical => {
            bad("`warning` must not be below `critical` when `comparison` is `<`".to_owned())
        }
        _ => check_subject(rule),
    }
}

fn check_subject(rule: &Rule) -> Result<(), BadRule> {
    let bad = |text: &str| Err(BadRule(text.to_owned()));
    match (rule.each, &rule.scope) {
        (Each::Server, scope) if scope.project_id.is_some() || scope.endpoint_id.is_some() => {
            bad("`each: server` is about the whole server: leave `scope` out")
        }
        (Each::Project, scope) if scope.endpoint_id.is_some() => {
            bad("`each: project` is about whole projects: name no endpoint in `scope`")
        }
        (Each::Endpoint, _) if rule.metric == Metric::StorageUtilization => {
            bad("`storage_utilization` is of projects and the server: use `each: project` or `each: server`")
        }
        (Each::Endpoint | Each::Server, _) if rule.metric == Metric::QuotaUtilization => {
            bad("`quota_utilization` is of projects: use `each: project`")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use dormouse_api::alert::Scope;

    use super::*;
    use crate::alert::defaults;

    #[test]
    fn what_makes_no_sense_is_refused_with_what_to_do() {
        let good = defaults().remove(0);
        assert_eq!(check(&good), Ok(()));
        let refused = |change: &dyn Fn(&mut Rule), word: &str| {
            let mut rule = good.clone();
            change(&mut rule);
            let error = check(&rule).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        };
        refused(&|rule| rule.name = " ".to_owned(), "name");
        refused(&|rule| rule.name = "a\nb".to_owned(), "name");
        refused(&|rule| rule.period_seconds = 61, "period_seconds");
        refused(&|rule| rule.datapoints = 0, "datapoints");
        refused(&|rule| rule.clear_ratio = 0.0, "clear_ratio");
        refused(&|rule| rule.clear_ratio = f64::NAN, "clear_ratio");
        refused(&|rule| rule.warning = Some(f64::INFINITY), "warning");
        refused(&|rule| (rule.warning, rule.critical) = (None, None), "needs");
        refused(&|rule| rule.warning = Some(99.0), "above");
        refused(&|rule| rule.comparison = Comparison::Below, "below");
        let endpoint_id = Some("ep-quiet-meadow-k3v9x2ab".parse().unwrap());
        let scope = Scope { endpoint_id, ..Scope::default() };
        refused(&|rule| (rule.each, rule.scope) = (Each::Server, scope.clone()), "server");
        refused(&|rule| (rule.each, rule.scope) = (Each::Project, scope.clone()), "endpoint");
        refused(&|rule| rule.metric = Metric::StorageUtilization, "storage_utilization");
        refused(&|rule| rule.metric = Metric::QuotaUtilization, "quota_utilization");
        refused(
            &|rule| (rule.metric, rule.each) = (Metric::QuotaUtilization, Each::Server),
            "quota_utilization",
        );
    }
}
