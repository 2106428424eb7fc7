//! `operations`: every unfinished operation has a task, and old finished ones go, as do old entries of the audit.

use std::time::Duration;

use dormouse_base::clock;

use super::{Reconciler, Report, Trouble};
use crate::db::{Db, audit, operations};
use crate::operation::Executor;

const PERIOD: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Debug)]
pub struct Operations {
    /// The metadata.
    pub db: Db,
    /// Carries them out.
    pub executor: Executor,
}

#[async_trait::async_trait]
impl Reconciler for Operations {
    fn name(&self) -> &'static str {
        "operations"
    }

    async fn run(&mut self) -> Result<Report, Trouble> {
        let resumed = self.executor.resume().map_err(Trouble::in_doing("resume operations"))?;
        let prune = self.db.write("forget old operations", |db| {
            audit::prune(db, clock::now())?;
            operations::prune(db)
        });
        let removed = prune.await.map_err(Trouble::in_doing("forget old operations"))?;
        Ok(Report { text: format!("{resumed} resumed, {removed} forgotten"), next: PERIOD })
    }
}
