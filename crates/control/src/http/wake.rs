//! Waking all endpoints of a project at once.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use dormouse_api::endpoint::{EndpointWoken, ProjectWoken};
use dormouse_base::clock::Mono;
use dormouse_compute::event::Cause;
use futures_util::StreamExt;

use super::error::Error;
use super::shape::live_state;
use crate::computes::Computes;
use crate::control::Control;
use crate::db::endpoints;
use crate::model::record::Endpoint;

/// Endpoints of one project that are woken at the same time; boots are admitted fairly besides.
const AT_ONCE: usize = 32;

/// How long is waited for each. Its start goes on.
const WITHIN: Duration = Duration::from_secs(45);

/// `POST /projects/{project_id}/wake`.
pub(super) async fn project(
    State(control): State<Control>,
    Path(project): Path<String>,
) -> Result<Json<ProjectWoken>, Error> {
    let project = control.project(&project)?;
    let mut rows =
        control.foundation.db.read("list endpoints", |db| endpoints::of_project(db, &project.id))?;
    rows.retain(|row| !row.deleting);
    let start = Mono::now();
    let wakes = rows.into_iter().map(|row| wake(Arc::clone(&control.computes), row, start));
    let endpoints = futures_util::stream::iter(wakes).buffered(AT_ONCE).collect().await;
    Ok(Json(ProjectWoken { endpoints }))
}

async fn wake(computes: Arc<dyn Computes>, row: Endpoint, start: Mono) -> EndpointWoken {
    let (was, begin) = (computes.state(&row.id), Mono::now());
    // All of them together, so that the whole answer comes in time.
    let left = WITHIN.saturating_sub(start.elapsed());
    let error = match tokio::time::timeout(left, computes.wake(&row.id, Cause::Request)).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("it is still starting: look at its state in a moment".to_owned()),
    };
    EndpointWoken {
        was: live_state(was),
        state: live_state(computes.state(&row.id)),
        took_ms: u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX),
        endpoint_id: row.id,
        branch_id: row.branch_id,
        error,
    }
}
