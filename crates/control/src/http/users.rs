//! Who the caller is. One server has one user.

use axum::Json;
use dormouse_api::user::LOGIN;
use dormouse_api::{Organizations, User};

use super::projects::MAX_PROJECTS;

/// `GET /users/me`.
pub(super) async fn me() -> Json<User> {
    Json(User {
        id: LOGIN.to_owned(),
        email: String::new(),
        login: LOGIN.to_owned(),
        name: LOGIN.to_owned(),
        projects_limit: MAX_PROJECTS,
    })
}

/// `GET /users/me/organizations`.
pub(super) async fn organizations() -> Json<Organizations> {
    Json(Organizations::default())
}
