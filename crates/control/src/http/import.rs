//! Import: a project from a data directory on this machine. See [`crate::operation::import_directory`].

use std::path::PathBuf;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use dormouse_api as api;
use dormouse_api::import::{ImportDirectory, ImportedProject};
use dormouse_base::{Kind, clock};
use dormouse_runtime::task;
use rusqlite::Transaction;

use super::error::Error;
use super::extract::Body;
use super::projects::MAX_PROJECTS;
use super::{shape, submit};
use crate::control::Control;
use crate::db::{branches, databases, endpoints, operations, projects, roles};
use crate::model::Refused;
use crate::model::record::{Database, Operation, Pending};
use crate::operation::{StepFailure, executor, import_directory};
use crate::plan::{Plan, Wish};

/// `POST /projects/import`.
pub(super) async fn directory(
    State(control): State<Control>,
    Body(request): Body<ImportDirectory>,
) -> Result<(StatusCode, Json<ImportedProject>), Error> {
    if control.foundation.db.read("count projects", projects::count)? >= MAX_PROJECTS {
        let message =
            format!("this server has {MAX_PROJECTS} projects, which is its limit: delete one first");
        return Err(Error::new(Kind::Limit, "too-many-projects", message));
    }
    let foundation = &control.foundation;
    let (directories, given) = (foundation.directories.clone(), PathBuf::from(request.data_directory));
    let found =
        task::blocking(move || directories.examine_import(&given)).await.map_err(StepFailure::from)?;
    let wish = Wish {
        name: request.name,
        pg_version: Some(found.major),
        role: request.role_name,
        ..Wish::default()
    };
    let mut plan = wish.plan(&foundation.config.installations, &foundation.secrets, clock::now())?;
    plain_name(&plan.role.name)?;
    plan.operation.kind = import_directory::KIND.to_owned();
    let Some(path) = found.path.to_str() else {
        return Err(Error::new(
            Kind::Invalid,
            "directory-not-importable",
            "its path is not UTF-8: rename it",
        ));
    };
    plan.operation.args = serde_json::json!({ import_directory::DIRECTORY: path });
    // It may exist already: whatever it was, it gets this password and the owner's rights.
    (plan.role.pending, plan.role.rename_from) = (Some(Pending::Alter), None);
    foundation.keeper.set_pending(&plan.endpoint.id, true);
    let plan = foundation.db.write("store a project", move |db| store(&mut plan, db).map(|()| plan)).await?;
    let operation = control.executor.finish(&plan.operation.id, submit::PATIENCE).await?;
    let operation = operation.unwrap_or_else(|| plan.operation.clone());
    if let Some(failure) = executor::failure_of(&operation) {
        return Err(failure.into());
    }
    Ok((StatusCode::CREATED, Json(imported(&control, plan, operation)?)))
}

/// The name goes through single-user mode, which cuts its input at line ends, and into a quoted block.
fn plain_name(name: &str) -> Result<(), Refused> {
    if name.chars().any(|c| c == '$' || c.is_control()) {
        let message =
            format!("the role name `{name}` contains `$` or a control character: choose another one");
        return Err(Refused::new("bad-name", message));
    }
    Ok(())
}

/// All rows but those of databases, which are not known yet.
fn store(plan: &mut Plan, db: &Transaction<'_>) -> rusqlite::Result<()> {
    plan.endpoint.slot = endpoints::free_slot(db)?;
    projects::insert(db, &plan.project)?;
    branches::insert(db, &plan.branch)?;
    endpoints::insert(db, &plan.endpoint)?;
    roles::put(db, &plan.role)?;
    operations::insert(db, &plan.operation)
}

fn imported(control: &Control, plan: Plan, operation: Operation) -> Result<ImportedProject, Error> {
    let db = &control.foundation.db;
    let found = db.read("list databases", |db| databases::all(db, &plan.branch.id))?;
    let branch = db
        .read("find a branch", |db| branches::get(db, &plan.branch.id))?
        .unwrap_or_else(|| plan.branch.clone());
    let connection_uris = found.iter().map(|database| connection(control, &plan, database)).collect();
    let month = control.month_of(&plan.project.id)?;
    Ok(ImportedProject {
        project: control.show_project(plan.project, Some(branch.id.clone()), &month),
        branch: control.show_branch(branch)?,
        endpoints: vec![control.show_endpoint(plan.endpoint)],
        roles: vec![shape::role(plan.role, Some(plan.password))],
        databases: found.into_iter().map(shape::database).collect(),
        operations: vec![shape::operation(operation)],
        connection_uris,
    })
}

fn connection(control: &Control, plan: &Plan, database: &Database) -> api::ConnectionUri {
    let address = &control.foundation.config.address;
    let (endpoint, role, name) = (&plan.endpoint.id, &plan.role.name, &database.name);
    api::ConnectionUri {
        connection_uri: address.uri(endpoint, false, role, Some(plan.password.expose()), name),
        connection_parameters: api::ConnectionParameters {
            database: name.clone(),
            password: plan.password.clone(),
            role: role.clone(),
            host: address.host_of(endpoint, false),
            pooler_host: address.host_of(endpoint, true),
            port: address.port,
        },
    }
}
