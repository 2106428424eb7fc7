//! Puts right what nobody asked about.
//!
//! A reconciler takes no input: it looks at everything, does what is missing, and says when it wants
//! to look again. It runs on that timer, on a signal, and once at the start, so whatever a crash or a
//! lost signal left undone is found. Failures are logged and shown; the next run is the retry.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use dormouse_base::{Timestamp, clock};
use dormouse_runtime::task::Scope;
use parking_lot::Mutex;

use crate::control::Control;
use crate::metrics::Metrics;

pub mod operations;
pub mod spares;
pub mod heal;
pub mod pending;
pub mod schedule;
pub mod warm;
pub mod pressure;
pub mod events;
pub mod metering;
pub mod weigh;
pub mod quotas;
pub mod mirror;
pub mod expire;
pub mod garbage;
pub mod measure;
pub mod alerts;
pub mod notices;

/// Tells what a run did, for people, and when to run again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Such as `2 spares`.
    pub text: String,
    /// Time until the next run, unless a signal comes first.
    pub next: Duration,
}

/// What went wrong, for people.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Trouble {
    /// What failed.
    pub what: String,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Trouble {
    /// For `map_err`.
    pub fn in_doing<E: std::error::Error + Send + Sync + 'static>(what: &str) -> impl FnOnce(E) -> Trouble {
        let what = format!("cannot {what}");
        move |error| Trouble { what, source: Some(Box::new(error)) }
    }
}

/// One thing that is kept right.
#[async_trait::async_trait]
pub trait Reconciler: Send + Sync + Debug + 'static {
    /// A short noun, for logs and metrics.
    fn name(&self) -> &'static str;

    /// The pause after a run that failed.
    fn retry(&self) -> Duration {
        Duration::from_secs(10)
    }

    /// Looks and puts right.
    async fn run(&mut self) -> Result<Report, Trouble>;

    /// The server stops: finish what must not be lost.
    async fn last(&mut self) {}

    /// Becomes ready when there is reason to run before the timer. Nobody signals by default.
    async fn signalled(&self) {
        std::future::pending::<()>().await;
    }
}

/// How a reconciler is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// When it last ran.
    pub at: Timestamp,
    /// Whether that went well.
    pub ok: bool,
    /// What it said.
    pub text: String,
}

/// The last status of each reconciler. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Statuses {
    by_name: Arc<Mutex<BTreeMap<&'static str, Status>>>,
}

impl Statuses {
    /// All of them, by name.
    #[must_use]
    pub fn all(&self) -> Vec<(&'static str, Status)> {
        self.by_name.lock().iter().map(|(name, status)| (*name, status.clone())).collect()
    }

    fn set(&self, name: &'static str, ok: bool, text: String) {
        self.by_name.lock().insert(name, Status { at: clock::now(), ok, text });
    }
}

/// Starts every reconciler of a server.
pub(crate) fn start_all(control: &Control, scope: &Scope) {
    let (foundation, computes) = (&control.foundation, &control.computes);
    let all: Vec<Box<dyn Reconciler>> = vec![
        Box::new(operations::Operations { db: foundation.db.clone(), executor: control.executor.clone() }),
        Box::new(heal::Heal {
            db: foundation.db.clone(),
            keeper: foundation.keeper(),
            computes: Arc::clone(computes),
            scope: scope.clone(),
        }),
        Box::new(spares::Spares::new(foundation)),
        Box::new(pending::PendingChanges { keeper: foundation.keeper(), computes: Arc::clone(computes) }),
        Box::new(schedule::Schedule {
            db: foundation.db.clone(),
            keeper: foundation.keeper(),
            computes: Arc::clone(computes),
            scope: scope.clone(),
        }),
        Box::new(warm::Warm::new(
            foundation.db.clone(),
            foundation.keeper(),
            Arc::clone(computes),
            scope.clone(),
        )),
        Box::new(mirror::Mirror {
            db: foundation.db.clone(),
            keeper: foundation.keeper(),
            vault: Arc::clone(&control.vault),
        }),
        Box::new(expire::Expire { control: control.clone() }),
        Box::new(garbage::Garbage { vault: Arc::clone(&control.vault), settled: false }),
        Box::new(weigh::Weigh::new(control)),
        Box::new(measure::Measure::new(control)),
        Box::new(alerts::Alerts::new(control)),
        Box::new(notices::Notices::new(control)),
        Box::new(metering::Metering {
            db: foundation.db.clone(),
            meter: foundation.keeper.meter().clone(),
            computes: Arc::clone(computes),
            seen: None,
            pruned: None,
            calendar: foundation.calendar.clone(),
            vault: Arc::clone(&control.vault),
            filed: HashMap::new(),
            quotas: quotas::Quotas {
                db: foundation.db.clone(),
                keeper: foundation.keeper(),
                computes: Arc::clone(computes),
                scope: scope.clone(),
                recorder: foundation.recorder.clone(),
            },
        }),
        Box::new(pressure::Pressure { keeper: foundation.keeper(), computes: Arc::clone(computes) }),
    ];
    for reconciler in all {
        start(reconciler, scope, control.statuses.clone(), Arc::clone(&foundation.metrics));
    }
    if let Some(events) = events::Events::new(foundation) {
        start(Box::new(events), scope, control.statuses.clone(), Arc::clone(&foundation.metrics));
    }
}

fn start(mut reconciler: Box<dyn Reconciler>, scope: &Scope, statuses: Statuses, metrics: Arc<Metrics>) {
    let token = scope.token();
    scope.spawn(reconciler.name(), async move {
        loop {
            let result = tokio::select! {
                biased;
                () = token.cancelled() => break,
                result = reconciler.run() => result,
            };
            let pause = account(reconciler.as_ref(), result, &statuses, &metrics);
            tokio::select! {
                biased;
                () = token.cancelled() => break,
                () = reconciler.signalled() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        reconciler.last().await;
    });
}

fn account(
    reconciler: &dyn Reconciler,
    result: Result<Report, Trouble>,
    statuses: &Statuses,
    metrics: &Metrics,
) -> Duration {
    let name = reconciler.name();
    metrics.reconciler(name, result.is_ok());
    match result {
        Ok(report) => {
            tracing::debug!(reconciler = name, "{}", report.text);
            statuses.set(name, true, report.text);
            report.next
        }
        Err(trouble) => {
            tracing::warn!(
                reconciler = name,
                error = &trouble as &dyn std::error::Error,
                "reconciler failed"
            );
            statuses.set(name, false, trouble.to_string());
            reconciler.retry()
        }
    }
}

#[cfg(test)]
mod tests;
