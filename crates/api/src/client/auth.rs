//! Calls about login tokens.

use dormouse_base::ProjectId;

use super::Call;
use crate::auth::{CreateToken, KeyRotated, TokenCreated};
use crate::routes::{self, Method};

/// Issues a login token; the reply is the only place that shows it.
pub fn create_token(project: &ProjectId, request: &CreateToken) -> Call<TokenCreated> {
    Call::new(Method::Post, routes::AUTH_TOKEN, &[project.as_str()]).with_body(request)
}

/// Ends every login token of the server.
pub fn rotate_key() -> Call<KeyRotated> {
    Call::new(Method::Post, routes::AUTH_ROTATE_KEY, &[])
}
