//! Who changed what: writing it down around every request that changes something, and showing it.

use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::{Extension, Json};
use dormouse_api::audit::{Audit, AuditEntry};
use dormouse_api::idempotency::REPLAYED;
use dormouse_api::routes::{self, Route};
use dormouse_api::{Page, PageQuery};
use dormouse_base::{Kind, ProjectId, clock};

use super::auth::Peer;
use super::envelope::RequestId;
use super::error::Error;
use super::extract::{Asked, Window};
use crate::control::Control;
use crate::db::audit;
use crate::identity::Caller;

/// The longest path that is kept, characters.
const MAX_PATH: usize = 300;

/// What a request made, for the record: its handler puts it into the reply's extensions.
#[derive(Debug, Clone)]
pub(super) struct Made {
    /// Its project.
    pub(super) project: Option<ProjectId>,
    /// Its ID or name.
    pub(super) name: String,
}

impl Made {
    /// For a handler's reply.
    pub(super) fn new(project: &ProjectId, name: &impl ToString) -> Extension<Self> {
        Extension(Self { project: Some(project.clone()), name: name.to_string() })
    }
}

/// An entry that is written when the request is over, also when the client goes away before.
pub(super) struct Record {
    control: Control,
    entry: Option<AuditEntry>,
}

impl Record {
    /// Before the request is worked on.
    pub(super) fn begin(
        control: &Control,
        caller: &Caller,
        route: &Route,
        request: &Request,
        project: Option<&ProjectId>,
    ) -> Self {
        let path = request.uri().path();
        let entry = AuditEntry {
            id: 0,
            at: clock::now(),
            actor: caller.actor.clone(),
            action: route.id.to_owned(),
            path: path.strip_prefix(routes::BASE).unwrap_or(path).chars().take(MAX_PATH).collect(),
            project_id: project.cloned(),
            from: request.extensions().get::<Peer>().map(|peer| peer.address().to_string()),
            status: None,
            error: None,
            request_id: request.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default(),
        };
        Self { control: control.clone(), entry: Some(entry) }
    }

    /// With how it ended. Durable before the client hears of it.
    pub(super) fn end(mut self, response: &Response) -> impl Future<Output = ()> + Send + use<> {
        let mut ended = self.entry.take();
        if let Some(entry) = &mut ended {
            Self::close(entry, response);
        }
        let control = self.control.clone();
        async move {
            if let Some(entry) = ended {
                write(&control, entry).await;
            }
        }
    }

    fn close(entry: &mut AuditEntry, response: &Response) {
        (entry.at, entry.status) = (clock::now(), Some(response.status().as_u16()));
        entry.error = response.extensions().get::<Error>().map(|error| error.code.to_string());
        if response.headers().contains_key(REPLAYED) {
            // Nothing was changed by this one, but somebody may have been shown a password.
            entry.error = Some("replayed".to_owned());
        }
        if let Some(made) = response.extensions().get::<Made>() {
            entry.path = format!("{}/{}", entry.path, made.name);
            entry.project_id = entry.project_id.take().or_else(|| made.project.clone());
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let Some(entry) = self.entry.take() else { return };
        let control = self.control.clone();
        self.control.scope.spawn("audit", async move { write(&control, entry).await });
    }
}

pub(super) async fn write(control: &Control, entry: AuditEntry) {
    let (action, request) = (entry.action.clone(), entry.request_id.clone());
    let written = control.foundation.db.write("record a change", move |db| audit::insert(db, &entry)).await;
    if let Err(error) = written {
        // The change is made; refusing it now would be a lie.
        let error = &error as &dyn std::error::Error;
        tracing::error!(error, action, request_id = request, "cannot record who changed something");
    }
}

/// `GET /audit`.
pub(super) async fn list(
    State(control): State<Control>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Audit>, Error> {
    page(&control, None, query)
}

/// `GET /projects/{project_id}/audit`.
pub(super) async fn of_project(
    State(control): State<Control>,
    Path(project): Path<String>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Audit>, Error> {
    let project = control.project(&project)?.id;
    page(&control, Some(&project), query)
}

fn page(control: &Control, project: Option<&ProjectId>, query: PageQuery) -> Result<Json<Audit>, Error> {
    let window = Window::of(query)?;
    let before = window.after.as_deref().map(str::parse::<i64>).transpose();
    let before =
        before.map_err(|_| Error::new(Kind::Invalid, "bad-query", "`cursor` is not one of this list"))?;
    let mut entries = control
        .foundation
        .db
        .read("list the audit", |db| audit::list(db, project, before, window.limit + 1))?;
    let pagination = window.cut(&mut entries, |entry| entry.id.to_string()).map(Page::at_cursor);
    Ok(Json(Audit { entries, pagination }))
}
