//! Carries operations out, and goes on with them after a restart.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dormouse_base::{Kind, OperationId, clock};
use dormouse_runtime::task::Scope;
use parking_lot::Mutex;
use rusqlite::Transaction;
use tokio::sync::watch;

use super::phase::{Outcome, Phase, advance};
use super::{StepFailure, Work};
use crate::db::{Db, DbError, operations};
use crate::metrics::Metrics;
use crate::model::record::Operation;

/// How often one step is tried before the operation gives up.
pub const MAX_TRIES: u32 = 5;
/// The first pause between two tries; it doubles.
pub const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause between two tries.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Runs operations, one task each. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Executor {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    db: Db,
    scope: Scope,
    kinds: HashMap<&'static str, Arc<dyn Work>>,
    /// Operations that have a task. The receiver closes when the task is over.
    running: Mutex<HashMap<OperationId, watch::Receiver<()>>>,
    metrics: Arc<Metrics>,
}

impl Executor {
    /// An executor that knows these kinds; its tasks live in `scope`.
    #[must_use]
    pub fn new(db: Db, scope: Scope, kinds: Vec<Arc<dyn Work>>, metrics: Arc<Metrics>) -> Self {
        let kinds = kinds.into_iter().map(|work| (work.kind(), work)).collect();
        Self { inner: Arc::new(Inner { db, scope, kinds, running: Mutex::default(), metrics }) }
    }

    /// Takes care of every unfinished operation that nobody takes care of. Tells how many those were.
    ///
    /// # Errors
    /// When the metadata cannot be read.
    pub fn resume(&self) -> Result<usize, DbError> {
        let unfinished = self.inner.db.read("list unfinished operations", operations::unfinished)?;
        Ok(unfinished.into_iter().filter(|operation| self.start(operation.id.clone())).count())
    }

    /// Starts the task of an operation whose row exists. Tells whether it had none yet.
    pub fn start(&self, id: OperationId) -> bool {
        let (sender, receiver) = watch::channel(());
        {
            let mut running = self.inner.running.lock();
            if running.contains_key(&id) {
                return false;
            }
            running.insert(id.clone(), receiver);
        }
        let executor = self.clone();
        let token = self.inner.scope.token();
        self.inner.scope.spawn("operation", async move {
            tokio::select! {
                biased;
                () = token.cancelled() => {}
                () = executor.carry_out(&id) => {}
            }
            executor.inner.running.lock().remove(&id);
            drop(sender);
        });
        true
    }

    /// Starts an operation whose row exists and waits until it is over, at most `patience`. Returns
    /// where it is then.
    ///
    /// # Errors
    /// When the metadata cannot be read.
    pub async fn finish(&self, id: &OperationId, patience: Duration) -> Result<Option<Operation>, DbError> {
        self.start(id.clone());
        let receiver = self.inner.running.lock().get(id).cloned();
        if let Some(mut receiver) = receiver {
            // Both ends of this wait mean "look at the row now".
            let _over_or_impatient =
                tokio::time::timeout(patience, async { while receiver.changed().await.is_ok() {} }).await;
        }
        self.inner.db.read("read an operation", |db| operations::get(db, id))
    }

    async fn carry_out(&self, id: &OperationId) {
        loop {
            match self.one_step(id).await {
                Ok(Some(pause)) => tokio::time::sleep(pause).await,
                Ok(None) => return,
                Err(error) => {
                    // The reconciler comes back to the row.
                    tracing::error!(operation = %id, error = &error as &dyn std::error::Error, "operation interrupted");
                    return;
                }
            }
        }
    }

    /// Does one step and stores the result. Returns the pause before the next one, `None` at the end.
    async fn one_step(&self, id: &OperationId) -> Result<Option<Duration>, DbError> {
        let Some(mut operation) = self.inner.db.read("read an operation", |db| operations::get(db, id))?
        else {
            return Ok(None);
        };
        if operation.phase.is_final() {
            return Ok(None);
        }
        let Some(work) = self.inner.kinds.get(operation.kind.as_str()).cloned() else {
            tracing::error!(operation = %id, kind = operation.kind, "unknown kind of operation");
            return Ok(None);
        };
        let result = match operation.phase {
            Phase::Undoing => work.undo(&operation, operation.step).await,
            _ => work.perform(&operation, operation.step).await,
        };
        let (outcome, pause) = judge(&operation, work.as_ref(), &result);
        let (phase, step) = advance(operation.phase, operation.step, work.steps(), outcome);
        if let Err(failure) = result {
            tracing::warn!(operation = %id, kind = operation.kind, step = operation.step, %failure, "step failed");
            operation.failures += 1;
            // While undoing, the error that matters is the one that led here.
            if operation.phase == Phase::Doing {
                operation.error = Some(failure);
            }
        } else if phase == Phase::Done {
            operation.error = None;
        }
        let now = clock::now();
        if outcome != Outcome::Retry && phase == operation.phase {
            operation.failures = 0;
        }
        operation.retry_at = (outcome == Outcome::Retry).then(|| now + pause);
        (operation.phase, operation.step, operation.updated_at) = (phase, step, now);
        if phase.is_final() {
            self.inner.metrics.operation(&operation.kind, phase);
        }
        let seal = if phase == Phase::Done { work.seal(&operation) } else { None };
        let store = move |db: &Transaction<'_>| {
            seal.map_or(Ok(()), |seal| seal(db))?;
            operations::update(db, &operation)
        };
        self.inner.db.write("store an operation", store).await?;
        Ok((!phase.is_final()).then_some(pause))
    }
}

fn judge(operation: &Operation, work: &dyn Work, result: &Result<(), StepFailure>) -> (Outcome, Duration) {
    let Err(failure) = result else { return (Outcome::Ok, Duration::ZERO) };
    let doublings = operation.failures.min(16);
    let pause = (FIRST_PAUSE * 2u32.saturating_pow(doublings)).min(LONGEST_PAUSE);
    // Undoing tries as hard as it may: a failure there leaves a mess.
    let undoing = operation.phase == Phase::Undoing;
    let again = failure.again || undoing;
    let tries_left = operation.failures + 1 < MAX_TRIES;
    let waits = undoing && failure.again && work.waits_to_undo();
    if work.never_gives_up() || waits || (again && tries_left) {
        (Outcome::Retry, pause)
    } else {
        (Outcome::GiveUp, Duration::ZERO)
    }
}

/// Turns an operation that did not end well into its error.
#[must_use]
pub fn failure_of(operation: &Operation) -> Option<StepFailure> {
    match operation.phase {
        Phase::Done | Phase::Doing => None,
        Phase::Undoing | Phase::Undone | Phase::Stuck => Some(operation.error.clone().unwrap_or_else(|| {
            StepFailure::fatal(
                Kind::Internal,
                "operation-failed",
                "the operation failed: see the server's log",
            )
        })),
    }
}

#[cfg(test)]
#[path = "executor_tests.rs"]
mod tests;
