//! Databases. A change is a pending row plus an operation that makes PostgreSQL follow.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use dormouse_api::Databases;
use dormouse_api::database::{CreateDatabase, DatabaseChanged, DatabaseReply, UpdateDatabase};
use dormouse_base::{Kind, clock};
use rusqlite::Connection;

use super::error::Error;
use super::extract::Body;
use super::submit::Decided;
use super::{find, shape};
use crate::control::Control;
use crate::db::{databases, roles};
use crate::model::record::{Database, Pending};
use crate::model::{locale, name};
use crate::operation::apply_config::Change;

/// The most databases of one branch.
pub const MAX_DATABASES: usize = 500;

type DatabasePath = Path<(String, String, String)>;

/// `GET …/databases`.
pub(super) async fn list(
    State(control): State<Control>,
    Path((project, branch)): Path<(String, String)>,
) -> Result<Json<Databases>, Error> {
    let place = control.branch(&project, &branch)?;
    control.refresh(&place).await?;
    let mut rows = control.foundation.db.read("list databases", |db| databases::all(db, &place.branch.id))?;
    rows.retain(|database| database.pending != Some(Pending::Drop));
    Ok(Json(Databases { databases: rows.into_iter().map(shape::database).collect() }))
}

/// `GET …/databases/{database_name}`.
pub(super) async fn get(
    State(control): State<Control>,
    Path((project, branch, database)): DatabasePath,
) -> Result<Json<DatabaseReply>, Error> {
    let place = control.branch(&project, &branch)?;
    control.refresh(&place).await?;
    Ok(Json(DatabaseReply { database: shape::database(control.database(&place.branch, &database)?) }))
}

/// `POST …/databases`.
pub(super) async fn create(
    State(control): State<Control>,
    Path((project, branch)): Path<(String, String)>,
    Body(request): Body<CreateDatabase>,
) -> Result<(StatusCode, Json<DatabaseChanged>), Error> {
    let place = control.branch(&project, &branch)?;
    let wanted = request.database;
    name::database(&wanted.name)?;
    if let Some(locale) = &wanted.locale {
        locale::check(locale, place.project.pg_version)?;
    }
    let now = clock::now();
    let new = Database {
        id: 0,
        branch_id: place.branch.id.clone(),
        name: wanted.name.clone(),
        owner: wanted.owner_name,
        pending: Some(Pending::Create),
        rename_from: None,
        locale: wanted.locale.map(Box::new),
        created_at: now,
        updated_at: now,
    };
    let operation = control
        .change(&place, move |db| {
            if let Err(error) = name_is_free(db, &new)?.and(owner_exists(db, &new)?) {
                return Ok(Err(error));
            }
            let id = databases::insert(db, &new)?;
            Ok(Ok(Change { database: Some(id), ..Change::default() }))
        })
        .await?;
    let row = control.database(&place.branch, &wanted.name)?;
    let reply =
        DatabaseChanged { database: shape::database(row), operations: vec![shape::operation(operation)] };
    Ok((StatusCode::CREATED, Json(reply)))
}

/// A name is also taken by a database that PostgreSQL still knows under it.
fn name_is_free(db: &Connection, new: &Database) -> Decided<()> {
    let all = databases::all(db, &new.branch_id)?;
    let others = || all.iter().filter(|d| d.id != new.id);
    if others().any(|d| d.name == new.name || d.rename_from.as_ref() == Some(&new.name)) {
        return Ok(Err(Error::taken("database", "database-exists", &new.name)));
    }
    if others().count() >= MAX_DATABASES {
        let message = format!("a branch has at most {MAX_DATABASES} databases");
        return Ok(Err(Error::new(Kind::Limit, "too-many-databases", message)));
    }
    Ok(Ok(()))
}

fn owner_exists(db: &Connection, new: &Database) -> Decided<()> {
    Ok(find::role(roles::get(db, &new.branch_id, &new.owner)?, &new.owner).map(drop))
}

/// `PATCH …/databases/{database_name}`.
pub(super) async fn update(
    State(control): State<Control>,
    Path((project, branch, database)): DatabasePath,
    Body(request): Body<UpdateDatabase>,
) -> Result<Json<DatabaseChanged>, Error> {
    let place = control.branch(&project, &branch)?;
    let wanted = request.database;
    if let Some(name) = &wanted.name {
        name::database(name)?;
    }
    let now_named = wanted.name.clone().unwrap_or_else(|| database.clone());
    let branch_id = place.branch.id.clone();
    let operation = control
        .change(&place, move |db| {
            let before = match find::database(databases::get(db, &branch_id, &database)?, &database) {
                Ok(row) => row,
                Err(error) => return Ok(Err(error)),
            };
            let mut after = before.clone();
            after.owner = wanted.owner_name.unwrap_or(after.owner);
            if let Some(name) = wanted.name.filter(|name| *name != before.name) {
                after.name = name;
                // One that PostgreSQL has not seen yet is simply made under the new name.
                let unseen = before.pending == Some(Pending::Create) && before.rename_from.is_none();
                after.rename_from = if unseen {
                    None
                } else {
                    before.rename_from.clone().or_else(|| Some(before.name.clone()))
                };
            }
            after.pending = before.pending.or(Some(Pending::Alter));
            after.updated_at = clock::now();
            if let Err(error) = name_is_free(db, &after)?.and(owner_exists(db, &after)?) {
                return Ok(Err(error));
            }
            databases::put(db, &after)?;
            Ok(Ok(Change { database: Some(before.id), database_before: Some(before), ..Change::default() }))
        })
        .await?;
    let row = control.database(&place.branch, &now_named)?;
    Ok(Json(DatabaseChanged {
        database: shape::database(row),
        operations: vec![shape::operation(operation)],
    }))
}

/// `DELETE …/databases/{database_name}`. Sessions in it end.
pub(super) async fn delete(
    State(control): State<Control>,
    Path((project, branch, database)): DatabasePath,
) -> Result<Json<DatabaseChanged>, Error> {
    let place = control.branch(&project, &branch)?;
    control.refresh(&place).await?;
    let row = control.database(&place.branch, &database)?;
    let branch_id = place.branch.id.clone();
    let operation = control
        .change(&place, move |db| {
            let before = match find::database(databases::get(db, &branch_id, &database)?, &database) {
                Ok(row) => row,
                Err(error) => return Ok(Err(error)),
            };
            let after = Database { pending: Some(Pending::Drop), updated_at: clock::now(), ..before.clone() };
            databases::put(db, &after)?;
            Ok(Ok(Change { database: Some(before.id), database_before: Some(before), ..Change::default() }))
        })
        .await?;
    Ok(Json(DatabaseChanged {
        database: shape::database(row),
        operations: vec![shape::operation(operation)],
    }))
}
