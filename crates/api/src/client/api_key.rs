//! Calls about API keys.

use dormouse_base::ApiKeyId;

use super::Call;
use crate::api_key::{ApiKey, ApiKeyCreated, ApiKeyRevoked, CreateApiKey};
use crate::routes::{self, Method};

/// All API keys, without the keys themselves.
pub fn list() -> Call<Vec<ApiKey>> {
    Call::new(Method::Get, routes::API_KEYS, &[])
}

/// Makes a key; the reply is the only place that shows it.
pub fn create(request: &CreateApiKey) -> Call<ApiKeyCreated> {
    Call::new(Method::Post, routes::API_KEYS, &[]).with_body(request)
}

/// Revokes a key.
pub fn delete(key: &ApiKeyId) -> Call<ApiKeyRevoked> {
    Call::new(Method::Delete, routes::API_KEY, &[key.as_str()])
}
