//! Connection strings.

use axum::Json;
use axum::extract::{Path, State};
use dormouse_api::ConnectionUriReply;
use dormouse_api::connection::ConnectionUriQuery;

use super::error::Error;
use super::extract::Asked;
use crate::control::Control;
use crate::db::branches;

/// `GET /projects/{project_id}/connection_uri`.
pub(super) async fn uri(
    State(control): State<Control>,
    Path(project): Path<String>,
    Asked(query): Asked<ConnectionUriQuery>,
) -> Result<Json<ConnectionUriReply>, Error> {
    let (place, named) = match (&query.endpoint_id, &query.branch_id) {
        (Some(endpoint), _) => {
            let spot = control.endpoint(&project, endpoint.as_str())?;
            (spot.place, Some(spot.endpoint))
        }
        (None, Some(branch)) => (control.branch(&project, branch.as_str())?, None),
        (None, None) => {
            let row = control.project(&project)?;
            let branch =
                control.foundation.db.read("find a branch", |db| branches::default_of(db, &row.id))?;
            let branch = branch.ok_or_else(|| Error::not_found("branch", "branch-not-found", "default"))?;
            (control.branch(row.id.as_str(), branch.id.as_str())?, None)
        }
    };
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
