//! Branches. Making and removing them comes with storage; until then those routes do not exist.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use dormouse_api::branch::{BranchChanged, BranchReply, UpdateBranch};
use dormouse_api::{Branches, Page, PageQuery};
use dormouse_base::clock;

use super::error::Error;
use super::extract::{Asked, Body, Window};
use super::shape;
use crate::control::Control;
use crate::db::branches;
use crate::model::name;

/// `GET /projects/{project_id}/branches`.
pub(super) async fn list(
    State(control): State<Control>,
    Path(project): Path<String>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Branches>, Error> {
    let window = Window::of(query)?;
    let project = control.project(&project)?;
    let mut rows = control.foundation.db.read("list branches", |db| {
        branches::list(db, &project.id, window.after.as_deref(), window.search.as_deref(), window.limit + 1)
    })?;
    let pagination = window.cut(&mut rows, |row| row.id.to_string()).map(Page::at_next);
    let branches = rows.into_iter().map(shape::branch).collect();
    Ok(Json(Branches { branches, annotations: BTreeMap::new(), pagination }))
}

/// `GET /projects/{project_id}/branches/{branch_id}`.
pub(super) async fn get(
    State(control): State<Control>,
    Path((project, branch)): Path<(String, String)>,
) -> Result<Json<BranchReply>, Error> {
    Ok(Json(BranchReply { branch: shape::branch(control.branch(&project, &branch)?.branch) }))
}

/// `PATCH /projects/{project_id}/branches/{branch_id}`.
pub(super) async fn update(
    State(control): State<Control>,
    Path((project, branch)): Path<(String, String)>,
    Body(request): Body<UpdateBranch>,
) -> Result<Json<BranchChanged>, Error> {
    let place = control.branch(&project, &branch)?;
    if let Some(name) = request.branch.name.filter(|name| *name != place.branch.name) {
        name::branch(&name)?;
        let (id, new) = (place.branch.id.clone(), name.clone());
        let renamed = control
            .foundation
            .db
            .write("rename a branch", move |db| branches::rename(db, &id, &new, clock::now()));
        renamed.await.map_err(|error| {
            if error.is_conflict() { Error::taken("branch", "branch-exists", &name) } else { error.into() }
        })?;
    }
    let place = control.branch(place.project.id.as_str(), place.branch.id.as_str())?;
    Ok(Json(BranchChanged { branch: shape::branch(place.branch), operations: Vec::new() }))
}
