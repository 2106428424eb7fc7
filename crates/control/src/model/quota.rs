//! What a project may use, and what it means that it has used so much. No I/O.

use dormouse_api::quota as api;
use dormouse_api::quota::{Action, Measure, Period, State};
use dormouse_api::usage::Granularity;
use dormouse_base::{Kind, Timestamp};
use jiff::ToSpan;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::Refused;

/// The largest limit: what a number in JSON holds exactly.
pub const MAX_LIMIT: f64 = 9_007_199_254_740_992.0;

/// One limit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// What is limited.
    pub measure: Measure,
    /// How much there may be.
    pub limit: f64,
    /// The soft limit, per cent of the other.
    pub soft_percent: u8,
    /// What happens when it is reached.
    pub action: Action,
}

/// All limits of a project.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// When counting begins anew.
    pub period: Period,
    /// At most one of each measure.
    pub limits: Vec<Limit>,
}

/// One of Neon's words.
type Field = fn(&mut api::NeonQuota) -> &mut Option<u64>;

/// Neon's words, and the measure that each means.
const NEON: [(Field, Measure); 5] = [
    (|quota| &mut quota.active_time_seconds, Measure::ActiveSeconds),
    (|quota| &mut quota.compute_time_seconds, Measure::CuSeconds),
    (|quota| &mut quota.written_data_bytes, Measure::WrittenBytes),
    (|quota| &mut quota.data_transfer_bytes, Measure::EgressBytes),
    (|quota| &mut quota.logical_size_bytes, Measure::StorageBytes),
];

impl Plan {
    /// The limits that are wanted.
    ///
    /// # Errors
    /// When one is out of range, or named twice.
    pub fn of(wish: api::SetQuotas) -> Result<Self, Refused> {
        let limits = wish.quotas.into_iter().map(|limit| Limit {
            measure: limit.measure,
            limit: limit.limit,
            soft_percent: limit.soft_percent,
            action: limit.action,
        });
        let plan = Self { period: wish.period, limits: limits.collect() };
        plan.check()?;
        Ok(plan)
    }

    /// Checks it.
    ///
    /// # Errors
    /// When a limit is out of range, or named twice.
    pub fn check(&self) -> Result<(), Refused> {
        let refused = |message: String| Err(Refused { kind: Kind::Invalid, code: "bad-quota", message });
        for (n, limit) in self.limits.iter().enumerate() {
            let name = limit.measure.name();
            if !(limit.limit > 0.0 && limit.limit <= MAX_LIMIT) {
                return refused(format!("the limit of `{name}` must be more than 0 and at most 2^53"));
            }
            if !(1..=100).contains(&limit.soft_percent) {
                return refused(format!("`soft_percent` of `{name}` must be from 1 to 100"));
            }
            if self.limits[..n].iter().any(|before| before.measure == limit.measure) {
                return refused(format!("`{name}` has two limits: send one"));
            }
        }
        Ok(())
    }

    /// The limits that suspend, in Neon's words.
    #[must_use]
    pub fn in_neon_words(&self) -> api::NeonQuota {
        let mut quota = api::NeonQuota::default();
        for limit in self.limits.iter().filter(|limit| limit.action == Action::Suspend) {
            if let Some((field, _)) = NEON.iter().find(|(_, measure)| *measure == limit.measure) {
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "limits are checked"
                )]
                let whole = limit.limit.ceil() as u64;
                *field(&mut quota) = Some(whole);
            }
        }
        quota
    }

    /// Changes the limits that Neon's words name; zero takes one away.
    pub fn take_neon_words(&mut self, mut wish: api::NeonQuota) {
        for (field, measure) in NEON {
            let Some(wanted) = *field(&mut wish) else { continue };
            let soft_percent = self.limits.iter().find(|l| l.measure == measure).map(|l| l.soft_percent);
            self.limits.retain(|limit| limit.measure != measure);
            if wanted > 0 {
                #[allow(clippy::cast_precision_loss, reason = "too large a limit is refused after this")]
                let limit = wanted as f64;
                let soft_percent = soft_percent.unwrap_or(api::SOFT_PERCENT);
                self.limits.push(Limit { measure, limit, soft_percent, action: Action::Suspend });
            }
        }
    }
}

/// What it means that so much of a limit is used.
#[must_use]
pub fn judge(limit: &Limit, used: f64) -> State {
    if used >= limit.limit {
        State::Exceeded
    } else if used * 100.0 >= limit.limit * f64::from(limit.soft_percent) {
        State::Soft
    } else {
        State::Ok
    }
}

/// The roll-up that has a period in one row for each branch; `None` = all months.
#[must_use]
pub fn grain(period: Period) -> Option<Granularity> {
    match period {
        Period::Month => Some(Granularity::Month),
        Period::Day => Some(Granularity::Day),
        Period::None => None,
    }
}

/// When the period of a moment ends; `None` = never.
#[must_use]
pub fn resets_at(period: Period, now: Timestamp) -> Option<Timestamp> {
    let zoned = now.to_zoned(TimeZone::UTC);
    let next = match period {
        Period::Month => zoned.first_of_month().ok()?.start_of_day().ok()?.checked_add(1.month()).ok()?,
        Period::Day => zoned.start_of_day().ok()?.checked_add(1.day()).ok()?,
        Period::None => return None,
    };
    Some(next.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(measure: Measure, limit: f64) -> Limit {
        Limit { measure, limit, soft_percent: 80, action: Action::Suspend }
    }

    #[test]
    fn a_limit_is_reached_exactly() {
        let hour = limit(Measure::ActiveSeconds, 3600.0);
        let told = [0.0, 2879.999, 2880.0, 3599.999, 3600.0, 9e9].map(|used| judge(&hour, used));
        assert_eq!(told, [State::Ok, State::Ok, State::Soft, State::Soft, State::Exceeded, State::Exceeded]);
    }

    #[test]
    fn neons_words_are_the_same_limits() {
        let mut plan = Plan { period: Period::Month, limits: vec![limit(Measure::Spend, 5.0)] };
        let wish = api::NeonQuota {
            active_time_seconds: Some(3600),
            data_transfer_bytes: Some(0),
            ..Default::default()
        };
        plan.take_neon_words(wish);
        assert_eq!(plan.limits.len(), 2);
        assert_eq!(plan.in_neon_words().active_time_seconds, Some(3600));
        plan.take_neon_words(api::NeonQuota::default());
        assert_eq!(plan.limits.len(), 2, "what is absent stays");
        plan.take_neon_words(api::NeonQuota { active_time_seconds: Some(0), ..Default::default() });
        assert_eq!(plan.limits, [limit(Measure::Spend, 5.0)]);
    }

    #[test]
    fn nonsense_is_refused() {
        let with = |limits| Plan { limits, ..Plan::default() }.check().map_err(|refused| refused.code);
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e16] {
            assert_eq!(with(vec![limit(Measure::Spend, bad)]), Err("bad-quota"), "{bad}");
        }
        let twice = vec![limit(Measure::Spend, 1.0), limit(Measure::Spend, 2.0)];
        assert_eq!(with(twice), Err("bad-quota"));
        let soft = Limit { soft_percent: 0, ..limit(Measure::Spend, 1.0) };
        assert_eq!(with(vec![soft]), Err("bad-quota"));
        assert_eq!(with(vec![limit(Measure::Spend, 0.01), limit(Measure::CuSeconds, 1.0)]), Ok(()));
    }

    #[test]
    fn periods_end_with_the_month_or_the_day() {
        let at = |text: &str| -> Timestamp { text.parse().unwrap() };
        let now = at("2026-12-31T23:59:59Z");
        assert_eq!(resets_at(Period::Month, now), Some(at("2027-01-01T00:00:00Z")));
        assert_eq!(resets_at(Period::Day, at("2026-11-26T00:00:00Z")), Some(at("2026-11-27T00:00:00Z")));
        assert_eq!(resets_at(Period::None, now), None);
    }
}
