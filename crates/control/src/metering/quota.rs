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

use dormouse_api::quota::{Action, Measure, State};
use dormouse_api::usage::Granularity;
use dormouse_base::{ProjectId, Timestamp};
use dormouse_pricing::Pricing;
use parking_lot::RwLock;
use rusqlite::{Connection, Result};

use crate::cost;
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
    /// The limit because of which nothing of the project may be awake.
    fn block(&self) -> Option<Block> {
        let hard = |it: &&Standing| it.state == State::Exceeded && it.limit.action == Action::Suspend;
        let standing = self.standings.iter().find(hard)?;
        let until = self.resets_at.filter(|_| standing.limit.measure != Measure::StorageBytes);
        Some(Block { measure: standing.limit.measure, until })
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

    /// From now on a project is blocked, or not, as it was assessed.
    pub fn note(&self, assessment: &Assessment) {
        let mut blocks = self.inner.blocks.write();
        match assessment.block() {
            Some(block) => blocks.insert(assessment.project.clone(), block),
            None => blocks.remove(&assessment.project),
        };
        self.inner.any.store(!blocks.is_empty(), Ordering::Release);
    }

    /// From now on these projects are blocked, as they were assessed, and no others.
    pub fn note_all(&self, assessments: &[Assessment]) {
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
            let used = self.measured(limit.measure, &used, stored);
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
    fn measured(&self, measure: Measure, used: &Used, stored: u64) -> f64 {
        match measure {
            Measure::ActiveSeconds => used.totals.active_seconds,
            Measure::CuSeconds => used.totals.cu_seconds,
            Measure::StorageBytes => stored as f64,
            Measure::EgressBytes => used.totals.egress_bytes as f64,
            Measure::WrittenBytes => used.written as f64,
            Measure::Spend => cost::spent(&self.inner.pricing, &used.totals),
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
