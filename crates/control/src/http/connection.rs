//! Connection strings.

use axum::Json;
use axum::extract::{Path, State};
use dormouse_api::ConnectionUriReply;
use dormouse_api::connection::ConnectionUriQuery;
use dormouse_base::{BranchId, EndpointId};

use super::error::Error;
use super::extract::Asked;
use super::find::Place;
use crate::control::Control;
use crate::db::branches;
use crate::model::record::Endpoint;

/// `GET /projects/{project_id}/connection_uri`.
pub(super) async fn uri(
    State(control): State<Control>,
    Path(project): Path<String>,
    Asked(query): Asked<ConnectionUriQuery>,
) -> Result<Json<ConnectionUriReply>, Error> {
    let (place, named) = control.spot_of(&project, query.endpoint_id.as_ref(), query.branch_id.as_ref())?;
    let endpoint = match &named {
        Some(endpoint) => &endpoint.id,
        None => &place.writer()?.id,
    };
    control.refresh(&place).await?;
    let role = control.role(&place.branch, &query.role_name)?;
    let database = control.database(&place.branch, &query.database_name)?;
    let password = super::roles::password_of(&control, &role)?;
    let uri = control.foundation.config.address.uri(
        endpoint,
        query.pooled.unwrap_or(false),
        &role.name,
        Some(password.expose()),
        &database.name,
    );
    Ok(Json(ConnectionUriReply { uri }))
}

impl Control {
    /// The branch that a request means (by an endpoint of it, by itself, else the default branch), and the
    /// endpoint if it was named.
    pub(super) fn spot_of(
        &self,
        project: &str,
        endpoint: Option<&EndpointId>,
        branch: Option<&BranchId>,
    ) -> Result<(Place, Option<Endpoint>), Error> {
        if let Some(endpoint) = endpoint {
            let spot = self.endpoint(project, endpoint.as_str())?;
            return Ok((spot.place, Some(spot.endpoint)));
        }
        if let Some(branch) = branch {
            return Ok((self.branch(project, branch.as_str())?, None));
        }
        let row = self.project(project)?;
        let branch = self.foundation.db.read("find a branch", |db| branches::default_of(db, &row.id))?;
        let branch = branch.ok_or_else(|| Error::not_found("branch", "branch-not-found", "default"))?;
        Ok((self.branch(row.id.as_str(), branch.id.as_str())?, None))
    }
}
