//! Operations, to be looked at.

use axum::Json;
use axum::extract::{Path, State};
use dormouse_api::operation::OperationReply;
use dormouse_api::{Operations, Page, PageQuery};
use dormouse_base::OperationId;

use super::error::Error;
use super::extract::{Asked, Window};
use super::shape;
use crate::control::Control;
use crate::db::operations;

/// `GET /projects/{project_id}/operations`, newest first.
pub(super) async fn list(
    State(control): State<Control>,
    Path(project): Path<String>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Operations>, Error> {
    let window = Window::of(query)?;
    let project = control.project(&project)?;
    let mut rows = control.foundation.db.read("list operations", |db| {
        operations::list(db, &project.id, window.after.as_deref(), window.limit + 1)
    })?;
    let pagination = window.cut(&mut rows, |row| row.id.to_string()).map(Page::at_cursor);
    Ok(Json(Operations { operations: rows.into_iter().map(shape::operation).collect(), pagination }))
}

/// `GET /projects/{project_id}/operations/{operation_id}`. Also for a project that is being deleted,
/// so that a client can wait for that.
pub(super) async fn get(
    State(control): State<Control>,
    Path((project, operation)): Path<(String, String)>,
) -> Result<Json<OperationReply>, Error> {
    let missing = || Error::not_found("operation", "operation-not-found", &operation);
    let id: OperationId = operation.parse().map_err(|_| missing())?;
    let row = control
        .foundation
        .db
        .read("read an operation", |db| operations::get(db, &id))?
        .ok_or_else(missing)?;
    let named = row.target.project_id.as_str() == project
        || control.project(&project).is_ok_and(|p| p.id == row.target.project_id);
    if named { Ok(Json(OperationReply { operation: shape::operation(row) })) } else { Err(missing()) }
}
