//! The state of every endpoint in one reply.

use axum::Json;
use axum::extract::State;
use dormouse_api::{Status, StatusEndpoint};

use super::error::Error;
use super::shape::live_state;
use crate::control::Control;
use crate::db::{branches, endpoints, projects};

/// `GET /status`.
pub(super) async fn status(State(control): State<Control>) -> Result<Json<Status>, Error> {
    let rows = control.foundation.db.read("list endpoints", |db| {
        let mut rows = Vec::new();
        for endpoint in endpoints::all(db)? {
            let (project, branch) =
                (projects::get(db, &endpoint.project_id)?, branches::get(db, &endpoint.branch_id)?);
            if let (Some(project), Some(branch)) = (project, branch) {
                rows.push((project.pg_version, branch.name, endpoint));
            }
        }
        Ok(rows)
    })?;
    let endpoints = rows.into_iter().map(|(pg_version, branch, endpoint)| StatusEndpoint {
        state: live_state(control.computes.state(&endpoint.id)),
        pid: control.computes.pid(&endpoint.id),
        host: control.foundation.config.address.host_of(&endpoint.id, false),
        id: endpoint.id,
        project_id: endpoint.project_id,
        branch,
        pg_version,
    });
    Ok(Json(Status { version: control.foundation.config.version.clone(), endpoints: endpoints.collect() }))
}
