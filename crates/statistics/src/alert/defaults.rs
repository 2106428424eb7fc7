//! The rules that come with a server.
//!
//! | rule | of | statistic | periods | warning | critical |
//! |---|---|---|---|---|---|
//! | `rule-cpu` | each endpoint | average | 5 × 1 min | 70 % | 85 % |
//! | `rule-connections` | each endpoint | maximum | 2 × 1 min | 80 % | 95 % |
//! | `rule-pooler-wait` | each endpoint | p95 | 2 × 1 min | 1000 ms | 1500 ms |
//! | `rule-cold-start` | each endpoint | p95 | 1 × 5 min | 1000 ms | 1500 ms |
//! | `rule-disk` | the server | maximum | 2 × 5 min | 80 % | 90 % |
//! | `rule-storage-quota` | each project with a storage quota | maximum | 2 × 5 min | 80 % | 90 % |
//! | `rule-quota` | each project with another quota | maximum | 1 × 10 s | the soft limit (80 %) | 100 % |
//! | `rule-cost` | the server | average | 1 × 5 min | $10 per hour | $50 per hour |

use dormouse_api::alert::{Comparison, DEFAULT_CLEAR_RATIO, Each, Rule, Scope};
use dormouse_api::statistics::{Metric, Statistic};

/// See the module. Only IDs of these have no random part.
#[must_use]
pub fn defaults() -> Vec<Rule> {
    use Metric as M;
    use Statistic as S;
    vec![
        rule("rule-cpu", "CPU", M::CpuUtilization, S::Average, (60, 5), (70.0, 85.0), Each::Endpoint),
        rule(
            "rule-connections",
            "Connections",
            M::ConnectionUtilization,
            S::Maximum,
            (60, 2),
            (80.0, 95.0),
            Each::Endpoint,
        ),
        rule(
            "rule-pooler-wait",
            "Waiting for the pooler",
            M::PoolerWaitTime,
            S::P95,
            (60, 2),
            (1000.0, 1500.0),
            Each::Endpoint,
        ),
        rule(
            "rule-cold-start",
            "Cold starts",
            M::ColdStartTime,
            S::P95,
            (300, 1),
            (1000.0, 1500.0),
            Each::Endpoint,
        ),
        rule("rule-disk", "Disk", M::StorageUtilization, S::Maximum, (300, 2), (80.0, 90.0), Each::Server),
        rule(
            "rule-storage-quota",
            "Storage quota",
            M::StorageUtilization,
            S::Maximum,
            (300, 2),
            (80.0, 90.0),
            Each::Project,
        ),
        Rule {
            // Quotas have no band either: what they say and what the alert says is the same.
            clear_ratio: 1.0,
            ..rule(
                "rule-quota",
                "Quota",
                M::QuotaUtilization,
                S::Maximum,
                (10, 1),
                (80.0, 100.0),
                Each::Project,
            )
        },
        rule("rule-cost", "Cost", M::CostPerHour, S::Average, (300, 1), (10.0, 50.0), Each::Server),
    ]
}

fn rule(
    id: &str,
    name: &str,
    metric: Metric,
    statistic: Statistic,
    (period_seconds, datapoints): (u32, u32),
    (warning, critical): (f64, f64),
    each: Each,
) -> Rule {
    Rule {
        id: id.parse().expect("the IDs above are well formed, which a test tells"),
        name: name.to_owned(),
        metric,
        unit: metric.unit(),
        statistic,
        period_seconds,
        datapoints,
        comparison: Comparison::Above,
        warning: Some(warning),
        critical: Some(critical),
        clear_ratio: DEFAULT_CLEAR_RATIO,
        scope: Scope::default(),
        each,
        enabled: true,
        default: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_rule_makes_sense_and_has_the_documented_thresholds() {
        let all = defaults();
        for rule in &all {
            crate::alert::rule::check(rule).unwrap();
        }
        let of = |metric: Metric| {
            let mut with = all.iter().filter(|rule| rule.metric == metric);
            with.next().and_then(|rule| rule.warning.zip(rule.critical)).unwrap()
        };
        assert_eq!(of(Metric::CpuUtilization), (70.0, 85.0));
        assert_eq!(of(Metric::ConnectionUtilization), (80.0, 95.0));
        assert_eq!(of(Metric::PoolerWaitTime), (1000.0, 1500.0));
        assert_eq!(of(Metric::ColdStartTime), (1000.0, 1500.0));
        assert_eq!(of(Metric::StorageUtilization), (80.0, 90.0));
        assert_eq!(of(Metric::QuotaUtilization), (80.0, 100.0));
        assert_eq!(of(Metric::CostPerHour), (10.0, 50.0));
    }
}
