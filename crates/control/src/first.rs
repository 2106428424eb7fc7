//! The project that a first start makes, so that `dormouse up` ends with something to connect to.

use std::time::Duration;

use dormouse_base::{EndpointId, ProjectId, Secret, clock};

use crate::config::StartError;
use crate::control::Control;
use crate::db::{branches, databases, endpoints, operations, projects, roles, settings};
use crate::model::defaults;
use crate::operation::executor::failure_of;
use crate::plan::Wish;

/// How long the first project may take (a template is built on the way, 1–2 s on a quiet machine).
pub const FIRST_WITHIN: Duration = Duration::from_secs(120);

/// What `dormouse up` prints.
#[derive(Debug, Clone)]
pub struct FirstProject {
    /// The project.
    pub project: ProjectId,
    /// Its endpoint.
    pub endpoint: EndpointId,
    /// The name of its branch.
    pub branch: String,
    /// Its owner role.
    pub role: String,
    /// The owner's password; `None` when somebody changed it in SQL, so that we do not know it.
    pub password: Option<Secret<String>>,
    /// Its database.
    pub database: String,
    /// PostgreSQL major version.
    pub pg_version: u16,
    /// The connection string; without a password when that is not known.
    pub uri: Secret<String>,
    /// It was made just now.
    pub is_new: bool,
}

/// Finds or makes it; `None` = the user deleted every project.
pub(crate) async fn first_project(control: &Control) -> Result<Option<FirstProject>, StartError> {
    let db = &control.foundation.db;
    let is_new = db
        .read("look for projects", |db| {
            Ok(settings::get(db, settings::DEFAULT_PROJECT)?.is_none() && projects::count(db)? == 0)
        })
        .map_err(StartError::Metadata)?;
    if is_new {
        let wish = Wish { name: Some(defaults::PROJECT.to_owned()), ..Wish::default() };
        let config = &control.foundation.config;
        let mut plan = wish
            .plan(&config.installations, &control.foundation.secrets, clock::now())
            .map_err(StartError::Refused)?;
        let project = plan.project.id.clone();
        let endpoint = plan.endpoint.id.clone();
        control.foundation.keeper.set_pending(&endpoint, true);
        db.write("store the first project", move |db| {
            plan.store(db)?;
            settings::put(db, settings::DEFAULT_PROJECT, project.as_str())
        })
        .await
        .map_err(StartError::Metadata)?;
    }
    finish_making(control).await?;
    describe(control, is_new)
}

/// Waits for what makes it; a server that died in the middle left an unfinished operation.
async fn finish_making(control: &Control) -> Result<(), StartError> {
    let db = &control.foundation.db;
    let under_way = db.read("look for operations", operations::unfinished).map_err(StartError::Metadata)?;
    let default = db
        .read("read a setting", |db| settings::get(db, settings::DEFAULT_PROJECT))
        .map_err(StartError::Metadata)?;
    let Some(operation) =
        under_way.into_iter().find(|o| Some(o.target.project_id.as_str()) == default.as_deref())
    else {
        return Ok(());
    };
    let ended = control.executor.finish(&operation.id, FIRST_WITHIN).await.map_err(StartError::Metadata)?;
    match ended.as_ref().and_then(failure_of) {
        None => Ok(()),
        // Its rows are undone: the next start tries again.
        Some(failure) => Err(StartError::FirstProject(failure)),
    }
}

fn describe(control: &Control, is_new: bool) -> Result<Option<FirstProject>, StartError> {
    let rows = control.foundation.db.read("read the default project", |db| {
        let id = settings::get(db, settings::DEFAULT_PROJECT)?;
        let default = match id {
            Some(id) => projects::find(db, &id)?.pop(),
            None => None,
        };
        let project = match default {
            None => projects::list(db, None, None, 1)?.pop(),
            found => found,
        };
        let Some(project) = project else { return Ok(None) };
        let Some(branch) = branches::default_of(db, &project.id)? else { return Ok(None) };
        let Some(endpoint) = endpoints::of_branch(db, &branch.id)? else { return Ok(None) };
        let role = roles::get(db, &branch.id, &branch.owner)?;
        let database = databases::all(db, &branch.id)?.into_iter().next().map(|d| d.name);
        Ok(Some((project, branch, endpoint, role, database)))
    });
    let Some((project, branch, endpoint, role, database)) = rows.map_err(StartError::Metadata)? else {
        return Ok(None);
    };
    let sealed = role.and_then(|r| r.sealed_password);
    let password = sealed.and_then(|s| control.foundation.secrets.unseal(&branch.id, &branch.owner, &s).ok());
    let database = database.unwrap_or_else(|| "postgres".to_owned());
    let shown = password.as_ref().map(|p| p.expose().as_str());
    let uri = control.foundation.config.address.uri(&endpoint.id, false, &branch.owner, shown, &database);
    Ok(Some(FirstProject {
        project: project.id,
        endpoint: endpoint.id,
        branch: branch.name,
        role: branch.owner,
        password,
        database,
        pg_version: project.pg_version,
        uri,
        is_new,
    }))
}
