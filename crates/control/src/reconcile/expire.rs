//! `expire`: deletes branches and endpoints whose time has come. A branch that has children by then, or
//! became the default one or protected, stays until that changes.

use std::time::Duration;

use super::{Reconciler, Report, Trouble};
use crate::control::Control;
use crate::db::{branches, endpoints};

/// The longest pause between two looks.
const PERIOD: Duration = Duration::from_secs(60);
/// The shortest, so that what cannot be deleted now is not tried in a tight loop.
const SHORTEST: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub struct Expire {
    /// Deletes.
    pub control: Control,
}

#[async_trait::async_trait]
impl Reconciler for Expire {
    fn name(&self) -> &'static str {
        "expire"
    }

    async fn signalled(&self) {
        self.control.foundation.keeper.signals().expire.notified().await;
    }

    async fn run(&mut self) -> Result<Report, Trouble> {
        let db = &self.control.foundation.db;
        // What is deleted does not come back when a clock that was ahead is put right.
        let now = self.control.foundation.calendar.today().await;
        let (old_branches, old_endpoints) = db
            .read("list what expired", |db| Ok((branches::expired(db, now)?, endpoints::expired(db, now)?)))
            .map_err(Trouble::in_doing("list what expired"))?;
        let (mut gone, mut held) = (0, 0);
        for endpoint in old_endpoints {
            match self.control.delete_endpoint(&endpoint).await {
                Ok(_) => gone += 1,
                Err(error) => {
                    held += 1;
                    tracing::debug!(endpoint = %endpoint.id, code = %error.code, "an expired endpoint stays");
                }
            }
        }
        for branch in old_branches {
            match self.control.delete_branch(&branch, false).await {
                Ok(_) => gone += 1,
                Err(error) => {
                    held += 1;
                    tracing::info!(branch = %branch.id, code = %error.code, "an expired branch stays");
                }
            }
        }
        let next = db.read("read the next expiry", branches::next_expiry);
        let next = next.map_err(Trouble::in_doing("read the next expiry"))?;
        let left = next.map(|at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
        let next = left.filter(|_| held == 0).unwrap_or(PERIOD).clamp(SHORTEST, PERIOD);
        Ok(Report { text: format!("{gone} deleted, {held} held back"), next })
    }
}
