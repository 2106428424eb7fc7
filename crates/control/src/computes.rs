//! What control asks of the computes, as a trait of its own with one implementation: the fleet.
//!
//! The trait keeps the rest of this crate honest (it can only do what is listed here) and lets the
//! HTTP layer be tested where no PostgreSQL is installed.

use std::any::Any;
use std::fmt::Debug;
use std::path::PathBuf;
use std::time::Duration;

use dormouse_base::{EndpointId, Kind, RoleChanges, Timestamp};
use dormouse_compute::event::{Cause, SleepReason};
use dormouse_compute::limits::Live;
use dormouse_compute::postgres::SUPERUSER;
use dormouse_compute::postgres::admin::AdminClient;
use dormouse_compute::spec::Tuning;
use dormouse_compute::{Fleet, State, WakeError};

/// The longest wait for an endpoint that starts or stops.
pub const SETTLE_WITHIN: Duration = Duration::from_secs(60);

/// The code of a compute that is asked for a connection and is not Active. It may still call itself
/// Active then: it has just died, and the news is on its way.
pub(crate) const NOT_ACTIVE: &str = "endpoint-state";

/// A compute did not do what was asked. Safe to show to the owner of the project.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ComputeError {
    /// What to do about it.
    pub kind: Kind,
    /// A kebab-case stem, such as `compute-did-not-start`.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

impl From<WakeError> for ComputeError {
    fn from(error: WakeError) -> Self {
        let message = match &error {
            WakeError::Quota { hint, .. } => format!("{error}. {hint}"),
            _ => error.to_string(),
        };
        Self { kind: error.kind(), code: error.code(), message }
    }
}

/// A way in for a program of ours, such as `pg_dump`. The compute stays awake while this is held.
pub struct WayIn {
    /// The directory of its private socket, which asks for no password.
    pub socket_dir: PathBuf,
    /// The superuser there.
    pub role: &'static str,
    /// Keeps it awake.
    pub held: Box<dyn Any + Send + Sync>,
}

impl Debug for WayIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WayIn").field("socket_dir", &self.socket_dir).finish_non_exhaustive()
    }
}

/// The computes of this server.
#[async_trait::async_trait]
pub trait Computes: Send + Sync + Debug + 'static {
    /// What an endpoint is doing. One that was never touched is Stopped.
    fn state(&self, endpoint: &EndpointId) -> State;

    /// The postmaster's process ID, if there is one.
    fn pid(&self, endpoint: &EndpointId) -> Option<u32>;

    /// How large it is and what it uses, while it is Active or Paused.
    fn live(&self, _endpoint: &EndpointId) -> Option<Live> {
        None
    }

    /// Every endpoint that is Active, with what it uses.
    fn awake(&self) -> Vec<(EndpointId, Live)> {
        Vec::new()
    }

    /// Waits while it is Starting or Stopping, and tells what it is then.
    async fn settled(&self, endpoint: &EndpointId) -> State;

    /// Makes it Active.
    async fn wake(&self, endpoint: &EndpointId, cause: Cause) -> Result<(), ComputeError>;

    /// Makes it Stopped.
    async fn suspend(&self, endpoint: &EndpointId, reason: SleepReason) -> Result<(), ComputeError>;

    /// Makes it Paused; an error when it has work.
    async fn pause(&self, endpoint: &EndpointId) -> Result<(), ComputeError>;

    /// A superuser connection to an Active compute; never wakes.
    async fn admin(&self, endpoint: &EndpointId, database: &str) -> Result<AdminClient, ComputeError>;

    /// Wakes it, and keeps it awake for a program of ours.
    async fn way_in(&self, endpoint: &EndpointId) -> Result<WayIn, ComputeError>;

    /// Drops what is known of a deleted endpoint, which must be Stopped.
    async fn forget(&self, endpoint: &EndpointId);

    /// Its data or its settings were exchanged: its next start does not wait for what the last one failed with.
    fn renew(&self, endpoint: &EndpointId);

    /// What its owner allows changed: holds at once while it runs, and else from the next start on.
    fn retune(&self, _endpoint: &EndpointId, _tuning: Tuning) {}

    /// Counts what may have changed its roles. `None`: nobody does, because it was never touched, or is another server's.
    fn role_changes(&self, _endpoint: &EndpointId) -> Option<RoleChanges> {
        None
    }

    /// Does not let it fall asleep by itself before this moment; `None` takes that back.
    fn keep_awake(&self, _endpoint: &EndpointId, _until: Option<Timestamp>) {}
}

#[cfg(test)]
pub(crate) mod recorder;

#[async_trait::async_trait]
impl Computes for Fleet {
    fn state(&self, endpoint: &EndpointId) -> State {
        self.get(endpoint).map_or(State::Stopped, |e| e.state())
    }

    fn pid(&self, endpoint: &EndpointId) -> Option<u32> {
        self.get(endpoint).and_then(|e| e.pid())
    }

    fn live(&self, endpoint: &EndpointId) -> Option<Live> {
        Self::live(self, endpoint)
    }

    fn awake(&self) -> Vec<(EndpointId, Live)> {
        let active = self.all().into_iter().filter(|endpoint| endpoint.state() == State::Active);
        active.filter_map(|endpoint| Some((endpoint.id().clone(), endpoint.live()?))).collect()
    }

    async fn settled(&self, endpoint: &EndpointId) -> State {
        match self.get(endpoint) {
            Some(endpoint) => {
                let settled = tokio::time::timeout(SETTLE_WITHIN, endpoint.settled()).await;
                settled.unwrap_or_else(|_| endpoint.state())
            }
            None => State::Stopped,
        }
    }

    fn role_changes(&self, endpoint: &EndpointId) -> Option<RoleChanges> {
        // What clients of the server do that has it now is not seen here.
        let endpoint = self.get(endpoint).filter(|endpoint| !endpoint.is_given_away())?;
        Some(endpoint.role_changes().clone())
    }

    async fn wake(&self, endpoint: &EndpointId, cause: Cause) -> Result<(), ComputeError> {
        Ok(self.endpoint(endpoint).wake(cause).await?)
    }

    async fn suspend(&self, endpoint: &EndpointId, reason: SleepReason) -> Result<(), ComputeError> {
        match self.get(endpoint) {
            Some(endpoint) => Ok(endpoint.suspend(reason).await?),
            None => Ok(()),
        }
    }

    async fn pause(&self, endpoint: &EndpointId) -> Result<(), ComputeError> {
        Ok(self.endpoint(endpoint).pause().await?)
    }

    async fn admin(&self, endpoint: &EndpointId, database: &str) -> Result<AdminClient, ComputeError> {
        Ok(self.endpoint(endpoint).admin(database).await?)
    }

    async fn way_in(&self, endpoint: &EndpointId) -> Result<WayIn, ComputeError> {
        let endpoint = self.endpoint(endpoint);
        endpoint.wake(Cause::Request).await?;
        let lease = endpoint.acquire().await?;
        let socket_dir = lease.run.socket().dir.clone();
        Ok(WayIn { socket_dir, role: SUPERUSER, held: Box::new(lease.pass) })
    }

    async fn forget(&self, endpoint: &EndpointId) {
        Fleet::forget(self, endpoint).await;
    }

    fn renew(&self, endpoint: &EndpointId) {
        if let Some(endpoint) = self.get(endpoint) {
            endpoint.renew();
        }
    }

    fn retune(&self, endpoint: &EndpointId, tuning: Tuning) {
        if let Some(endpoint) = self.get(endpoint) {
            endpoint.retune(tuning);
        }
    }

    fn keep_awake(&self, endpoint: &EndpointId, until: Option<Timestamp>) {
        match (self.get(endpoint), until) {
            (Some(endpoint), _) => endpoint.keep_awake(until),
            (None, Some(_)) => self.endpoint(endpoint).keep_awake(until),
            (None, None) => {}
        }
    }
}
