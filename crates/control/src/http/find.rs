//! Finds what a path names. IDs and names both work where names are unique.

use dormouse_base::{Kind, ProjectId};

use super::error::Error;
use crate::control::Control;
use crate::db::{branches, databases, endpoints, projects, roles};
use crate::identity::Caller;
use crate::locate::MAX_LISTED;
use crate::model::record::{Branch, Database, Endpoint, Pending, Project, Role};

impl Control {
    /// The living project that a path names.
    pub(super) fn project(&self, name: &str) -> Result<Project, Error> {
        let mut found = self.foundation.db.read("find a project", |db| projects::find(db, name))?;
        if found.len() > 1 {
            let message = format!("several projects are named `{name}`: use the project's ID");
            return Err(Error::new(Kind::Conflict, "ambiguous-project", message));
        }
        match found.pop() {
            Some(project) => Ok(project),
            None => {
                let all = self
                    .foundation
                    .db
                    .read("list the projects", |db| projects::list(db, None, None, MAX_LISTED))?;
                Err(Error::not_found("project", "project-not-found", name)
                    .hint(known(all.into_iter().map(|p| p.name))))
            }
        }
    }

    /// The project that a query names, as far as the caller may know of it.
    pub(super) fn project_for(&self, caller: &Caller, name: &str) -> Result<ProjectId, Error> {
        let Some(own) = &caller.project else { return Ok(self.project(name)?.id) };
        let row = self.foundation.db.read("find a project", |db| projects::get(db, own))?;
        let row = row.filter(|row| row.id.as_str() == name || row.name == name);
        row.map(|row| row.id).ok_or_else(|| Error::not_found("project", "project-not-found", name))
    }

    /// The branch that a path names, with its project and its writer.
    pub(super) fn branch(&self, project: &str, name: &str) -> Result<Place, Error> {
        let project = self.project(project)?;
        let found = self.foundation.db.read("find a branch", |db| {
            let Some(branch) = branches::find(db, &project.id, name)? else { return Ok(None) };
            Ok(Some((endpoints::of_branch(db, &branch.id)?, branch)))
        })?;
        match found {
            Some((writer, branch)) => Ok(Place { project, branch, writer }),
            None => {
                let all = self.foundation.db.read("list the branches", |db| {
                    branches::list(db, &project.id, None, None, MAX_LISTED)
                })?;
                Err(Error::not_found("branch", "branch-not-found", name)
                    .hint(known(all.into_iter().map(|b| b.name))))
            }
        }
    }

    /// The endpoint that a path names, with what is around it.
    pub(super) fn endpoint(&self, project: &str, id: &str) -> Result<Spot, Error> {
        let project = self.project(project)?;
        let found = self.foundation.db.read("find an endpoint", |db| {
            let Some(endpoint) = endpoints::get_by_text(db, id)? else { return Ok(None) };
            let Some(branch) = branches::get(db, &endpoint.branch_id)? else { return Ok(None) };
            Ok(Some((endpoints::of_branch(db, &branch.id)?, branch, endpoint)))
        })?;
        let here = found.filter(|(_, branch, endpoint)| {
            endpoint.project_id == project.id && !branch.deleting && !endpoint.deleting
        });
        match here {
            Some((writer, branch, endpoint)) => {
                Ok(Spot { place: Place { project, branch, writer }, endpoint })
            }
            None => Err(Error::not_found("endpoint", "endpoint-not-found", id)),
        }
    }
}

/// Names for a caller that holds an API key; somebody who only tries to log in never gets them.
fn known(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "There is none.".to_owned() } else { format!("There are: {}.", names.join(", ")) }
}

/// A branch with what is around it.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) project: Project,
    pub(super) branch: Branch,
    /// Its read-write endpoint.
    pub(super) writer: Option<Endpoint>,
}

/// An endpoint, of either kind, with what is around it.
#[derive(Debug, Clone)]
pub(super) struct Spot {
    pub(super) place: Place,
    pub(super) endpoint: Endpoint,
}

impl Place {
    /// The endpoint that a branch's name means.
    pub(super) fn writer(&self) -> Result<&Endpoint, Error> {
        self.writer.as_ref().ok_or_else(|| {
            let name = &self.branch.name;
            Error::new(Kind::Conflict, "branch-has-no-endpoint", format!("branch `{name}` has no endpoint"))
                .hint(format!("create one with `dormouse endpoint create --branch {name}`"))
        })
    }
}

/// A role that is there and is to stay.
pub(super) fn role(found: Option<Role>, name: &str) -> Result<Role, Error> {
    let role = found.filter(|role| role.pending != Some(Pending::Drop));
    role.ok_or_else(|| Error::not_found("role", "role-not-found", name))
}

/// A database that is there and is to stay.
pub(super) fn database(found: Option<Database>, name: &str) -> Result<Database, Error> {
    let database = found.filter(|database| database.pending != Some(Pending::Drop));
    database.ok_or_else(|| Error::not_found("database", "database-not-found", name))
}

impl Control {
    /// The role of that name.
    pub(super) fn role(&self, branch: &Branch, name: &str) -> Result<Role, Error> {
        role(self.foundation.db.read("find a role", |db| roles::get(db, &branch.id, name))?, name)
    }

    /// The database of that name.
    pub(super) fn database(&self, branch: &Branch, name: &str) -> Result<Database, Error> {
        database(self.foundation.db.read("find a database", |db| databases::get(db, &branch.id, name))?, name)
    }
}
