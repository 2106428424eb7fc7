//! Who the caller is. One server has one user; keys and tokens are how it is used.

use axum::{Extension, Json};
use dormouse_api::audit::ActorKind;
use dormouse_api::project::REGION;
use dormouse_api::user::{AuthDetails, AuthMethod, LOGIN, PLAN, Region, Regions};
use dormouse_api::{Organizations, User};

use super::projects::MAX_PROJECTS;
use crate::identity::Caller;
use crate::model::branch::MAX_BRANCHES;

/// `GET /users/me`.
pub(super) async fn me() -> Json<User> {
    Json(User {
        id: LOGIN.to_owned(),
        email: String::new(),
        login: LOGIN.to_owned(),
        name: LOGIN.to_owned(),
        last_name: String::new(),
        image: String::new(),
        projects_limit: MAX_PROJECTS,
        branches_limit: i64::try_from(MAX_BRANCHES).unwrap_or(i64::MAX),
        max_autoscaling_limit: 0.0,
        active_seconds_limit: 0,
        auth_accounts: Vec::new(),
        plan: PLAN.to_owned(),
    })
}

/// `GET /users/me/organizations`.
pub(super) async fn organizations() -> Json<Organizations> {
    Json(Organizations::default())
}

/// `GET /auth`.
pub(super) async fn auth(Extension(caller): Extension<Caller>) -> Json<AuthDetails> {
    let auth_method = match caller.actor.kind {
        ActorKind::ApiKey => AuthMethod::ApiKeyOrg,
        ActorKind::Oidc => AuthMethod::Oauth,
    };
    Json(AuthDetails {
        account_id: LOGIN.to_owned(),
        auth_method,
        auth_data: caller.actor.id,
        project_id: caller.project,
    })
}

/// `GET /regions`.
pub(super) async fn regions() -> Json<Regions> {
    let region = Region {
        region_id: REGION.to_owned(),
        name: "This server".to_owned(),
        default: true,
        geo_lat: String::new(),
        geo_long: String::new(),
    };
    Json(Regions { regions: vec![region] })
}
