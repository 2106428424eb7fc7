//! Projects.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use dormouse_api as api;
use dormouse_api::project::{
    CreateProject, EndpointDefaultsPatch, ProjectChanged, ProjectPatch, ProjectReply, ProjectSettingsPatch,
    UpdateProject,
};
use dormouse_api::{CreatedProject, Page, PageQuery, Projects};
use dormouse_base::{Kind, clock};
use dormouse_compute::spec::Mode;

use super::audit::Made;
use super::error::Error;
use super::extract::{Asked, Body, Window};
use super::shape;
use crate::control::Control;
use crate::db::{branches, endpoints, projects, roles};
use crate::identity::Caller;
use crate::model::record::{Branch, Operation, Pending, Project, ProjectSettings, Role, Target};
use crate::model::{allow, name};
use crate::operation::apply_config::Change;
use crate::operation::{delete_project, draft};
use crate::plan::{self, Plan, Wish};

/// The most projects of one server.
pub const MAX_PROJECTS: i64 = 10_000;

/// `GET /projects`.
pub(super) async fn list(
    State(control): State<Control>,
    Extension(caller): Extension<Caller>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Projects>, Error> {
    let window = Window::of(query)?;
    let (mut rows, mut defaults) = control.foundation.db.read("list projects", |db| {
        let rows = projects::list(db, window.after.as_deref(), window.search.as_deref(), window.limit + 1)?;
        Ok((rows, branches::defaults(db)?))
    })?;
    if let Some(own) = &caller.project {
        let own = control.foundation.db.read("read a project", |db| projects::get(db, own))?;
        rows = own.filter(|project| !project.deleting).into_iter().collect();
    }
    let pagination = window.cut(&mut rows, |row| row.id.to_string()).map(Page::at_cursor);
    let projects = rows.into_iter().map(|row| (defaults.remove(&row.id), row));
    let months = control.months().await?;
    let show = |(branch, row): (Option<_>, Project)| {
        let month = months.get(&row.id).copied().unwrap_or_default();
        control.show_project(row, branch, &month)
    };
    let projects = projects.map(show).collect();
    Ok(Json(Projects { projects, pagination }))
}

/// `GET /projects/shared`: nothing is shared here.
pub(super) async fn list_shared() -> Json<Projects> {
    Json(Projects { projects: Vec::new(), pagination: None })
}

/// `GET /projects/{project_id}`.
pub(super) async fn get(
    State(control): State<Control>,
    Path(project): Path<String>,
) -> Result<Json<ProjectReply>, Error> {
    let row = control.project(&project)?;
    Ok(Json(ProjectReply { project: show(&control, row)? }))
}

fn show(control: &Control, row: Project) -> Result<api::Project, Error> {
    let branch = control.foundation.db.read("find a branch", |db| branches::default_of(db, &row.id))?;
    let month = control.month_of(&row.id)?;
    Ok(control.show_project(row, branch.map(|branch| branch.id), &month))
}

/// `POST /projects`.
pub(super) async fn create(
    State(control): State<Control>,
    Body(request): Body<CreateProject>,
) -> Result<(StatusCode, Extension<Made>, Json<CreatedProject>), Error> {
    if control.foundation.db.read("count projects", projects::count)? >= MAX_PROJECTS {
        let message =
            format!("this server has {MAX_PROJECTS} projects, which is its limit: delete one first");
        return Err(Error::new(Kind::Limit, "too-many-projects", message));
    }
    let wanted = request.project;
    let history_retention_seconds = wanted.history_retention_seconds;
    let mut settings = ProjectSettings { history_retention_seconds, ..ProjectSettings::default() };
    patch(&mut settings, wanted.default_endpoint_settings.as_ref(), wanted.settings);
    settings.allowed_ips = allow::list(settings.allowed_ips)?;
    let branch = wanted.branch.unwrap_or_default();
    let wish = Wish {
        name: wanted.name,
        pg_version: wanted.pg_version,
        branch: branch.name,
        database: branch.database_name,
        role: branch.role_name,
        settings,
    };
    let foundation = &control.foundation;
    let mut plan = wish.plan(&foundation.config.installations, &foundation.secrets, clock::now())?;
    foundation.keeper.set_pending(&plan.endpoint.id, true);
    let plan = foundation.db.write("store a project", move |db| plan.store(db).map(|()| plan)).await?;
    let operation = control.executor.finish(&plan.operation.id, super::submit::PATIENCE).await?;
    let operation = operation.unwrap_or_else(|| plan.operation.clone());
    if let Some(failure) = crate::operation::executor::failure_of(&operation) {
        return Err(failure.into());
    }
    let made = Made { project: Some(plan.project.id.clone()), name: plan.project.id.to_string() };
    Ok((StatusCode::CREATED, Extension(made), Json(created(&control, plan, operation)?)))
}

fn created(control: &Control, plan: Plan, operation: Operation) -> Result<CreatedProject, Error> {
    let (endpoint, role, database) = (&plan.endpoint.id, &plan.role.name, &plan.database.name);
    let connection = control.connection(endpoint, role, plan.password.clone(), database);
    let branch = control.foundation.db.read("find a branch", |db| branches::get(db, &plan.branch.id))?;
    let branch = branch.unwrap_or(plan.branch);
    let month = control.month_of(&plan.project.id)?;
    Ok(CreatedProject {
        project: control.show_project(plan.project, Some(branch.id.clone()), &month),
        branch: control.show_branch(branch)?,
        endpoints: vec![control.show_endpoint(plan.endpoint)],
        roles: vec![shape::role(plan.role, Some(plan.password))],
        databases: vec![shape::database(plan.database)],
        operations: vec![shape::operation(operation)],
        connection_uris: vec![connection],
    })
}

/// `PATCH /projects/{project_id}`.
pub(super) async fn update(
    State(control): State<Control>,
    Extension(caller): Extension<Caller>,
    Path(project): Path<String>,
    Body(request): Body<UpdateProject>,
) -> Result<Json<ProjectChanged>, Error> {
    let id = control.project(&project)?.id;
    let wanted = request.project;
    if caller.project.is_some() && wanted.settings.as_ref().is_some_and(|settings| settings.quota.is_some()) {
        let message = "this key is for one project, whose limits are not its own to set";
        return Err(Error::new(Kind::Forbidden, "not-allowed", message));
    }
    // Read again in the transaction, so that nobody's change is lost.
    let changed = control.foundation.db.write("change a project", move |db| {
        let Some(before) = projects::get(db, &id)?.filter(|row| !row.deleting) else {
            return Ok(Err(Error::not_found("project", "project-not-found", id.as_str())));
        };
        let after = match patched(&before, wanted) {
            Ok(after) => after,
            Err(refused) => return Ok(Err(refused)),
        };
        projects::update(db, &after.id, &after.name, &after.settings, clock::now())?;
        Ok(Ok((before, after)))
    });
    let (before, after) = changed.await??;
    if before.settings.quotas != after.settings.quotas {
        control.judge(&after.id, &after.settings.quotas).await?;
    }
    control.foundation.keeper.signals().mirror.notify_one();
    let mut operations = Vec::new();
    if before.settings.owner_is_superuser != after.settings.owner_is_superuser {
        operations.push(shape::operation(change_owner(&control, &before).await?));
    }
    let row = control.project(before.id.as_str())?;
    Ok(Json(ProjectChanged { project: show(&control, row)?, operations }))
}

fn patched(before: &Project, wanted: ProjectPatch) -> Result<Project, Error> {
    let mut after = before.clone();
    after.name = wanted.name.unwrap_or(after.name);
    name::label("project", &after.name)?;
    let kept = wanted.history_retention_seconds.or(after.settings.history_retention_seconds);
    after.settings.history_retention_seconds = kept;
    patch(&mut after.settings, wanted.default_endpoint_settings.as_ref(), wanted.settings);
    plan::check_settings(&after.settings)?;
    after.settings.allowed_ips = allow::list(after.settings.allowed_ips)?;
    Ok(after)
}

/// `POST /projects/{project_id}/recover`.
pub(super) async fn recover(
    State(control): State<Control>,
    Path(project): Path<String>,
) -> Result<Json<ProjectReply>, Error> {
    let row = control.project(&project).map_err(|error| {
        error.hint("a deleted project is gone: nothing of it is kept here, except in backups of the store")
    })?;
    let message = format!("project `{}` is not deleted, so there is nothing to bring back", row.name);
    Err(Error::new(Kind::Conflict, "project-not-deleted", message))
}

/// Has the owner's rights written again, on every branch: a right that was taken away must be gone everywhere.
async fn change_owner(control: &Control, project: &Project) -> Result<Operation, Error> {
    let branch = control.foundation.db.read("find a branch", |db| branches::default_of(db, &project.id))?;
    let branch = branch.ok_or_else(|| Error::not_found("branch", "branch-not-found", "default"))?;
    let place = control.branch(project.id.as_str(), branch.id.as_str())?;
    let (branch_id, owner, before) = (branch.id, branch.owner, project.clone());
    let place_project = project.id.clone();
    // Before anybody looks at the endpoints' states: see the keeper.
    let writers =
        control.foundation.db.read("list endpoints", |db| endpoints::of_project(db, &project.id))?;
    for writer in writers.iter().filter(|endpoint| endpoint.mode == Mode::ReadWrite) {
        control.foundation.keeper.set_pending(&writer.id, true);
    }
    let result = control
        .change(&place, move |db| {
            let others = branches::of_project(db, &place_project)?.into_iter().filter(|b| b.id != branch_id);
            for other in others {
                write_owner_again(db, &other)?;
            }
            let Some(mut role) = roles::get(db, &branch_id, &owner)? else {
                return Ok(Ok(Change::default()));
            };
            let role_before = Some(role.clone());
            role.pending = role.pending.or(Some(Pending::Alter));
            role.updated_at = clock::now();
            roles::put(db, &role)?;
            Ok(Ok(Change { role: Some(owner), role_before, ..Change::default() }))
        })
        .await;
    control.foundation.keeper.signals().pending.notify_one();
    if result.is_err() {
        let put_back = move |db: &rusqlite::Transaction<'_>| {
            projects::update(db, &before.id, &before.name, &before.settings, clock::now())
        };
        control.foundation.db.write("take a change back", put_back).await?;
    }
    result
}

fn write_owner_again(db: &rusqlite::Connection, branch: &Branch) -> rusqlite::Result<()> {
    let Some(role) = roles::get(db, &branch.id, &branch.owner)? else { return Ok(()) };
    let pending = role.pending.or(Some(Pending::Alter));
    roles::put(db, &Role { pending, updated_at: clock::now(), ..role })
}

/// `DELETE /projects/{project_id}`.
pub(super) async fn delete(
    State(control): State<Control>,
    Path(project): Path<String>,
) -> Result<Json<ProjectReply>, Error> {
    let row = control.project(&project)?;
    let reply = show(&control, row.clone())?;
    let endpoint = control.foundation.db.read("list endpoints", |db| endpoints::of_project(db, &row.id))?;
    let target = Target {
        project_id: row.id,
        branch_id: reply.default_branch_id.clone(),
        endpoint_id: endpoint.into_iter().next().map(|e| e.id),
    };
    let operation = draft(delete_project::KIND, target, serde_json::json!({}));
    control
        .submit(operation, |db, operation| {
            projects::mark_deleting(db, &operation.target.project_id, clock::now()).map(Ok)
        })
        .await?;
    Ok(Json(ProjectReply { project: reply }))
}

fn patch(
    settings: &mut ProjectSettings,
    defaults: Option<&EndpointDefaultsPatch>,
    wishes: Option<ProjectSettingsPatch>,
) {
    if let Some(defaults) = defaults {
        settings.suspend_timeout_seconds =
            defaults.suspend_timeout_seconds.unwrap_or(settings.suspend_timeout_seconds);
        settings.pause_timeout_seconds = defaults.pause_timeout_seconds.or(settings.pause_timeout_seconds);
        settings.autoscaling_limit_min_cu =
            defaults.autoscaling_limit_min_cu.or(settings.autoscaling_limit_min_cu);
        settings.autoscaling_limit_max_cu =
            defaults.autoscaling_limit_max_cu.or(settings.autoscaling_limit_max_cu);
    }
    if let Some(wishes) = wishes {
        if let Some(libraries) = wishes.preload_libraries {
            settings.preload_libraries = libraries.enabled_libraries;
        }
        if let Some(allowed) = wishes.allowed_ips {
            settings.allowed_ips = allowed.ips.unwrap_or_else(|| std::mem::take(&mut settings.allowed_ips));
            settings.allowed_ips_protected_branches_only =
                allowed.protected_branches_only.unwrap_or(settings.allowed_ips_protected_branches_only);
        }
        if let Some(quota) = wishes.quota {
            settings.quotas.take_neon_words(quota);
        }
        settings.owner_is_superuser = wishes.owner_is_superuser.unwrap_or(settings.owner_is_superuser);
    }
}
