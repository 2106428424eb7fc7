//! Endpoints: settings, and asking them to start, pause and stop.

use axum::Json;
use axum::extract::{Path, State};
use dormouse_api::endpoint::{EndpointChanged, EndpointReply, UpdateEndpoint};
use dormouse_api::event::EventsQuery;
use dormouse_api::page::{DEFAULT_LIMIT, MAX_LIMIT};
use dormouse_api::{EndpointEvent, Endpoints, Events};
use dormouse_base::{Kind, clock};

use super::error::Error;
use super::extract::{Asked, Body};
use super::shape;
use crate::control::Control;
use crate::db::{endpoints, events};
use crate::model::settings;
use crate::operation::{restart_compute, start_compute, suspend_compute};

type EndpointPath = Path<(String, String)>;

/// `GET /projects/{project_id}/endpoints`.
pub(super) async fn list(
    State(control): State<Control>,
    Path(project): Path<String>,
) -> Result<Json<Endpoints>, Error> {
    let project = control.project(&project)?;
    let rows = control.foundation.db.read("list endpoints", |db| endpoints::of_project(db, &project.id))?;
    Ok(Json(Endpoints { endpoints: rows.into_iter().map(|row| control.show_endpoint(row)).collect() }))
}

/// `GET /projects/{project_id}/branches/{branch_id}/endpoints`.
pub(super) async fn list_of_branch(
    State(control): State<Control>,
    Path((project, branch)): EndpointPath,
) -> Result<Json<Endpoints>, Error> {
    let place = control.branch(&project, &branch)?;
    Ok(Json(Endpoints { endpoints: vec![control.show_endpoint(place.endpoint)] }))
}

/// `GET /projects/{project_id}/endpoints/{endpoint_id}`.
pub(super) async fn get(
    State(control): State<Control>,
    Path((project, endpoint)): EndpointPath,
) -> Result<Json<EndpointReply>, Error> {
    let place = control.endpoint(&project, &endpoint)?;
    Ok(Json(EndpointReply { endpoint: control.show_endpoint(place.endpoint) }))
}

/// `PATCH /projects/{project_id}/endpoints/{endpoint_id}`. Takes effect at the next start.
pub(super) async fn update(
    State(control): State<Control>,
    Path((project, endpoint)): EndpointPath,
    Body(request): Body<UpdateEndpoint>,
) -> Result<Json<EndpointChanged>, Error> {
    let mut row = control.endpoint(&project, &endpoint)?.endpoint;
    let wanted = request.endpoint;
    if let Some(seconds) = wanted.suspend_timeout_seconds {
        settings::timeout("suspend_timeout_seconds", seconds)?;
        row.suspend_timeout_seconds = seconds;
    }
    if let Some(seconds) = wanted.pause_timeout_seconds {
        settings::timeout("pause_timeout_seconds", seconds)?;
        row.pause_timeout_seconds = Some(seconds);
    }
    if let Some(wishes) = wanted.settings {
        settings::pg_settings(&wishes.pg_settings)?;
        row.pg_settings = wishes.pg_settings;
    }
    row.autoscaling_limit_min_cu = wanted.autoscaling_limit_min_cu.unwrap_or(row.autoscaling_limit_min_cu);
    row.autoscaling_limit_max_cu = wanted.autoscaling_limit_max_cu.unwrap_or(row.autoscaling_limit_max_cu);
    settings::size(row.autoscaling_limit_min_cu, row.autoscaling_limit_max_cu)?;
    let id = row.id.clone();
    control
        .foundation
        .db
        .write("change an endpoint", move |db| endpoints::update(db, &row, clock::now()))
        .await?;
    let endpoint = control.endpoint(&project, id.as_str())?.endpoint;
    Ok(Json(EndpointChanged { endpoint: control.show_endpoint(endpoint), operations: Vec::new() }))
}

/// `POST …/start`.
pub(super) async fn start(
    control: State<Control>,
    path: EndpointPath,
) -> Result<Json<EndpointChanged>, Error> {
    act(control, path, start_compute::KIND).await
}

/// `POST …/suspend`.
pub(super) async fn suspend(
    control: State<Control>,
    path: EndpointPath,
) -> Result<Json<EndpointChanged>, Error> {
    act(control, path, suspend_compute::KIND).await
}

/// `POST …/restart`.
pub(super) async fn restart(
    control: State<Control>,
    path: EndpointPath,
) -> Result<Json<EndpointChanged>, Error> {
    act(control, path, restart_compute::KIND).await
}

async fn act(
    State(control): State<Control>,
    Path((project, endpoint)): EndpointPath,
    kind: &'static str,
) -> Result<Json<EndpointChanged>, Error> {
    let place = control.endpoint(&project, &endpoint)?;
    let operation = control.submit_plain(kind, place.target()).await?;
    let endpoint = control.endpoint(&project, &endpoint)?.endpoint;
    let operations = vec![shape::operation(operation)];
    Ok(Json(EndpointChanged { endpoint: control.show_endpoint(endpoint), operations }))
}

/// `POST …/pause`. Not an operation: there is nothing to resume.
pub(super) async fn pause(
    State(control): State<Control>,
    Path((project, endpoint)): EndpointPath,
) -> Result<Json<EndpointChanged>, Error> {
    let place = control.endpoint(&project, &endpoint)?;
    control.computes.pause(&place.endpoint.id).await?;
    Ok(Json(EndpointChanged { endpoint: control.show_endpoint(place.endpoint), operations: Vec::new() }))
}

/// `GET …/events`.
pub(super) async fn events(
    State(control): State<Control>,
    Path((project, endpoint)): EndpointPath,
    Asked(query): Asked<EventsQuery>,
) -> Result<Json<Events>, Error> {
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Error::new(
            Kind::Invalid,
            "bad-query",
            format!("`limit` must be a number from 1 to {MAX_LIMIT}"),
        ));
    }
    let place = control.endpoint(&project, &endpoint)?;
    let limit = usize::try_from(limit).unwrap_or(1);
    let rows =
        control.foundation.db.read("list events", |db| events::newest(db, &place.endpoint.id, limit))?;
    Ok(Json(Events { events: rows.into_iter().map(show_event).collect() }))
}

fn show_event(entry: events::Entry) -> EndpointEvent {
    let mut detail = match entry.happening {
        serde_json::Value::Object(map) => map,
        _ => serde_json::Map::new(),
    };
    let kind = detail.remove("kind").and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default();
    EndpointEvent { id: entry.id, at: entry.at, kind, detail }
}
