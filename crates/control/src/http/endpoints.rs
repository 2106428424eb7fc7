//! Endpoints: settings, and asking them to start, pause and stop.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use dormouse_api::endpoint::{
    CreateEndpoint, EndpointChanged, EndpointReply, NewEndpointLimits, UpdateEndpoint,
};
use dormouse_api::event::EventsQuery;
use dormouse_api::page::{DEFAULT_LIMIT, MAX_LIMIT};
use dormouse_api::{EndpointEvent, Endpoints, Events};
use dormouse_base::{EndpointId, Kind, clock};
use dormouse_compute::spec::Mode;

use super::audit::Made;
use super::branch_create::changed_meanwhile;
use super::branches::usable;
use super::error::Error;
use super::extract::{Asked, Body};
use super::find::Place;
use super::point::point;
use super::shape;
use crate::control::Control;
use crate::db::{branches, endpoints, events};
use crate::model::allow;
use crate::model::branch::MAX_ENDPOINTS;
use crate::model::record::{Endpoint, Operation, Target};
use crate::model::{settings, warm};
use crate::operation::{
    create_endpoint, delete_endpoint, draft, evict_compute, restart_compute, set_aside_compute,
    start_compute, suspend_compute,
};
use crate::vault::Point;

type EndpointPath = Path<(String, String)>;

/// `GET /projects/{project_id}/endpoints`.
pub(super) async fn list(
    State(control): State<Control>,
    Path(project): Path<String>,
) -> Result<Json<Endpoints>, Error> {
    let project = control.project(&project)?;
    let mut rows =
        control.foundation.db.read("list endpoints", |db| endpoints::of_project(db, &project.id))?;
    rows.retain(|row| !row.deleting);
    Ok(Json(Endpoints { endpoints: rows.into_iter().map(|row| control.show_endpoint(row)).collect() }))
}

/// `GET /projects/{project_id}/branches/{branch_id}/endpoints`.
pub(super) async fn list_of_branch(
    State(control): State<Control>,
    Path((project, branch)): EndpointPath,
) -> Result<Json<Endpoints>, Error> {
    let place = control.branch(&project, &branch)?;
    let mut rows =
        control.foundation.db.read("list endpoints", |db| endpoints::all_of_branch(db, &place.branch.id))?;
    rows.retain(|row| !row.deleting);
    Ok(Json(Endpoints { endpoints: rows.into_iter().map(|row| control.show_endpoint(row)).collect() }))
}

/// `GET /projects/{project_id}/endpoints/{endpoint_id}`.
pub(super) async fn get(
    State(control): State<Control>,
    Path((project, endpoint)): EndpointPath,
) -> Result<Json<EndpointReply>, Error> {
    let place = control.endpoint(&project, &endpoint)?;
    Ok(Json(EndpointReply { endpoint: control.show_endpoint(place.endpoint) }))
}

/// `PATCH /projects/{project_id}/endpoints/{endpoint_id}`. Sizes and time-outs hold at once, PostgreSQL's settings from
/// the next start on.
pub(super) async fn update(
    State(control): State<Control>,
    Path((project, endpoint)): EndpointPath,
    Body(request): Body<UpdateEndpoint>,
) -> Result<Json<EndpointChanged>, Error> {
    let row = control.endpoint(&project, &endpoint)?.endpoint;
    let wanted = request.endpoint;
    let limits = NewEndpointLimits {
        suspend_timeout_seconds: wanted.suspend_timeout_seconds,
        pause_timeout_seconds: wanted.pause_timeout_seconds,
        autoscaling_limit_min_cu: wanted.autoscaling_limit_min_cu,
        autoscaling_limit_max_cu: wanted.autoscaling_limit_max_cu,
        keep_warm: wanted.keep_warm,
        prewarm: wanted.prewarm,
        settings: wanted.settings,
    };
    let allowed_ips = wanted.allowed_ips.map(allow::list).transpose()?;
    let id = row.id.clone();
    // Read again in the transaction, so that nobody's change is lost.
    let changed = control.foundation.db.write("change an endpoint", move |db| {
        let Some(row) = endpoints::get(db, &row.id)?.filter(|row| !row.deleting) else {
            return Ok(Err(Error::not_found("endpoint", "endpoint-not-found", row.id.as_str())));
        };
        match wished(row, limits) {
            Ok(mut row) => {
                row.allowed_ips = allowed_ips.unwrap_or(row.allowed_ips);
                endpoints::update(db, &row, clock::now()).map(Ok)
            }
            Err(refused) => Ok(Err(refused)),
        }
    });
    changed.await??;
    control.foundation.keeper.signals().mirror.notify_one();
    let endpoint = control.endpoint(&project, id.as_str())?.endpoint;
    control.computes.retune(&endpoint.id, control.foundation.keeper.tuning(&endpoint));
    control.computes.renew(&endpoint.id);
    control.foundation.keeper.signals().warm.notify_one();
    Ok(Json(EndpointChanged { endpoint: control.show_endpoint(endpoint), operations: Vec::new() }))
}

/// An endpoint with these wishes.
pub(super) fn wished(mut row: Endpoint, wanted: NewEndpointLimits) -> Result<Endpoint, Error> {
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
    if let Some(windows) = wanted.keep_warm {
        warm::check(&windows)?;
        row.warm.keep = windows;
    }
    row.warm.prewarm = wanted.prewarm.unwrap_or(row.warm.prewarm);
    Ok(row)
}

/// `POST /projects/{project_id}/endpoints`.
pub(super) async fn create(
    State(control): State<Control>,
    Path(project): Path<String>,
    Body(request): Body<CreateEndpoint>,
) -> Result<(StatusCode, Extension<Made>, Json<EndpointChanged>), Error> {
    let wanted = request.endpoint;
    let place = control.branch(&project, wanted.branch_id.as_str())?;
    usable(&place.branch)?;
    let point = point(wanted.pinned_lsn, wanted.pinned_timestamp)?;
    let mode = shape::mode(wanted.kind);
    if mode == Mode::ReadWrite && point != Point::Head {
        let message = "only a `read_only` endpoint can be pinned to the past: to write there, make a branch";
        return Err(Error::new(Kind::Invalid, "bad-point", message));
    }
    let pinned_lsn = match point {
        Point::Head => None,
        Point::Lsn(_) | Point::Time(_) => Some(control.resolve(&place, point).await?.lsn),
    };
    let id = EndpointId::generate();
    let new = Endpoint::new(id, &place.project.id, &place.branch.id, &place.project.settings, clock::now());
    let new = wished(Endpoint { mode, pinned_lsn, ..new }, wanted.limits)?;
    let (row, operation) = control.add_endpoint(&place, new).await?;
    control.foundation.keeper.signals().warm.notify_one();
    let operations = vec![shape::operation(operation)];
    let made = Made::new(&place.project.id, &row.id);
    let reply = EndpointChanged { endpoint: control.show_endpoint(row), operations };
    Ok((StatusCode::CREATED, made, Json(reply)))
}

/// A second writer is asked for.
pub(super) fn has_writer(branch: &str) -> Error {
    let message = format!("branch `{branch}` has a read-write endpoint, and can have only one");
    Error::new(Kind::Conflict, "branch-has-endpoint", message).hint("make it `read_only`, or make a branch")
}

/// `DELETE /projects/{project_id}/endpoints/{endpoint_id}`.
pub(super) async fn delete(
    State(control): State<Control>,
    Path((project, endpoint)): EndpointPath,
) -> Result<Json<EndpointChanged>, Error> {
    let spot = control.endpoint(&project, &endpoint)?;
    let operation = control.delete_endpoint(&spot.endpoint).await?;
    let operations = vec![shape::operation(operation)];
    Ok(Json(EndpointChanged { endpoint: control.show_endpoint(spot.endpoint), operations }))
}

impl Control {
    /// Stores a new endpoint and has it made known.
    pub(super) async fn add_endpoint(
        &self,
        place: &Place,
        new: Endpoint,
    ) -> Result<(Endpoint, Operation), Error> {
        let target = Target { endpoint_id: Some(new.id.clone()), ..place.target() };
        let (id, branch) = (new.id.clone(), place.branch.clone());
        let operation = self
            .submit(draft(create_endpoint::KIND, target, serde_json::json!({})), move |db, _| {
                let found = branches::get(db, &branch.id)?.filter(|row| !row.deleting);
                if found.is_none_or(|row| row.storage_id != branch.storage_id) {
                    return Ok(Err(changed_meanwhile(&branch)));
                }
                let all = endpoints::all_of_branch(db, &branch.id)?;
                if new.mode == Mode::ReadWrite && all.iter().any(|e| e.mode == Mode::ReadWrite) {
                    return Ok(Err(has_writer(&branch.name)));
                }
                if all.len() >= MAX_ENDPOINTS {
                    let message = format!(
                        "branch `{}` has {MAX_ENDPOINTS} endpoints, which is its limit: delete one first",
                        branch.name
                    );
                    return Ok(Err(Error::new(Kind::Limit, "too-many-endpoints", message)));
                }
                let mut new = new;
                if let Some(writer) = all.iter().find(|e| e.mode == Mode::ReadWrite) {
                    settings::give_room(&writer.pg_settings, &mut new.pg_settings);
                }
                endpoints::insert(db, &Endpoint { slot: endpoints::free_slot(db)?, ..new })?;
                Ok(Ok(()))
            })
            .await?;
        let row = self.foundation.db.read("read an endpoint", |db| endpoints::get(db, &id))?;
        let row = row.ok_or_else(|| Error::not_found("endpoint", "endpoint-not-found", id.as_str()))?;
        self.still_kept(place, &row).await?;
        Ok((row, operation))
    }

    /// A point is kept from when its row is there. What was collected between the question for the point and the row
    /// shows now, and then the endpoint could never be made.
    async fn still_kept(&self, place: &Place, row: &Endpoint) -> Result<(), Error> {
        let Some(lsn) = row.pinned_lsn else { return Ok(()) };
        let window = self.vault.window(&place.project.id, &place.branch.storage_id).await;
        // A store that does not answer just now has told of the point before.
        let Some(start) = window.ok().map(|window| window.start).filter(|start| lsn < *start) else {
            return Ok(());
        };
        self.delete_endpoint(row).await?;
        let message = format!("position {lsn} is not kept any more: history begins at {start}");
        Err(Error::new(Kind::Invalid, "history-window", message))
    }

    /// Deletes an endpoint; what only its files hold is stored first.
    pub(crate) async fn delete_endpoint(&self, endpoint: &Endpoint) -> Result<Operation, Error> {
        let target = Target {
            project_id: endpoint.project_id.clone(),
            branch_id: Some(endpoint.branch_id.clone()),
            endpoint_id: Some(endpoint.id.clone()),
        };
        let id = endpoint.id.clone();
        self.submit(draft(delete_endpoint::KIND, target, serde_json::json!({})), move |db, _| {
            if endpoints::get(db, &id)?.is_none_or(|row| row.deleting) {
                return Ok(Err(Error::not_found("endpoint", "endpoint-not-found", id.as_str())));
            }
            endpoints::set_deleting(db, &id, true).map(Ok)
        })
        .await
    }
}

/// `POST …/evict`.
pub(super) async fn evict(
    control: State<Control>,
    path: EndpointPath,
) -> Result<Json<EndpointChanged>, Error> {
    act(control, path, evict_compute::KIND).await
}

/// `POST …/set-aside`.
pub(super) async fn set_aside(
    control: State<Control>,
    path: EndpointPath,
) -> Result<Json<EndpointChanged>, Error> {
    act(control, path, set_aside_compute::KIND).await
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
    let spot = control.endpoint(&project, &endpoint)?;
    let operation = control.submit_plain(kind, spot.target()).await?;
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
