//! `POST /projects/{project_id}/branches`.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use dormouse_api as api;
use dormouse_api::branch::{CreateBranch, CreatedBranch, NewBranch, NewBranchEndpoint};
use dormouse_base::{BranchId, EndpointId, Kind, Timestamp, clock};
use dormouse_compute::spec::Mode;
use rusqlite::Transaction;

use super::audit::Made;
use super::branches::usable;
use super::error::Error;
use super::extract::Body;
use super::find::Place;
use super::point::point;
use super::shape;
use super::submit::Decided;
use crate::control::Control;
use crate::db::{branches, databases, endpoints, roles, snapshots};
use crate::descent::{self, Trust};
use crate::model::branch::{self as rules, MAX_BRANCHES, MAX_ENDPOINTS};
use crate::model::record::{Branch, Endpoint, Origin, Pending, Target};
use crate::model::settings::give_room;
use crate::operation::{create_branch, draft};
use crate::secrets::Secrets;
use crate::vault::{Fork, Point};

/// What `init_source` may be.
const PARENT_DATA: &str = "parent-data";
/// What Neon knows besides, and we do not.
const SCHEMA_ONLY: &str = "schema-only";

/// See the module.
pub(super) async fn create(
    State(control): State<Control>,
    Path(project): Path<String>,
    Body(request): Body<CreateBranch>,
) -> Result<(StatusCode, Extension<Made>, Json<CreatedBranch>), Error> {
    let wish = request.branch;
    check_source(wish.init_source.as_deref())?;
    let parent = control.parent(&project, wish.parent_id.as_ref())?;
    usable(&parent.branch)?;
    let now = clock::now();
    let new = row(&wish, &parent, now)?;
    let endpoints = new_endpoints(&request.endpoints, &parent, &new, now)?;
    let point = point(wish.parent_lsn, wish.parent_timestamp)?;
    let id = new.id.clone();
    let birth = Birth { row: new, endpoints, snapshot: None, preview: None };
    let operation = control.give_birth(&parent, birth, point).await?;
    let place = control.branch(parent.project.id.as_str(), id.as_str())?;
    let made = Made::new(&place.project.id, &id);
    Ok((StatusCode::CREATED, made, Json(control.created(&place, operation)?)))
}

/// A branch that is to be made.
pub(super) struct Birth {
    /// Its row, without a parent.
    pub(super) row: Branch,
    /// Its endpoints.
    pub(super) endpoints: Vec<Endpoint>,
    /// It is a snapshot: of which branch, and its name.
    pub(super) snapshot: Option<(BranchId, String)>,
    /// It is a restored snapshot, to be put in the place of this branch.
    pub(super) preview: Option<BranchId>,
}

fn check_source(source: Option<&str>) -> Result<(), Error> {
    match source {
        None | Some(PARENT_DATA) => Ok(()),
        Some(SCHEMA_ONLY) => Err(Error {
            status: StatusCode::NOT_IMPLEMENTED.as_u16(),
            code: "schema-only-not-supported".into(),
            message:
                "a branch cannot be made of definitions alone: branch with the data, which takes no space"
                    .to_owned(),
            hint: Some("then delete what must not be there, for example with TRUNCATE".to_owned()),
        }),
        Some(other) => {
            let message = format!("`init_source` is `{other}`: only `{PARENT_DATA}` is known");
            Err(Error::new(Kind::Invalid, "bad-body", message))
        }
    }
}

pub(super) fn row(wish: &NewBranch, parent: &Place, now: Timestamp) -> Result<Branch, Error> {
    let id = BranchId::generate();
    // Two words and a tail, as with projects.
    let name = wish.name.clone().unwrap_or_else(|| id.as_str().trim_start_matches("br-").to_owned());
    crate::model::name::branch(&name)?;
    let mut new = Branch::new(id, &parent.project.id, name, parent.branch.owner.clone(), now);
    if let Some(at) = wish.expires_at {
        new.ttl_seconds = Some(rules::expiry(&new, false, at, now)?);
        new.expires_at = Some(at);
    }
    new.protected = wish.protected.unwrap_or(false);
    if new.protected {
        rules::may_stay(&new)?;
    }
    Ok(new)
}

fn new_endpoints(
    wishes: &[NewBranchEndpoint],
    parent: &Place,
    branch: &Branch,
    now: Timestamp,
) -> Result<Vec<Endpoint>, Error> {
    if wishes.len() > MAX_ENDPOINTS {
        let message = format!("a branch has at most {MAX_ENDPOINTS} endpoints");
        return Err(Error::new(Kind::Limit, "too-many-endpoints", message));
    }
    let writers = wishes.iter().filter(|wish| wish.kind == api::endpoint::EndpointType::ReadWrite).count();
    if writers > 1 {
        return Err(super::endpoints::has_writer(&branch.name));
    }
    let settings = &parent.project.settings;
    wishes
        .iter()
        .map(|wish| {
            let new = Endpoint::new(EndpointId::generate(), &branch.project_id, &branch.id, settings, now);
            super::endpoints::wished(Endpoint { mode: shape::mode(wish.kind), ..new }, wish.limits.clone())
        })
        .collect()
}

/// All rows of a new branch.
struct Rows {
    parent: Branch,
    new: Birth,
    fork: Fork,
    trust: Trust,
    now: Timestamp,
}

impl Rows {
    fn store(self, db: &Transaction<'_>, secrets: &Secrets) -> Decided<()> {
        let Birth { row: new, endpoints: mine, snapshot, preview } = self.new;
        let mut new = new;
        let all = branches::of_project(db, &new.project_id)?;
        let parent = all.iter().find(|row| row.id == self.parent.id && !row.deleting);
        if parent.is_none_or(|row| row.storage_id != self.parent.storage_id) {
            return Ok(Err(changed_meanwhile(&self.parent)));
        }
        if let Err(refused) = rules::new_name(&new.name, &all) {
            return Ok(Err(refused.into()));
        }
        if all.len() >= MAX_BRANCHES {
            return Ok(Err(too_many()));
        }
        let storage_id = self.parent.storage_id.clone();
        new.parent = Some(Origin { storage_id, lsn: self.fork.lsn, at: self.fork.at });
        branches::insert(db, &new)?;
        if let Some((source, name)) = snapshot {
            snapshots::insert(db, &new.id, &source, &name)?;
        }
        if let Some(target) = preview {
            snapshots::preview(db, &new.id, &target)?;
        }
        let writer = endpoints::of_branch(db, &self.parent.id)?;
        for mut endpoint in mine {
            if let Some(writer) = &writer {
                give_room(&writer.pg_settings, &mut endpoint.pg_settings);
            }
            endpoints::insert(db, &Endpoint { slot: endpoints::free_slot(db)?, ..endpoint })?;
        }
        descent::inherit(db, secrets, (&self.parent.id, &new.id), self.trust, self.now)?;
        Ok(Ok(()))
    }
}

/// Another operation came first.
pub(super) fn changed_meanwhile(branch: &Branch) -> Error {
    let message =
        format!("branch `{}` was restored or deleted meanwhile: look at it and try again", branch.name);
    Error::new(Kind::Conflict, "branch-changed", message)
}

/// One more would be too many.
pub(super) fn too_many() -> Error {
    let message = format!("this project has {MAX_BRANCHES} branches, which is its limit: delete one first");
    Error::new(Kind::Limit, "too-many-branches", message)
}

impl Control {
    /// Makes a branch of `parent` at a point.
    pub(super) async fn give_birth(
        &self,
        parent: &Place,
        birth: Birth,
        point: Point,
    ) -> Result<crate::model::record::Operation, Error> {
        let (fork, trust) = self.fork(parent, point).await?;
        let endpoints = &birth.endpoints;
        let writer = endpoints.iter().find(|e| e.mode == Mode::ReadWrite).or_else(|| endpoints.first());
        let target = Target {
            project_id: parent.project.id.clone(),
            branch_id: Some(birth.row.id.clone()),
            endpoint_id: writer.map(|endpoint| endpoint.id.clone()),
        };
        let secrets = std::sync::Arc::clone(&self.foundation.secrets);
        let rows = Rows { parent: parent.branch.clone(), new: birth, fork, trust, now: clock::now() };
        let operation = self
            .submit(draft(create_branch::KIND, target, serde_json::json!({})), move |db, _| {
                rows.store(db, &secrets)
            })
            .await?;
        self.foundation.keeper.signals().expire.notify_one();
        Ok(operation)
    }

    /// The named parent, or the default branch.
    fn parent(&self, project: &str, named: Option<&BranchId>) -> Result<Place, Error> {
        if let Some(id) = named {
            return self.branch(project, id.as_str());
        }
        let row = self.project(project)?;
        let default = self.foundation.db.read("find a branch", |db| branches::default_of(db, &row.id))?;
        let default = default.ok_or_else(|| Error::not_found("branch", "branch-not-found", "default"))?;
        self.branch(row.id.as_str(), default.id.as_str())
    }

    fn created(
        &self,
        place: &Place,
        operation: crate::model::record::Operation,
    ) -> Result<CreatedBranch, Error> {
        let id = &place.branch.id;
        let (endpoints, mut roles, mut databases) = self.foundation.db.read("read a new branch", |db| {
            Ok((endpoints::all_of_branch(db, id)?, roles::all(db, id)?, databases::all(db, id)?))
        })?;
        roles.retain(|role| role.pending != Some(Pending::Drop));
        databases.retain(|database| database.pending != Some(Pending::Drop));
        let owner = roles.iter().find(|role| role.name == place.branch.owner);
        let password = owner.and_then(|role| super::roles::password_of(self, role).ok());
        let connection = match (&place.writer, databases.first(), password) {
            (Some(writer), Some(database), Some(password)) => {
                Some(self.connection(&writer.id, &place.branch.owner, password, &database.name))
            }
            _ => None,
        };
        Ok(CreatedBranch {
            branch: self.show_branch(place.branch.clone())?,
            endpoints: endpoints.into_iter().map(|row| self.show_endpoint(row)).collect(),
            operations: vec![shape::operation(operation)],
            roles: roles.into_iter().map(|row| shape::role(row, None)).collect(),
            databases: databases.into_iter().map(shape::database).collect(),
            connection_uris: connection.into_iter().collect(),
        })
    }
}
