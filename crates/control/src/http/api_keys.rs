//! API keys.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use dormouse_api::{ApiKey, ApiKeyCreated, ApiKeyRevoked, CreateApiKey};
use dormouse_base::{ApiKeyId, Kind, clock};

use super::audit::Made;
use super::error::Error;
use super::extract::Body;
use super::shape;
use crate::api_key;
use crate::control::Control;
use crate::db::api_keys;
use crate::identity::Caller;
use crate::model::name;

/// The most API keys of one server.
pub const MAX_API_KEYS: usize = 1000;

/// `GET /api_keys`.
pub(super) async fn list(State(control): State<Control>) -> Result<Json<Vec<ApiKey>>, Error> {
    let rows = control.foundation.db.read("list API keys", api_keys::all)?;
    Ok(Json(rows.into_iter().map(shape::api_key).collect()))
}

/// `POST /api_keys`.
pub(super) async fn create(
    State(control): State<Control>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<CreateApiKey>,
) -> Result<(StatusCode, Extension<Made>, Json<ApiKeyCreated>), Error> {
    name::label("API key", &request.key_name)?;
    if control.foundation.db.read("list API keys", api_keys::all)?.len() >= MAX_API_KEYS {
        let message =
            format!("this server has {MAX_API_KEYS} API keys, which is its limit: revoke one first");
        return Err(Error::new(Kind::Limit, "too-many-api-keys", message));
    }
    let project = request.project_id.map(|named| control.project(&named)).transpose()?;
    let (key, row) = api_key::generate(&request.key_name, clock::now());
    let project_id = project.map(|project| project.id);
    let row = crate::model::record::ApiKey { project_id, created_by: caller.actor.name, ..row };
    let stored = row.clone();
    control.foundation.db.write("add an API key", move |db| api_keys::insert(db, &stored)).await?;
    let made = Made { project: row.project_id.clone(), name: row.id.to_string() };
    let created = ApiKeyCreated {
        id: row.id,
        name: row.name,
        created_at: row.created_at,
        prefix: row.prefix,
        project_id: row.project_id,
        key,
    };
    Ok((StatusCode::CREATED, Extension(made), Json(created)))
}

/// `DELETE /api_keys/{key_id}`.
pub(super) async fn revoke(
    State(control): State<Control>,
    Path(key): Path<String>,
) -> Result<Json<ApiKeyRevoked>, Error> {
    let missing = || Error::not_found("API key", "api-key-not-found", &key);
    let id: ApiKeyId = key.parse().map_err(|_| missing())?;
    let rows = control.foundation.db.read("list API keys", api_keys::all)?;
    let row = rows.into_iter().find(|row| row.id == id).ok_or_else(missing)?;
    if !control.foundation.db.write("revoke an API key", move |db| api_keys::delete(db, &id)).await? {
        return Err(missing());
    }
    Ok(Json(ApiKeyRevoked {
        id: row.id,
        name: row.name,
        created_at: row.created_at,
        last_used_at: row.last_used_at,
        revoked: true,
    }))
}
