//! `GET …/schema` and `GET …/compare_schema`: the definitions of a database, now or at a point of the past.
//!
//! They are read from a running PostgreSQL, so the endpoint is woken. For the past, and for a branch without
//! an endpoint, a read-only endpoint is made for this one question and deleted again; if the server dies in
//! between, it expires.

use axum::Json;
use axum::extract::{Path, State};
use dormouse_api::schema::{CompareQuery, CompareReply, SchemaQuery, SchemaReply};
use dormouse_base::{EndpointId, Kind, Lsn, Timestamp, clock};
use dormouse_compute::spec::Mode;
use jiff::SignedDuration;

use super::branches::usable;
use super::error::Error;
use super::extract::Asked;
use super::find::Place;
use super::point::point;
use crate::control::Control;
use crate::db::branches;
use crate::model::record::Endpoint;
use crate::schema::{self, SchemaError};
use crate::vault::Point;

/// How long an endpoint lives that was made for one question.
const ASKED_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// One side of a comparison.
struct Side {
    place: Place,
    lsn: Option<Lsn>,
    at: Option<Timestamp>,
}

/// `GET …/schema`.
pub(super) async fn get(
    State(control): State<Control>,
    Path((project, branch)): Path<(String, String)>,
    Asked(query): Asked<SchemaQuery>,
) -> Result<Json<SchemaReply>, Error> {
    let place = control.branch(&project, &branch)?;
    let side = Side { place, lsn: query.lsn, at: query.timestamp };
    Ok(Json(SchemaReply { sql: control.definitions(&side, &query.db_name).await? }))
}

/// `GET …/compare_schema`.
pub(super) async fn compare(
    State(control): State<Control>,
    Path((project, branch)): Path<(String, String)>,
    Asked(query): Asked<CompareQuery>,
) -> Result<Json<CompareReply>, Error> {
    let place = control.branch(&project, &branch)?;
    let base = match &query.base_branch_id {
        Some(id) => control.branch(place.project.id.as_str(), id.as_str())?,
        None => control.parent_of(&place)?,
    };
    let base = Side { place: base, lsn: query.base_lsn, at: query.base_timestamp };
    let side = Side { place, lsn: query.lsn, at: query.timestamp };
    let before = control.definitions(&base, &query.db_name).await?;
    let after = control.definitions(&side, &query.db_name).await?;
    let diff = schema::diff((&base.title(), &before), (&side.title(), &after));
    Ok(Json(CompareReply { diff }))
}

impl Side {
    fn title(&self) -> String {
        let name = &self.place.branch.name;
        match (self.lsn, self.at) {
            (Some(lsn), _) => format!("{name} at {lsn}"),
            (None, Some(at)) => format!("{name} at {at}"),
            (None, None) => name.clone(),
        }
    }
}

impl Control {
    fn parent_of(&self, place: &Place) -> Result<Place, Error> {
        let line = place.branch.parent.as_ref().map(|parent| &parent.storage_id);
        let parent = match line {
            Some(line) => self.foundation.db.read("find a branch", |db| branches::by_storage(db, line))?,
            None => None,
        };
        let Some(parent) = parent else {
            let message = format!("branch `{}` has no parent to compare it with", place.branch.name);
            return Err(Error::new(Kind::Invalid, "bad-query", message).hint("name one: `base_branch_id`"));
        };
        self.branch(place.project.id.as_str(), parent.id.as_str())
    }

    async fn definitions(&self, side: &Side, database: &str) -> Result<String, Error> {
        let place = &side.place;
        usable(&place.branch)?;
        let point = point(side.lsn, side.at)?;
        // First, because all the rest is in vain without it.
        let installed = &self.foundation.config.installations;
        let program = schema::program(installed, place.project.pg_version)?;
        if let (Point::Head, Some(writer)) = (point, &place.writer) {
            self.refresh(place).await?;
            self.database(&place.branch, database)?;
            return self.dump(&program, writer, database).await;
        }
        let reader = self.reader_for_a_question(place, point).await?;
        let told = self.dump(&program, &reader, database).await;
        if let Err(error) = self.delete_endpoint(&reader).await {
            tracing::warn!(endpoint = %reader.id, code = %error.code, "an endpoint for one question stays until it expires");
            self.foundation.keeper.signals().expire.notify_one();
        }
        told
    }

    async fn reader_for_a_question(&self, place: &Place, point: Point) -> Result<Endpoint, Error> {
        let pinned_lsn = match point {
            Point::Head => None,
            Point::Lsn(_) | Point::Time(_) => Some(self.resolve(place, point).await?.lsn),
        };
        let (project, now) = (&place.project, clock::now());
        let new =
            Endpoint::new(EndpointId::generate(), &project.id, &place.branch.id, &project.settings, now);
        let new = Endpoint { mode: Mode::ReadOnly, pinned_lsn, expires_at: Some(now + ASKED_WITHIN), ..new };
        let (row, _) = self.add_endpoint(place, new).await?;
        Ok(row)
    }

    async fn dump(
        &self,
        program: &std::path::Path,
        endpoint: &Endpoint,
        database: &str,
    ) -> Result<String, Error> {
        let way = self.computes.way_in(&endpoint.id).await?;
        let identity = self.foundation.config.identities.for_slot(endpoint.slot);
        Ok(schema::dump(program, &way, identity, database).await?)
    }
}

impl From<SchemaError> for Error {
    fn from(error: SchemaError) -> Self {
        let message = error.to_string();
        match error {
            SchemaError::NoProgram { major, .. } => {
                Self::new(Kind::Unavailable, "pg-dump-not-found", message).hint(format!(
                    "install PostgreSQL's client tools on the server, on Debian `postgresql-client-{major}`"
                ))
            }
            SchemaError::Refused(_) => Self::new(Kind::Conflict, "schema-not-read", message),
            SchemaError::Large => Self::new(Kind::Limit, "schema-not-read", message),
            SchemaError::Slow => Self::new(Kind::Unavailable, "schema-not-read", message),
            SchemaError::Program { .. } => {
                tracing::error!(error = &error as &dyn std::error::Error, "pg_dump");
                Self::new(Kind::Internal, "schema-not-read", "pg_dump cannot be run: see the server's log")
            }
        }
    }
}
