//! Computes for tests of reconcilers: they write down what was asked of them.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::{
    AdminClient, Cause, ComputeError, Computes, EndpointId, Kind, SleepReason, State, Timestamp, WayIn,
};

/// Every endpoint is Stopped until it is woken.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    pub(crate) states: Mutex<HashMap<EndpointId, State>>,
    pub(crate) wakes: Mutex<Vec<(EndpointId, Cause)>>,
    /// Those with new data.
    pub(crate) renewed: Mutex<Vec<EndpointId>>,
    /// Until when each shall stay awake, as it was said last.
    pub(crate) kept: Mutex<HashMap<EndpointId, Option<Timestamp>>>,
}

#[async_trait::async_trait]
impl Computes for Recorder {
    fn state(&self, endpoint: &EndpointId) -> State {
        self.states.lock().get(endpoint).copied().unwrap_or(State::Stopped)
    }
    fn pid(&self, _: &EndpointId) -> Option<u32> {
        None
    }
    async fn settled(&self, endpoint: &EndpointId) -> State {
        self.state(endpoint)
    }
    async fn wake(&self, endpoint: &EndpointId, cause: Cause) -> Result<(), ComputeError> {
        self.wakes.lock().push((endpoint.clone(), cause));
        self.states.lock().insert(endpoint.clone(), State::Active);
        Ok(())
    }
    async fn suspend(&self, endpoint: &EndpointId, _: SleepReason) -> Result<(), ComputeError> {
        self.states.lock().insert(endpoint.clone(), State::Stopped);
        Ok(())
    }
    async fn pause(&self, endpoint: &EndpointId) -> Result<(), ComputeError> {
        self.states.lock().insert(endpoint.clone(), State::Paused);
        Ok(())
    }
    async fn admin(&self, _: &EndpointId, _: &str) -> Result<AdminClient, ComputeError> {
        Err(ComputeError {
            kind: Kind::Conflict,
            code: "endpoint-state",
            message: "no PostgreSQL here".into(),
        })
    }
    async fn way_in(&self, endpoint: &EndpointId) -> Result<WayIn, ComputeError> {
        self.admin(endpoint, "").await.map(|_| unreachable!("it never gives one"))
    }
    async fn forget(&self, _: &EndpointId) {}
    fn renew(&self, endpoint: &EndpointId) {
        self.renewed.lock().push(endpoint.clone());
    }
    fn keep_awake(&self, endpoint: &EndpointId, until: Option<Timestamp>) {
        self.kept.lock().insert(endpoint.clone(), until);
    }
}
