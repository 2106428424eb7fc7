//! Branches: to be looked at, changed, removed. Making one is in [`super::branch_create`], giving it other
//! data in [`super::branch_restore`], its definitions in [`super::schema`].

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use dormouse_api::branch::{
    BranchChanged, BranchHistory, BranchReply, BranchSizes, BranchStored, BranchesCount, CountQuery,
    DeleteBranchQuery, UpdateBranch,
};
use dormouse_api::{Branches, Page, PageQuery};
use dormouse_base::{Timestamp, clock};
use rusqlite::Transaction;

use super::error::Error;
use super::extract::{Asked, Body, Window};
use super::find::Place;
use super::shape;
use super::submit::Decided;
use super::used;
use crate::control::Control;
use crate::db::{branches, usage};
use crate::model::record::{Branch, Operation, Target};
use crate::model::{branch as rules, name};
use crate::operation::{as_json, delete_branch, draft};

/// How long a look at a branch waits for its sizes and its window.
const SIZES_WITHIN: Duration = Duration::from_secs(5);

type BranchPath = Path<(String, String)>;

/// `GET /projects/{project_id}/branches`.
pub(super) async fn list(
    State(control): State<Control>,
    Path(project): Path<String>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Branches>, Error> {
    let window = Window::of(query)?;
    let project = control.project(&project)?;
    let (mut rows, lines) = control.foundation.db.read("list branches", |db| {
        let (after, search) = (window.after.as_deref(), window.search.as_deref());
        let rows = branches::list(db, &project.id, after, search, window.limit + 1)?;
        Ok((rows, branches::lines(db, &project.id)?))
    })?;
    let pagination = window.cut(&mut rows, |row| row.id.to_string()).map(Page::at_next);
    let parent = |row: &Branch| row.parent.as_ref().and_then(|parent| lines.get(&parent.storage_id).cloned());
    let branches = rows.into_iter().map(|row| (parent(&row), row));
    let wanted = project.id.clone();
    let read = move |db: &rusqlite::Connection| usage::of_branches(db, used::this_month(), &wanted);
    let months = control.foundation.db.survey("add up what was used", read).await?;
    let held = control.foundation.stored.lock();
    let show = |(parent, row): (_, Branch)| {
        let logical_size = held.logical(&row.id);
        let used = months.get(&row.id).map(used::told).unwrap_or_default();
        let mut branch = shape::branch(row, parent, used);
        branch.sizes.logical_size = logical_size;
        branch
    };
    let branches = branches.map(show).collect();
    drop(held);
    Ok(Json(Branches { branches, annotations: BTreeMap::new(), pagination }))
}

/// `GET /projects/{project_id}/branches/count`.
pub(super) async fn count(
    State(control): State<Control>,
    Path(project): Path<String>,
    Asked(query): Asked<CountQuery>,
) -> Result<Json<BranchesCount>, Error> {
    let project = control.project(&project)?;
    let search = query.search.filter(|text| !text.is_empty());
    let count = control
        .foundation
        .db
        .read("count branches", |db| branches::count(db, &project.id, search.as_deref()))?;
    Ok(Json(BranchesCount { count }))
}

/// `GET /projects/{project_id}/branches/{branch_id}`, with what it takes and how far back it goes. A store
/// that cannot tell is no reason to fail: then those fields are missing.
pub(super) async fn get(
    State(control): State<Control>,
    Path((project, branch)): BranchPath,
) -> Result<Json<BranchReply>, Error> {
    let place = control.branch(&project, &branch)?;
    let (id, line) = (&place.project.id, &place.branch.storage_id);
    let asked = async { tokio::join!(control.vault.sizes(id, line), control.vault.window(id, line)) };
    let told = tokio::time::timeout(SIZES_WITHIN, asked).await;
    let mut branch = control.show_branch(place.branch.clone())?;
    if let Ok((sizes, window)) = told {
        branch.sizes = sizes.map_or_else(|_| BranchSizes::default(), shape::sizes);
        branch.history =
            window.ok().map(|w| BranchHistory { start: w.start, start_at: w.start_at, stored: w.stored });
    }
    Ok(Json(BranchReply { branch }))
}

/// `PATCH /projects/{project_id}/branches/{branch_id}`.
pub(super) async fn update(
    State(control): State<Control>,
    Path((project, branch)): BranchPath,
    Body(request): Body<UpdateBranch>,
) -> Result<Json<BranchChanged>, Error> {
    let place = control.branch(&project, &branch)?;
    let (id, wanted, now) = (place.branch.id.clone(), request.branch, clock::now());
    let changed = control.foundation.db.write("change a branch", move |db| {
        let all = branches::of_project(db, &place.project.id)?;
        let Some(row) = all.iter().find(|row| row.id == place.branch.id && !row.deleting) else {
            return Ok(Err(Error::not_found("branch", "branch-not-found", &place.branch.name)));
        };
        match patched(row, &all, wanted, now) {
            Ok(after) => branches::put(db, &after).map(Ok),
            Err(refused) => Ok(Err(refused)),
        }
    });
    changed.await??;
    let signals = control.foundation.keeper.signals();
    signals.mirror.notify_one();
    signals.expire.notify_one();
    control.branch_changed(&project, id.as_str(), Vec::new())
}

fn patched(
    row: &Branch,
    all: &[Branch],
    wanted: dormouse_api::branch::BranchPatch,
    now: Timestamp,
) -> Result<Branch, Error> {
    let mut after = Branch { updated_at: now, ..row.clone() };
    if let Some(wanted) = wanted.name.filter(|wanted| *wanted != row.name) {
        name::branch(&wanted)?;
        rules::new_name(&wanted, all)?;
        after.name = wanted;
    }
    // In this order, so that one request may take the protection away and set a time.
    after.protected = wanted.protected.unwrap_or(after.protected);
    match wanted.expires_at {
        None => {}
        Some(None) => (after.expires_at, after.ttl_seconds) = (None, None),
        Some(Some(at)) => {
            let has_children = rules::children(row, all).next().is_some();
            after.ttl_seconds = Some(rules::expiry(&after, has_children, at, now)?);
            after.expires_at = Some(at);
        }
    }
    if after.protected {
        rules::may_stay(&after)?;
    }
    Ok(after)
}

/// `DELETE /projects/{project_id}/branches/{branch_id}`.
pub(super) async fn delete(
    State(control): State<Control>,
    Path((project, branch)): BranchPath,
    Asked(query): Asked<DeleteBranchQuery>,
) -> Result<Json<BranchChanged>, Error> {
    let place = control.branch(&project, &branch)?;
    let reply = control.show_branch(place.branch.clone())?;
    let operation = control.delete_branch(&place.branch, query.recursive.unwrap_or(false)).await?;
    Ok(Json(BranchChanged { branch: reply, operations: vec![shape::operation(operation)] }))
}

/// `POST …/set_as_default`.
pub(super) async fn set_default(
    State(control): State<Control>,
    Path((project, branch)): BranchPath,
) -> Result<Json<BranchChanged>, Error> {
    let place = control.branch(&project, &branch)?;
    let id = place.branch.id.clone();
    let changed = control.foundation.db.write("change the default branch", move |db| {
        let Some(row) = branches::get(db, &place.branch.id)?.filter(|row| !row.deleting) else {
            return Ok(Err(Error::not_found("branch", "branch-not-found", &place.branch.name)));
        };
        if let Err(refused) = usable(&row).and_then(|()| Ok(rules::may_stay(&row)?)) {
            return Ok(Err(refused));
        }
        branches::set_default(db, &row.project_id, &row.id, clock::now()).map(Ok)
    });
    changed.await??;
    control.foundation.keeper.signals().mirror.notify_one();
    control.branch_changed(&project, id.as_str(), Vec::new())
}

/// `POST …/store`.
pub(super) async fn store(
    State(control): State<Control>,
    Path((project, branch)): BranchPath,
) -> Result<Json<BranchStored>, Error> {
    let place = control.branch(&project, &branch)?;
    usable(&place.branch)?;
    let lsn = control.vault.snapshot(&place.writer()?.id).await?;
    Ok(Json(BranchStored { lsn }))
}

/// A branch that something may be made from, or done with.
pub(super) fn usable(branch: &Branch) -> Result<(), Error> {
    if branch.ready && !branch.resetting {
        return Ok(());
    }
    let message = format!("branch `{}` is being made or restored: try again in a moment", branch.name);
    Err(Error::new(dormouse_base::Kind::Locked, "branch-not-ready", message))
}

impl Control {
    /// The reply to a change.
    pub(super) fn branch_changed(
        &self,
        project: &str,
        branch: &str,
        operations: Vec<dormouse_api::Operation>,
    ) -> Result<Json<BranchChanged>, Error> {
        let Place { branch, .. } = self.branch(project, branch)?;
        Ok(Json(BranchChanged { branch: self.show_branch(branch)?, operations }))
    }

    /// Deletes a branch, with those below it when `recursive`.
    pub(crate) async fn delete_branch(&self, branch: &Branch, recursive: bool) -> Result<Operation, Error> {
        let target = Target {
            project_id: branch.project_id.clone(),
            branch_id: Some(branch.id.clone()),
            endpoint_id: None,
        };
        let id = branch.id.clone();
        let operation = draft(delete_branch::KIND, target, serde_json::json!({}));
        self.submit(operation, move |db, operation| {
            let order = match condemn(db, &operation.target.project_id, &id, recursive)? {
                Ok(order) => order,
                Err(refused) => return Ok(Err(refused)),
            };
            let branches = order.into_iter().map(|branch| branch.id).collect();
            operation.args = as_json(&delete_branch::Args { branches });
            Ok(Ok(()))
        })
        .await
    }
}

fn condemn(
    db: &Transaction<'_>,
    project: &dormouse_base::ProjectId,
    id: &dormouse_base::BranchId,
    recursive: bool,
) -> Decided<Vec<Branch>> {
    let mut all = branches::of_project(db, project)?;
    all.retain(|branch| !branch.deleting);
    let Some(target) = all.iter().find(|branch| branch.id == *id) else {
        return Ok(Err(Error::not_found("branch", "branch-not-found", id.as_str())));
    };
    let order = match rules::deletion(target, &all, recursive) {
        Ok(order) => order,
        Err(refused) => return Ok(Err(refused.into())),
    };
    let now = clock::now();
    order.iter().try_for_each(|branch| branches::mark_deleting(db, &branch.id, now))?;
    Ok(Ok(order))
}
