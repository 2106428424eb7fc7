//! The contract itself, for programs that make clients of it.

use std::sync::LazyLock;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};

static TEXT: LazyLock<String> = LazyLock::new(|| dormouse_api::openapi::document().to_string());

/// `GET /openapi.json`.
pub(super) async fn document() -> Response {
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    ([kind], TEXT.as_str()).into_response()
}
