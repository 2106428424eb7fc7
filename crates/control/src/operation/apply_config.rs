//! `apply_config`: make PostgreSQL agree with what the metadata says of roles and databases.
//!
//! The change itself is written together with the operation, as a *pending* row. Asleep: that is
//! all; the next start applies it before any client gets in. Awake: it is applied now. When
//! PostgreSQL refuses it, the rows are put back as they were.

use std::sync::Arc;
use std::time::Duration;

use dormouse_base::Kind;
use dormouse_compute::State;
use dormouse_compute::event::Cause;
use serde::{Deserialize, Serialize};

use super::{StepFailure, Work};
use crate::computes::{Computes, NOT_ACTIVE};
use crate::db::{Db, databases, endpoints, roles};
use crate::keeper::Keeper;
use crate::model::record::{Database, Operation, Role};

/// The kind's name.
pub const KIND: &str = "apply_config";

/// How often an endpoint may change its state under us before we call it busy.
const MAX_ROUNDS: u32 = 8;
/// The pause before looking again; it doubles, to 1.3 s.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// What the change was, and what to put back when PostgreSQL refuses it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Change {
    /// The role that the change is about.
    pub role: Option<String>,
    /// That role before the change; `None` = there was none.
    pub role_before: Option<Role>,
    /// The database that the change is about, by its number.
    pub database: Option<i64>,
    /// That database before the change; `None` = there was none.
    pub database_before: Option<Database>,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct ApplyConfig {
    /// The metadata.
    pub db: Db,
    /// The computes.
    pub computes: Arc<dyn Computes>,
    /// Applies.
    pub keeper: Keeper,
}

impl ApplyConfig {
    fn change(operation: &Operation) -> Change {
        serde_json::from_value(operation.args.clone()).unwrap_or_default()
    }
}

#[async_trait::async_trait]
impl Work for ApplyConfig {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn steps(&self) -> u32 {
        1
    }

    async fn perform(&self, operation: &Operation, _step: u32) -> Result<(), StepFailure> {
        let Some(endpoint) = &operation.target.endpoint_id else { return Ok(()) };
        for round in 0..MAX_ROUNDS {
            match self.computes.settled(endpoint).await {
                State::Stopped => return Ok(()),
                State::Paused => self.computes.wake(endpoint, Cause::Request).await?,
                State::Active => {
                    let result = self.keeper.apply_awake(self.computes.as_ref(), endpoint).await;
                    match result {
                        Ok(refused) => return Self::change(operation).verdict(&refused),
                        // It went to sleep or died between the question and the answer.
                        Err(failure) if failure.code == NOT_ACTIVE => {
                            tokio::time::sleep(FIRST_PAUSE * 2u32.pow(round)).await;
                        }
                        Err(_) if self.computes.state(endpoint) != State::Active => {}
                        Err(failure) => return Err(failure),
                    }
                }
                State::Starting | State::Stopping => {}
            }
        }
        Err(StepFailure::passing(
            Kind::Unavailable,
            "endpoint-busy",
            "the endpoint keeps starting and stopping: try again",
        ))
    }

    async fn undo(&self, operation: &Operation, _step: u32) -> Result<(), StepFailure> {
        let (Some(branch), change) = (operation.target.branch_id.clone(), Self::change(operation)) else {
            return Ok(());
        };
        self.db
            .write("take a change back", move |db| {
                if let Some(name) = &change.role {
                    match &change.role_before {
                        Some(role) => roles::put(db, role)?,
                        None => roles::delete(db, &branch, name)?,
                    }
                }
                if let Some(id) = change.database {
                    match &change.database_before {
                        Some(database) => databases::put(db, database)?,
                        None => databases::delete(db, id)?,
                    }
                }
                Ok(())
            })
            .await?;
        if let Some(endpoint) = &operation.target.endpoint_id {
            let pending = self.db.read("list pending changes", endpoints::with_pending)?.contains(endpoint);
            self.keeper.set_pending(endpoint, pending);
            if pending {
                self.keeper.signals().pending.notify_one();
            }
        }
        Ok(())
    }
}

impl Change {
    /// Whether what PostgreSQL refused is this change.
    fn verdict(&self, refused: &[crate::keeper::apply::Refusal]) -> Result<(), StepFailure> {
        let ours = refused.iter().find(|r| {
            (self.role.is_some() && r.role == self.role)
                || (self.database.is_some() && r.database == self.database)
        });
        match ours {
            None => Ok(()),
            Some(refusal) => {
                Err(StepFailure::fatal(refusal.kind, "refused-by-postgres", refusal.message.clone()))
            }
        }
    }
}
