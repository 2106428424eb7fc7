//! `POST /projects/{project_id}/branches/{branch_id}/restore`: another branch's data, or an earlier state of
//! its own. A *reset* is this with the parent as the source, at its head.

use axum::Json;
use axum::extract::{Path, State};
use dormouse_api::branch::{BranchChanged, RestoreBranch};
use dormouse_base::{BranchId, Kind, clock};
use rusqlite::Transaction;

use super::branch_create::{changed_meanwhile, too_many};
use super::branches::usable;
use super::error::Error;
use super::extract::Body;
use super::find::Place;
use super::point::point;
use super::shape;
use super::submit::Decided;
use crate::control::Control;
use crate::db::{branches, endpoints};
use crate::model::branch::{self as rules, MAX_BRANCHES};
use crate::model::record::{Branch, Target};
use crate::operation::restore_branch::{self, Args};
use crate::operation::{as_json, draft};
use crate::vault::Point;

/// See the module.
pub(super) async fn restore(
    State(control): State<Control>,
    Path((project, branch)): Path<(String, String)>,
    Body(request): Body<RestoreBranch>,
) -> Result<Json<BranchChanged>, Error> {
    let place = control.branch(&project, &branch)?;
    let source = control.branch(place.project.id.as_str(), request.source_branch_id.as_str())?;
    usable(&place.branch)?;
    usable(&source.branch)?;
    let point = point(request.source_lsn, request.source_timestamp)?;
    check(&place, &source, point)?;

    // What clients changed in SQL, before it becomes the old branch's.
    control.refresh(&place).await?;
    let exact = control.is_known(&place)?;
    let (fork, _) = control.fork(&source, point).await?;
    let args = Args {
        source: source.branch.id.clone(),
        from: source.branch.storage_id.clone(),
        fork,
        line: BranchId::generate(),
        old: BranchId::generate(),
        old_name: String::new(),
        exact,
    };
    let target = Target {
        project_id: place.project.id.clone(),
        branch_id: Some(place.branch.id.clone()),
        endpoint_id: place.writer.as_ref().map(|endpoint| endpoint.id.clone()),
    };
    let (before, from) = (place.branch.clone(), source.branch);
    let preserve = request.preserve_under_name;
    let operation = control
        .submit(draft(restore_branch::KIND, target, serde_json::json!({})), move |db, operation| {
            let old_name = match decide(db, &before, &from, preserve)? {
                Ok(name) => name,
                Err(refused) => return Ok(Err(refused)),
            };
            operation.args = as_json(&Args { old_name, ..args });
            Ok(Ok(()))
        })
        .await?;
    let signals = control.foundation.keeper.signals();
    signals.expire.notify_one();
    let id = place.branch.id;
    control.branch_changed(place.project.id.as_str(), id.as_str(), vec![shape::operation(operation)])
}

fn check(place: &Place, source: &Place, point: Point) -> Result<(), Error> {
    let is_self = place.branch.id == source.branch.id;
    if is_self && point == Point::Head {
        let message =
            format!("branch `{}` is already what it is now: name a point of its past", place.branch.name);
        return Err(Error::new(Kind::Invalid, "bad-point", message));
    }
    let is_parent =
        place.branch.parent.as_ref().is_some_and(|parent| parent.storage_id == source.branch.storage_id);
    Ok(rules::restore(&place.branch, is_parent && point == Point::Head)?)
}

/// Looks again, now that nothing else is under way, and chooses the name for what was.
fn decide(db: &Transaction<'_>, before: &Branch, from: &Branch, preserve: Option<String>) -> Decided<String> {
    let all = branches::of_project(db, &before.project_id)?;
    for expected in [before, from] {
        let found = all.iter().find(|row| row.id == expected.id && !row.deleting);
        if found.is_none_or(|row| row.storage_id != expected.storage_id) {
            return Ok(Err(changed_meanwhile(expected)));
        }
    }
    if all.len() >= MAX_BRANCHES {
        return Ok(Err(too_many()));
    }
    if endpoints::all_of_branch(db, &before.id)?.iter().any(|e| e.pinned_lsn.is_some() && !e.deleting) {
        let message = format!(
            "branch `{}` has endpoints that are pinned to its past, which would be another past: delete them first",
            before.name
        );
        return Ok(Err(Error::new(Kind::Conflict, "branch-has-pinned-endpoints", message)));
    }
    match preserve {
        None => Ok(Ok(rules::old_name(&before.name, &all, clock::now()))),
        Some(name) => Ok(rules::new_name(&name, &all).map(|()| name).map_err(Error::from)),
    }
}
