//! Login tokens.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use dormouse_api::auth::{CreateToken, KeyRotated, TokenCreated};
use dormouse_base::Kind;
use dormouse_runtime::task;

use super::error::Error;
use super::extract::Body;
use crate::control::Control;
use crate::token::Wish;

/// `POST /projects/{project_id}/auth/token`.
pub(super) async fn create(
    State(control): State<Control>,
    Path(project): Path<String>,
    Body(request): Body<CreateToken>,
) -> Result<(StatusCode, Json<TokenCreated>), Error> {
    let wanted = request.token;
    let (place, endpoint) =
        control.spot_of(&project, wanted.endpoint_id.as_ref(), wanted.branch_id.as_ref())?;
    if wanted.branch_id.as_ref().is_some_and(|branch| *branch != place.branch.id) {
        let message = "`endpoint_id` and `branch_id` do not belong together: leave one of them out";
        return Err(Error::new(Kind::Invalid, "bad-body", message));
    }
    control.refresh(&place).await?;
    let role = control.role(&place.branch, &wanted.role_name)?;
    if !role.can_login {
        let message = format!("role `{}` may not log in, so a token would be of no use", role.name);
        return Err(Error::new(Kind::Conflict, "role-cannot-login", message)
            .hint("issue one for a role that may, or give this one LOGIN"));
    }
    if let Some(name) = &wanted.database_name {
        control.database(&place.branch, name)?;
    }
    let wish = Wish {
        role: role.name.clone(),
        branch: place.branch.clone(),
        endpoint: endpoint.clone(),
        database: wanted.database_name.clone(),
        lifetime_seconds: wanted.expires_in_seconds,
    };
    let issued = control.foundation.tokens.issue(wish).await??;
    let created = TokenCreated {
        token: issued.token,
        role_name: role.name,
        branch_id: place.branch.id,
        endpoint_id: endpoint.map(|endpoint| endpoint.id),
        database_name: wanted.database_name,
        expires_at: issued.expires_at,
    };
    Ok((StatusCode::CREATED, Json(created)))
}

/// `POST /auth/rotate_key`.
pub(super) async fn rotate(State(control): State<Control>) -> Result<Json<KeyRotated>, Error> {
    let tokens = control.foundation.tokens.clone();
    let key_id = task::blocking(move || tokens.rotate()).await.map_err(|error| {
        tracing::error!(error = &error as &dyn std::error::Error, "cannot rotate the key of login tokens");
        Error::new(
            Kind::Internal,
            "key-not-written",
            "the new key cannot be stored, so the old one stays in use: see the server's log",
        )
    })?;
    Ok(Json(KeyRotated { key_id }))
}
