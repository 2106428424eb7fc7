//! Calls about endpoints.

use dormouse_base::{BranchId, EndpointId, ProjectId};

use super::Call;
use crate::endpoint::{CreateEndpoint, EndpointChanged, EndpointReply, Endpoints, UpdateEndpoint};
use crate::event::{Events, EventsQuery};
use crate::routes::{self, Method};

/// All endpoints of a project.
pub fn list(project: &ProjectId) -> Call<Endpoints> {
    Call::new(Method::Get, routes::ENDPOINTS, &[project.as_str()])
}

/// All endpoints of a branch.
pub fn list_of_branch(project: &ProjectId, branch: &BranchId) -> Call<Endpoints> {
    Call::new(Method::Get, routes::BRANCH_ENDPOINTS, &[project.as_str(), branch.as_str()])
}

/// One endpoint.
pub fn get(project: &ProjectId, endpoint: &EndpointId) -> Call<EndpointReply> {
    Call::new(Method::Get, routes::ENDPOINT, &[project.as_str(), endpoint.as_str()])
}

/// Changes an endpoint.
pub fn update(project: &ProjectId, endpoint: &EndpointId, request: &UpdateEndpoint) -> Call<EndpointChanged> {
    Call::new(Method::Patch, routes::ENDPOINT, &[project.as_str(), endpoint.as_str()]).with_body(request)
}

/// Wakes it; the reply comes when it is active.
pub fn start(project: &ProjectId, endpoint: &EndpointId) -> Call<EndpointChanged> {
    Call::new(Method::Post, routes::ENDPOINT_START, &[project.as_str(), endpoint.as_str()])
}

/// Stops it; the reply comes when it is stopped.
pub fn suspend(project: &ProjectId, endpoint: &EndpointId) -> Call<EndpointChanged> {
    Call::new(Method::Post, routes::ENDPOINT_SUSPEND, &[project.as_str(), endpoint.as_str()])
}

/// Freezes it; the reply comes when it is paused.
pub fn pause(project: &ProjectId, endpoint: &EndpointId) -> Call<EndpointChanged> {
    Call::new(Method::Post, routes::ENDPOINT_PAUSE, &[project.as_str(), endpoint.as_str()])
}

/// Stops and starts it; the reply comes when it is active.
pub fn restart(project: &ProjectId, endpoint: &EndpointId) -> Call<EndpointChanged> {
    Call::new(Method::Post, routes::ENDPOINT_RESTART, &[project.as_str(), endpoint.as_str()])
}

/// What happened to it, newest first.
pub fn events(project: &ProjectId, endpoint: &EndpointId, query: &EventsQuery) -> Call<Events> {
    Call::new(Method::Get, routes::ENDPOINT_EVENTS, &[project.as_str(), endpoint.as_str()])
        .with_query("limit", query.limit)
}

/// Makes an endpoint of a branch.
pub fn create(project: &ProjectId, request: &CreateEndpoint) -> Call<EndpointChanged> {
    Call::new(Method::Post, routes::ENDPOINTS, &[project.as_str()]).with_body(request)
}

/// Removes an endpoint; the data stays with its branch.
pub fn delete(project: &ProjectId, endpoint: &EndpointId) -> Call<EndpointChanged> {
    Call::new(Method::Delete, routes::ENDPOINT, &[project.as_str(), endpoint.as_str()])
}

/// Stops it and removes its local files; the store has everything.
pub fn evict(project: &ProjectId, endpoint: &EndpointId) -> Call<EndpointChanged> {
    Call::new(Method::Post, routes::ENDPOINT_EVICT, &[project.as_str(), endpoint.as_str()])
}

/// Stops it and moves its local files aside as they are; the next wake makes them from the store.
pub fn set_aside(project: &ProjectId, endpoint: &EndpointId) -> Call<EndpointChanged> {
    Call::new(Method::Post, routes::ENDPOINT_SET_ASIDE, &[project.as_str(), endpoint.as_str()])
}
