//! Durable work in steps.
//!
//! An operation is a row: its kind, its arguments, the next step. A step is done, then the row is
//! moved on; a crash in between does the step again, so steps are idempotent. When a step fails for
//! good, the steps so far are undone in reverse. [`phase`] is the life of an operation, [`executor`]
//! carries it out, and every kind has one file with its steps:
//!
//! | kind | steps |
//! |---|---|
//! | [`create_project`] | template · root in the store (ready with its end) |
//! | [`delete_project`] | stop · remove files · remove from the store · remove rows (never gives up) |
//! | [`create_branch`] | line in the store (ready with its end) |
//! | [`delete_branch`] | stop · remove files · remove from the store · remove rows (never gives up) |
//! | [`restore_branch`] | new line in the store · stop · evict · move |
//! | [`create_endpoint`], [`delete_endpoint`], [`evict_compute`], [`set_aside_compute`] | a compute's row and files |
//! | [`import_directory`] | copy · prepare · place · adopt · ready |
//! | [`start_compute`], [`suspend_compute`], [`restart_compute`] | the compute's own |
//! | [`apply_config`] | make PostgreSQL agree with the metadata, if it is awake |
//!
//! "One operation per project at a time" is a unique index in the metadata, not a lock in memory.

use std::fmt::Debug;

use dormouse_base::{Kind, OperationId};
use rusqlite::Transaction;
use serde::{Deserialize, Serialize};

use crate::computes::ComputeError;
use crate::db::{DbError, branches};
use crate::directory::DirectoryError;
use crate::model::record::{Operation, Target};
use crate::vault::VaultError;

pub mod phase;
pub mod executor;
pub mod create_project;
pub mod delete_project;
mod removal;
pub mod create_branch;
pub mod delete_branch;
pub mod restore_branch;
pub mod create_endpoint;
pub mod delete_endpoint;
pub mod evict_compute;
pub mod import_directory;
pub mod set_aside_compute;
pub mod start_compute;
pub mod suspend_compute;
pub mod restart_compute;
pub mod apply_config;
pub(crate) mod kinds;

pub use executor::Executor;

/// Why a step failed. Everything in it may be shown to the owner of the project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct StepFailure {
    /// A kebab-case stem, such as `compute-did-not-start`.
    pub code: String,
    /// What to do about it, as an HTTP status ([`Kind::http_status`]).
    pub status: u16,
    /// For people.
    pub message: String,
    /// Trying again may help.
    #[serde(skip)]
    pub again: bool,
}

impl StepFailure {
    /// A failure for good.
    pub fn fatal(kind: Kind, code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), status: kind.http_status(), message: message.into(), again: false }
    }

    /// What an operation is about was removed meanwhile.
    pub(crate) fn gone(what: &str) -> Self {
        let message = format!("the {what} was removed while it was being worked on");
        Self::fatal(Kind::NotFound, "operation-failed", message)
    }

    /// A failure that may pass.
    pub fn passing(kind: Kind, code: &str, message: impl Into<String>) -> Self {
        Self { again: true, ..Self::fatal(kind, code, message) }
    }
}

impl From<DbError> for StepFailure {
    fn from(error: DbError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "metadata");
        Self::passing(
            Kind::Internal,
            "metadata-failed",
            "the metadata cannot be read or written: see the server's log",
        )
    }
}

impl From<DirectoryError> for StepFailure {
    fn from(error: DirectoryError) -> Self {
        if let DirectoryError::NotImportable(_) = &error {
            return Self::fatal(Kind::Invalid, "directory-not-importable", error.to_string());
        }
        tracing::error!(error = &error as &dyn std::error::Error, "cluster");
        if error.is_disk_full() {
            return Self::passing(
                Kind::Unavailable,
                "storage-full",
                "the server's disk is full: make room and try again",
            );
        }
        match error {
            DirectoryError::NotInstalled { .. } => {
                Self::fatal(Kind::Invalid, "version-not-installed", error.to_string())
            }
            DirectoryError::Import { source } => Self::fatal(
                Kind::Conflict,
                "import-failed",
                format!("the imported cluster cannot be prepared: {source}"),
            ),
            DirectoryError::NotImportable(_)
            | DirectoryError::File { .. }
            | DirectoryError::Template { .. } => Self::passing(
                Kind::Internal,
                "cluster-failed",
                "the database's files cannot be made ready: see the server's log",
            ),
        }
    }
}

impl From<VaultError> for StepFailure {
    fn from(error: VaultError) -> Self {
        let again = matches!(error.kind, Kind::Unavailable | Kind::Internal);
        Self { again, ..Self::fatal(error.kind, error.code, error.message) }
    }
}

impl From<ComputeError> for StepFailure {
    fn from(error: ComputeError) -> Self {
        Self::fatal(error.kind, error.code, error.message)
    }
}

/// A change that is part of a transaction.
pub type Seal = Box<dyn FnOnce(&Transaction<'_>) -> rusqlite::Result<()> + Send>;

/// The branch of an operation can be used.
pub(crate) fn ready(operation: &Operation) -> Option<Seal> {
    let id = operation.target.branch_id.clone()?;
    Some(Box::new(move |db| branches::mark_ready(db, &id, dormouse_base::clock::now())))
}

/// One kind of operation.
#[async_trait::async_trait]
pub trait Work: Send + Sync + Debug + 'static {
    /// The kind's name; the public `action`.
    fn kind(&self) -> &'static str;

    /// How many steps it has.
    fn steps(&self) -> u32;

    /// Does a step. May be called again for a step that was done before.
    async fn perform(&self, operation: &Operation, step: u32) -> Result<(), StepFailure>;

    /// Undoes a step that was done, half done or not even begun.
    async fn undo(&self, _operation: &Operation, _step: u32) -> Result<(), StepFailure> {
        Ok(())
    }

    /// What its end changes in the metadata, in the transaction that stores that it is done: nobody sees one without
    /// the other, and both cost one wait for the disk.
    fn seal(&self, _operation: &Operation) -> Option<Seal> {
        None
    }

    /// Whether undoing is tried until it is done, as long as it fails with what may pass: what it would leave in the
    /// store could be taken for something else, or never be found.
    fn waits_to_undo(&self) -> bool {
        false
    }

    /// Whether it is tried for ever because there is no way back.
    fn never_gives_up(&self) -> bool {
        false
    }
}

/// What an operation was given.
fn arguments<T: serde::de::DeserializeOwned>(operation: &Operation) -> Result<T, StepFailure> {
    serde_json::from_value(operation.args.clone()).map_err(|error| {
        tracing::error!(operation = %operation.id, %error, "the arguments of an operation cannot be read");
        StepFailure::fatal(
            Kind::Internal,
            "operation-failed",
            "the operation cannot be read: see the server's log",
        )
    })
}

/// Plain data of ours as JSON.
pub(crate) fn as_json<T: Serialize>(value: &T) -> serde_json::Value {
    serde_json::to_value(value).expect("plain data with text keys, which JSON can always say")
}

/// A failure that a test asked for, as a step's failure.
fn interrupted<E: std::fmt::Display>(hit: Result<(), E>) -> Result<(), StepFailure> {
    hit.map_err(|error| StepFailure::passing(Kind::Internal, "operation-failed", error.to_string()))
}

/// A fresh operation.
#[must_use]
pub fn draft(kind: &str, target: Target, args: serde_json::Value) -> Operation {
    let now = dormouse_base::clock::now();
    Operation {
        id: OperationId::generate(),
        target,
        kind: kind.to_owned(),
        phase: phase::Phase::Doing,
        step: 0,
        args,
        error: None,
        failures: 0,
        retry_at: None,
        created_at: now,
        updated_at: now,
    }
}

#[cfg(test)]
mod branch_tests;
