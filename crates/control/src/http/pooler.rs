//! The pooler: its settings and its console.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use dormouse_api::pooler::{Pooler as Reply, PoolerAnswer, PoolerCommand, UpdatePooler};
use dormouse_base::Kind;

use super::error::Error;
use super::extract::Body;
use crate::control::Control;
use crate::locate::Locator;
use crate::pooler::{Pooler, PoolerError};

impl Control {
    fn pooler(&self) -> Result<&Arc<dyn Pooler>, Error> {
        let starting = || Error::new(Kind::Unavailable, "starting", "the server is just starting: try again");
        self.pooler.get().ok_or_else(starting)
    }
}

fn refused(error: PoolerError, code: &'static str) -> Error {
    match error {
        PoolerError::Refused { message, hint: None } => Error::new(Kind::Invalid, code, message),
        PoolerError::Refused { message, hint: Some(hint) } => {
            Error::new(Kind::Invalid, code, message).hint(hint)
        }
        PoolerError::NotKept => Error::new(Kind::Internal, "metadata-failed", error.to_string()),
    }
}

/// `GET /pooler`.
pub(super) async fn get(State(control): State<Control>) -> Result<Json<Reply>, Error> {
    Ok(Json(shown(control.pooler()?)))
}

/// `PATCH /pooler`.
pub(super) async fn update(
    State(control): State<Control>,
    Body(request): Body<UpdatePooler>,
) -> Result<Json<Reply>, Error> {
    let pooler = control.pooler()?;
    if let Some(id) = &request.endpoint {
        control.locate(&Locator::ByEndpoint(id)).map_err(|error| {
            let hint = "List them with `dormouse endpoint list`.";
            Error::new(Kind::NotFound, "endpoint-not-found", error.to_string()).hint(hint)
        })?;
    }
    pooler.change(request).await.map_err(|error| refused(error, "bad-pool-setting"))?;
    Ok(Json(shown(pooler)))
}

fn shown(pooler: &Arc<dyn Pooler>) -> Reply {
    Reply { settings: pooler.settings(), layers: pooler.layers() }
}

/// `POST /pooler/command`.
pub(super) async fn command(
    State(control): State<Control>,
    Body(request): Body<PoolerCommand>,
) -> Result<Json<PoolerAnswer>, Error> {
    let answer = control.pooler()?.run(&request.command).await;
    Ok(Json(answer.map_err(|error| refused(error, "bad-pool-command"))?))
}
