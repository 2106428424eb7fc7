//! The state of every endpoint in one reply.

use axum::extract::State;
use axum::{Extension, Json};
use dormouse_api::{Status, StatusEndpoint};

use super::error::Error;
use super::shape::live_state;
use crate::control::Control;
use crate::db::{branches, endpoints, projects};
use crate::identity::Caller;

/// `GET /status`.
pub(super) async fn status(
    State(control): State<Control>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Status>, Error> {
    let rows = control.foundation.db.read("list endpoints", |db| {
        let (names, versions) = (branches::names(db)?, projects::majors(db)?);
        let rows = endpoints::all(db)?.into_iter().filter_map(|endpoint| {
            let version = *versions.get(&endpoint.project_id)?;
            Some((version, names.get(&endpoint.branch_id)?.clone(), endpoint))
        });
        Ok(rows.collect::<Vec<_>>())
    })?;
    let seen = rows.into_iter().filter(|(_, _, endpoint)| caller.sees(&endpoint.project_id));
    let endpoints = seen.map(|(pg_version, branch, endpoint)| StatusEndpoint {
        state: live_state(control.computes.state(&endpoint.id)),
        pid: control.computes.pid(&endpoint.id),
        host: control.foundation.config.address.host_of(&endpoint.id, false),
        id: endpoint.id,
        project_id: endpoint.project_id,
        branch_id: Some(endpoint.branch_id),
        last_active: endpoint.seen.last_active,
        branch,
        pg_version,
    });
    Ok(Json(Status { version: control.foundation.config.version.clone(), endpoints: endpoints.collect() }))
}
