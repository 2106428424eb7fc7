//! Hands work to the executor and waits for it.

use std::time::Duration;

use dormouse_base::Kind;
use dormouse_compute::State;
use dormouse_compute::event::Cause;
use rusqlite::Transaction;

use super::error::Error;
use super::find::{Place, Spot};
use crate::computes::NOT_ACTIVE;
use crate::control::Control;
use crate::db::operations;
use crate::model::record::{Operation, Target};
use crate::operation::apply_config::{self, Change};
use crate::operation::draft;
use crate::operation::executor::failure_of;

/// How long a reply waits for its operation. A slower one goes on; the reply says `running`.
pub const PATIENCE: Duration = Duration::from_secs(100);

/// What a change says when it looks at the rows: what to undo, or why not.
pub(super) type Decided<T> = rusqlite::Result<Result<T, Error>>;

impl Place {
    /// An operation on this branch and its writer.
    pub(super) fn target(&self) -> Target {
        Target {
            project_id: self.project.id.clone(),
            branch_id: Some(self.branch.id.clone()),
            endpoint_id: self.writer.as_ref().map(|endpoint| endpoint.id.clone()),
        }
    }
}

impl Spot {
    /// An operation on this endpoint.
    pub(super) fn target(&self) -> Target {
        Target { endpoint_id: Some(self.endpoint.id.clone()), ..self.place.target() }
    }
}

impl Control {
    /// Stores an operation with the rows that belong to it, in one transaction, and waits for its end.
    pub(crate) async fn submit<F>(&self, mut operation: Operation, rows: F) -> Result<Operation, Error>
    where
        F: FnOnce(&Transaction<'_>, &mut Operation) -> Decided<()> + Send + 'static,
    {
        let id = operation.id.clone();
        let stored = self.foundation.db.write("store an operation", move |db| {
            // First, so that a busy project changes nothing.
            operations::insert(db, &operation)?;
            match rows(db, &mut operation)? {
                Ok(()) => operations::set_args(db, &operation).map(Ok),
                Err(refused) => operations::remove(db, &operation.id).map(|()| Err(refused)),
            }
        });
        stored.await??;
        let ended = self.executor.finish(&id, PATIENCE).await?;
        self.foundation.keeper.signals().mirror.notify_one();
        let ended =
            ended.ok_or_else(|| Error::new(Kind::Internal, "operation-failed", "the operation is gone"))?;
        failure_of(&ended).map_or(Ok(ended), |failure| Err(failure.into()))
    }

    /// Submits work that needs no rows.
    pub(super) async fn submit_plain(&self, kind: &str, target: Target) -> Result<Operation, Error> {
        self.submit(draft(kind, target, serde_json::json!({})), |_, _| Ok(Ok(()))).await
    }

    /// Writes a change of roles or databases as pending rows, and has it applied. `decide` looks at
    /// the rows, changes them, and returns how to undo that.
    pub(super) async fn change<F>(&self, place: &Place, decide: F) -> Result<Operation, Error>
    where
        F: FnOnce(&Transaction<'_>) -> Decided<Change> + Send + 'static,
    {
        self.refresh(place).await?;
        // Before anybody looks at the endpoint's state: see the keeper.
        if let Some(writer) = &place.writer {
            self.foundation.keeper.set_pending(&writer.id, true);
        }
        let operation = draft(apply_config::KIND, place.target(), serde_json::json!({}));
        self.submit(operation, move |db, operation| {
            let change = match decide(db)? {
                Ok(change) => change,
                Err(refused) => return Ok(Err(refused)),
            };
            operation.args = serde_json::to_value(change)
                .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
            Ok(Ok(()))
        })
        .await
    }

    /// Learns what clients changed in SQL, if the endpoint is Active; asleep, the metadata knows.
    pub(super) async fn refresh(&self, place: &Place) -> Result<(), Error> {
        // Without a writer nobody can have changed anything.
        let Some(writer) = &place.writer else { return Ok(()) };
        let id = &writer.id;
        if self.computes.state(id) == State::Stopped && !self.foundation.keeper.is_exact(writer) {
            // The last run ended badly: only PostgreSQL knows. If it does not start, the metadata has to do.
            if let Err(error) = self.computes.wake(id, Cause::Heal).await {
                tracing::warn!(endpoint = %id, %error, "cannot heal before a change");
            }
        }
        if self.computes.state(id) != State::Active {
            return Ok(());
        }
        match self.foundation.keeper.refresh(self.computes.as_ref(), id).await {
            Err(failure) if failure.code != NOT_ACTIVE && self.computes.state(id) == State::Active => {
                Err(failure.into())
            }
            _ => Ok(()),
        }
    }
}
