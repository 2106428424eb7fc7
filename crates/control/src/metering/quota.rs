//! Quotas at work: who may not be woken, and why.
//!
//! ```text
//!  heartbeat, PUT …/quotas ──► assess (roll-ups) ──► Guard: projects that are blocked
//!                                                      ▲
//!  a wake of an endpoint that is not awake ────────────┘ may_wake: a look into memory, unless something is blocked
//! ```
//!
//! Nothing of this is asked by a query, or by a client of an endpoint that is awake: when a limit is reached, the
//! endpoints are suspended, and from then on there are only wakes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dormouse_api::quota::{Action, Measure, State};
use dormouse_api::statistics::Metric;
use dormouse_api::usage::Granularity;
use dormouse_base::{ProjectId, Timestamp};
use dormouse_pricing::Pricing;
use parking_lot::RwLock;
use rusqlite::{Connection, Result};

use crate::cost::{self, Month};
use crate::db::projects;
use crate::db::usage::{self, Filter, Range, Used};
use crate::model::quota::{self as rules, Limit, Plan};

/// One limit of one project, and how it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The limit.
    pub limit: Limit,
    /// How much of it is used.
    pub used: f64,
    /// What that means.
    pub state: State,
}

/// All limits of one project.
#[derive(Debug, Clone, PartialEq)]
pub struct Assessment {
    /// The project.
    pub project: ProjectId,
    /// Its limits, in their order.
    pub standings: Vec<Standing>,
    /// When counting begins anew.
    pub resets_at: Option<Timestamp>,
}

impl Assessment {
    /// The limit because of which nothing of the project may be awake; of several the one that ends last.
    fn block(&self) -> Option<Block> {
        let hard = |it: &&Standing| it.state == State::Exceeded && it.limit.action == Action::Suspend;
        let block = |it: &Standing| {
            let until = self.resets_at.filter(|_| it.limit.measure != Measure::StorageBytes);
            Block { measure: it.limit.measure, until }
        };
        let blocks = self.standings.iter().filter(hard).map(block);
        blocks.reduce(|one, other| if one.until.is_some() && other.until.is_none() { other } else { one })
    }
}

/// Why nothing of a project may be awake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// What is used up.
    pub measure: Measure,
    /// Until when, unless the limit is raised; `None` = until less is used.
    pub until: Option<Timestamp>,
}

impl Block {
    /// What the owner can do.
    #[must_use]
    pub fn hint(&self) -> String {
        let name = self.measure.name();
        let raise = format!("Raise it with `dormouse quota set {name}=…`");
        match self.until {
            Some(until) => format!("{raise}, or wait until {until}, when it begins anew."),
            None if self.measure == Measure::StorageBytes => {
                format!("{raise}, or delete branches that are not needed.")
            }
            None => format!("{raise}."),
        }
    }
}

/// How much of a limit is used, percent, and where its warning begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percent {
    /// Used.
    pub used: f64,
    /// The soft limit.
    pub soft: f64,
}

/// The metrics that tell how much of their limits projects use.
pub const METRICS: [Metric; 2] = [Metric::StorageUtilization, Metric::QuotaUtilization];

/// Of the limits that a metric is about, the one that is nearest to its end.
#[must_use]
pub fn nearest(standings: &[Standing], metric: Metric) -> Option<Percent> {
    let is_about = |it: &&Standing| match metric {
        Metric::StorageUtilization => it.limit.measure == Measure::StorageBytes,
        Metric::QuotaUtilization => it.limit.measure != Measure::StorageBytes,
        _ => false,
    };
    let percent = |it: &Standing| {
        let (used, soft) = (100.0 * it.used / it.limit.limit, f64::from(it.limit.soft_percent));
        // A limit that is reached is used up, but only what is beyond a threshold fires.
        let reached = match it.state {
            State::Ok => used,
            State::Soft => used.max(soft.next_up()),
            State::Exceeded => used.max(100.0_f64.next_up()),
        };
        (it.state, Percent { used: reached, soft })
    };
    let all = standings.iter().filter(is_about).map(percent);
    let worse = |one: &(State, Percent), other: &(State, Percent)| {
        one.0.cmp(&other.0).then(one.1.used.total_cmp(&other.1.used))
    };
    all.max_by(worse).map(|(_, percent)| percent)
}

/// What the endpoints of a project do at the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pace {
    /// Endpoints that are active.
    pub active: u32,
    /// Their sizes, CU, added up.
    pub cu: f64,
}

/// How long it takes until the first limit of time that suspends is reached, if everything goes on as it does; `None` =
/// none is. Data and money are not foreseen.
#[must_use]
pub fn soonest(assessments: &[Assessment], paces: &HashMap<ProjectId, Pace>) -> Option<Duration> {
    let left = |standing: &Standing, pace: &Pace| {
        let rate = match standing.limit.measure {
            Measure::ActiveSeconds => f64::from(pace.active),
            Measure::CuSeconds => pace.cu,
            _ => 0.0,
        };
        let hard = standing.limit.action == Action::Suspend && standing.state != State::Exceeded;
        let seconds = (standing.limit.limit - standing.used).max(0.0) / rate;
        Duration::try_from_secs_f64(seconds).ok().filter(|_| hard && rate > 0.0)
    };
    let of_one = |it: &Assessment| {
        let pace = paces.get(&it.project)?;
        it.standings.iter().filter_map(|standing| left(standing, pace)).min()
    };
    assessments.iter().filter_map(of_one).min()
}

/// Which projects may not be woken. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Whether there is any; most servers have none, and then nothing is locked.
    any: AtomicBool,
    blocks: RwLock<HashMap<ProjectId, Block>>,
    /// How the limits stood when they were last looked at.
    standings: RwLock<HashMap<ProjectId, Vec<Standing>>>,
    pricing: Arc<Pricing>,
}

impl Guard {
    /// Nobody is blocked yet. Spending is what the default sheet asks.
    #[must_use]
    pub fn new(pricing: Arc<Pricing>) -> Self {
        Self { inner: Arc::new(Inner { pricing, ..Inner::default() }) }
    }

    /// Whether nobody is blocked.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.inner.any.load(Ordering::Acquire)
    }

    /// Why a project may not be woken now.
    #[must_use]
    pub fn block(&self, project: &ProjectId, now: Timestamp) -> Option<Block> {
        let block = self.inner.blocks.read().get(project).copied()?;
        block.until.is_none_or(|until| now < until).then_some(block)
    }

    /// Projects that may not be awake.
    #[must_use]
    pub fn blocked(&self) -> Vec<ProjectId> {
        self.inner.blocks.read().keys().cloned().collect()
    }

    /// How much of its limits a project used when they were last looked at: of the one that is nearest to its end.
    #[must_use]
    pub fn nearest(&self, project: &ProjectId, metric: Metric) -> Option<Percent> {
        nearest(self.inner.standings.read().get(project)?, metric)
    }

    /// From now on a project is blocked, or not, as it was assessed.
    pub fn note(&self, assessment: &Assessment) {
        self.inner.standings.write().insert(assessment.project.clone(), assessment.standings.clone());
        let mut blocks = self.inner.blocks.write();
        match assessment.block() {
            Some(block) => blocks.insert(assessment.project.clone(), block),
            None => blocks.remove(&assessment.project),
        };
        self.inner.any.store(!blocks.is_empty(), Ordering::Release);
    }

    /// From now on these projects are blocked, as they were assessed, and no others.
    pub fn note_all(&self, assessments: &[Assessment]) {
        let standings = assessments.iter().map(|it| (it.project.clone(), it.standings.clone()));
        *self.inner.standings.write() = standings.collect();
        let blocked = assessments.iter().filter_map(|it| Some((it.project.clone(), it.block()?)));
        let mut blocks = self.inner.blocks.write();
        *blocks = blocked.collect();
        self.inner.any.store(!blocks.is_empty(), Ordering::Release);
    }

    /// How the limits of a project stand.
    ///
    /// # Errors
    /// When the metadata cannot be read.
    pub fn assess(
        &self,
        db: &Connection,
        project: &ProjectId,
        plan: &Plan,
        now: Timestamp,
    ) -> Result<Assessment> {
        let used = used_in_period(db, project, plan, now)?;
        let (stored, _past) = usage::stored(db, project)?;
        let standing = |limit: &Limit| {
            let used = self.measured(limit.measure, &used, stored, now);
            Standing { limit: *limit, used, state: rules::judge(limit, used) }
        };
        let standings = plan.limits.iter().map(standing).collect();
        let resets_at = rules::resets_at(plan.period, now);
        Ok(Assessment { project: project.clone(), standings, resets_at })
    }

    /// The same for all projects that have limits.
    ///
    /// # Errors
    /// When the metadata cannot be read.
    pub fn assess_all(&self, db: &Connection, now: Timestamp) -> Result<Vec<Assessment>> {
        let limited = projects::limited(db)?;
        limited.iter().map(|row| self.assess(db, &row.id, &row.settings.quotas, now)).collect()
    }

    #[allow(clippy::cast_precision_loss, reason = "limits are at most 2^53")]
    fn measured(&self, measure: Measure, used: &Used, stored: u64, now: Timestamp) -> f64 {
        match measure {
            Measure::ActiveSeconds => used.totals.active_seconds,
            Measure::CuSeconds => used.totals.cu_seconds,
            Measure::StorageBytes => stored as f64,
            Measure::EgressBytes => used.totals.egress_bytes as f64,
            Measure::WrittenBytes => used.written as f64,
            // Of all time, the months are not told apart: each is as long as this one.
            Measure::Spend => cost::spent(&self.inner.pricing, &used.totals, Month::of(now).seconds()),
        }
    }
}

fn used_in_period(db: &Connection, project: &ProjectId, plan: &Plan, now: Timestamp) -> Result<Used> {
    let range = match rules::grain(plan.period) {
        Some(grain) => {
            let start = super::report::floor(now, grain).as_second();
            Range { grain, start, end: start + 1 }
        }
        None => Range { grain: Granularity::Month, start: i64::MIN, end: i64::MAX },
    };
    let mut sum = Used::default();
    for (_, used) in usage::by_time(db, &range, &Filter::Project(project.clone()))? {
        sum += used;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(measure: Measure, used: f64, soft_percent: u8, action: Action) -> Standing {
        let limit = Limit { measure, limit: 50.0, soft_percent, action };
        Standing { limit, used, state: rules::judge(&limit, used) }
    }

    fn assessed(standings: Vec<Standing>) -> Assessment {
        let resets_at = Some("2026-12-01T00:00:00Z".parse().unwrap());
        Assessment { project: "calm-oak-abcd2345".parse().unwrap(), standings, resets_at }
    }

    #[test]
    fn who_is_kept_out_for_two_reasons_stays_out_until_the_last_one_ends() {
        let time = standing(Measure::ActiveSeconds, 50.0, 80, Action::Suspend);
        let storage = standing(Measure::StorageBytes, 60.0, 80, Action::Suspend);
        let says = standing(Measure::EgressBytes, 90.0, 80, Action::Alert);
        let block = assessed(vec![says.clone(), time.clone(), storage]).block().unwrap();
        assert_eq!((block.measure, block.until), (Measure::StorageBytes, None));
        assert!(block.hint().contains("delete branches"), "{}", block.hint());
        let block = assessed(vec![time]).block().unwrap();
        assert!(block.hint().contains("2026-12-01T00:00:00Z"), "{}", block.hint());
        assert_eq!(assessed(vec![says]).block(), None);
    }

    #[test]
    fn a_limit_of_time_is_foreseen() {
        let of = |standings: Vec<Standing>, active, cu| {
            let one = assessed(standings);
            let paces = HashMap::from([(one.project.clone(), Pace { active, cu })]);
            soonest(&[one], &paces).map(|soon| soon.as_secs_f64())
        };
        let time = |used| standing(Measure::ActiveSeconds, used, 80, Action::Suspend);
        let cu = |used| standing(Measure::CuSeconds, used, 80, Action::Suspend);
        assert_eq!(of(vec![time(44.0)], 2, 0.5), Some(3.0), "two endpoints use 6 s in 3 s");
        assert_eq!(of(vec![time(44.0), cu(49.0)], 2, 0.5), Some(2.0));
        assert_eq!(of(vec![time(44.0), cu(49.0)], 0, 0.0), None, "nobody is active");
        assert_eq!(of(vec![time(50.0)], 1, 1.0), None, "it is reached");
        let says = standing(Measure::ActiveSeconds, 44.0, 80, Action::Alert);
        assert_eq!(of(vec![says, standing(Measure::Spend, 1.0, 80, Action::Suspend)], 1, 1.0), None);
        assert_eq!(soonest(&[assessed(vec![time(44.0)])], &HashMap::new()), None);
    }

    #[test]
    fn the_limit_that_is_nearest_to_its_end_is_told() {
        let standings = [
            standing(Measure::StorageBytes, 5.0, 80, Action::Alert),
            // 80 %, but warned of at 90.
            standing(Measure::ActiveSeconds, 40.0, 90, Action::Suspend),
            // 60 %, and warned of.
            standing(Measure::Spend, 30.0, 50, Action::Alert),
        ];
        let of = |standings: &[Standing], metric| nearest(standings, metric).map(|it| (it.used, it.soft));
        assert_eq!(of(&standings, Metric::QuotaUtilization), Some((60.0, 50.0)));
        assert_eq!(of(&standings, Metric::StorageUtilization), Some((10.0, 80.0)));
        assert_eq!(of(&standings[..1], Metric::QuotaUtilization), None);
        // Reached exactly is reached: beyond what fires.
        for (used, line) in [(40.0, 80.0), (50.0, 100.0)] {
            let one = [standing(Measure::CuSeconds, used, 80, Action::Alert)];
            let (told, _) = of(&one, Metric::QuotaUtilization).unwrap();
            assert!(told > line && told < line + 1e-9, "{told}");
        }
    }
}
