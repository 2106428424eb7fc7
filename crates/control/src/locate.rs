//! Which endpoint a route means.
//!
//! The proxy asks before it knows who the client is, so it must never pass on what a [`LocateError`]
//! carries: names of other people's branches are for callers that hold an API key.

use std::net::IpAddr;

use dormouse_base::{BranchId, EndpointId, ProjectId};
use dormouse_compute::spec::Mode;
use rusqlite::Connection;

use crate::db::{Db, DbError, branches, endpoints, projects, settings};
use crate::model::allow;
use crate::model::record::Project;

/// The most names that an error lists.
pub const MAX_LISTED: usize = 20;

/// Where a client wants to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Locator<'a> {
    /// By the endpoint's ID (`ep-…`, without `-pooler`).
    ByEndpoint(&'a str),
    /// By branch.
    ByBranch {
        /// ID or name; `None` = the default project.
        project: Option<&'a str>,
        /// ID or name.
        branch: &'a str,
    },
    /// The default project's default branch.
    Default,
}

/// An endpoint that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Its project.
    pub project: ProjectId,
    /// Its branch.
    pub branch: BranchId,
    /// Picks the user ID of its processes.
    pub slot: u32,
}

/// Nothing is there. Carries names: only for callers that are authenticated for the whole server.
#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    /// No such endpoint.
    #[error("there is no endpoint `{0}`")]
    NoEndpoint(String),
    /// No such project.
    #[error("there is no project `{name}`: known are {}", known.join(", "))]
    NoProject {
        /// What was asked for.
        name: String,
        /// Names of projects.
        known: Vec<String>,
    },
    /// Several projects have this name.
    #[error("several projects are named `{0}`: use the project's ID")]
    AmbiguousProject(String),
    /// No such branch.
    #[error("there is no branch `{name}`: known are {}", known.join(", "))]
    NoBranch {
        /// What was asked for.
        name: String,
        /// Names of branches of that project.
        known: Vec<String>,
    },
    /// The branch has no endpoint that a branch's name could mean.
    #[error("branch `{0}` has no endpoint: create one with `dormouse endpoint create --branch {0}`")]
    NoWriter(String),
    /// The branch is still being made.
    #[error("branch `{0}` is being made: try again in a moment")]
    NotReady(String),
    /// There is no project at all, or none was made the default.
    #[error("there is no default project: name the endpoint, or `database@project/branch`")]
    NoDefault,
    /// The metadata failed.
    #[error("the metadata cannot be read")]
    Metadata(#[source] DbError),
}

/// Finds an endpoint. Takes microseconds; safe to call on a connection's own thread.
///
/// # Errors
/// See [`LocateError`].
pub fn locate(db: &Db, place: &Locator<'_>) -> Result<Located, LocateError> {
    db.read("locate an endpoint", |db| match place {
        Locator::ByEndpoint(id) => by_endpoint(db, id),
        Locator::ByBranch { project, branch } => by_branch(db, *project, Some(branch)),
        Locator::Default => by_branch(db, None, None),
    })
    .map_err(LocateError::Metadata)?
}

/// What an endpoint's door asks of everybody: both its project's list and its own must let an address in.
#[derive(Debug)]
pub(crate) struct Admission {
    /// Empty: everybody.
    by_project: Vec<String>,
    by_endpoint: Vec<String>,
    /// Whether the endpoint writes.
    pub(crate) mode: Mode,
}

impl Admission {
    /// Whether an address may connect.
    pub(crate) fn admits(&self, from: IpAddr) -> bool {
        allow::admits(&self.by_project, from) && allow::admits(&self.by_endpoint, from)
    }
}

/// The door of an endpoint; `None` when there is no such endpoint.
///
/// # Errors
/// When the metadata cannot be read.
pub(crate) fn admission(db: &Db, endpoint: &EndpointId) -> Result<Option<Admission>, DbError> {
    db.read("look at the allowed addresses", |db| {
        let Some(endpoint) = endpoints::get(db, endpoint)? else { return Ok(None) };
        let Some(project) = projects::get(db, &endpoint.project_id)? else { return Ok(None) };
        let mut by_project = project.settings.allowed_ips;
        if !by_project.is_empty()
            && project.settings.allowed_ips_protected_branches_only
            && !branches::get(db, &endpoint.branch_id)?.is_some_and(|branch| branch.protected)
        {
            by_project.clear();
        }
        let by_endpoint = endpoint.allowed_ips;
        Ok(Some(Admission { by_project, by_endpoint, mode: endpoint.mode }))
    })
}

type Found<T> = rusqlite::Result<Result<T, LocateError>>;

fn by_endpoint(db: &Connection, id: &str) -> Found<Located> {
    let none = || Err(LocateError::NoEndpoint(id.chars().take(80).collect()));
    let Some(endpoint) = endpoints::get_by_text(db, id)? else { return Ok(none()) };
    let branch = branches::get(db, &endpoint.branch_id)?.filter(|b| !b.deleting && !endpoint.deleting);
    let Some(branch) = branch else { return Ok(none()) };
    if !branch.ready {
        return Ok(Err(LocateError::NotReady(branch.name)));
    }
    match projects::get(db, &endpoint.project_id)? {
        Some(project) if !project.deleting => Ok(Ok(Located {
            endpoint: endpoint.id,
            project: project.id,
            branch: endpoint.branch_id,
            slot: endpoint.slot,
        })),
        _ => Ok(none()),
    }
}

fn by_branch(db: &Connection, project: Option<&str>, branch: Option<&str>) -> Found<Located> {
    let project = match project {
        Some(name) => named_project(db, name)?,
        None => default_project(db)?,
    };
    let project = match project {
        Ok(project) => project,
        Err(error) => return Ok(Err(error)),
    };
    let found = match branch {
        Some(name) => branches::find(db, &project.id, name)?,
        None => branches::default_of(db, &project.id)?,
    };
    let endpoint = match &found {
        Some(branch) => endpoints::of_branch(db, &branch.id)?,
        None => None,
    };
    match (found, endpoint) {
        (Some(branch), _) if !branch.ready => Ok(Err(LocateError::NotReady(branch.name))),
        (Some(branch), None) => Ok(Err(LocateError::NoWriter(branch.name))),
        (Some(branch), Some(endpoint)) => Ok(Ok(Located {
            endpoint: endpoint.id,
            project: project.id,
            branch: branch.id,
            slot: endpoint.slot,
        })),
        (None, _) => {
            let known = branches::list(db, &project.id, None, None, MAX_LISTED)?
                .into_iter()
                .map(|b| b.name)
                .collect();
            Ok(Err(LocateError::NoBranch { name: branch.unwrap_or_default().to_owned(), known }))
        }
    }
}

fn named_project(db: &Connection, name: &str) -> Found<Project> {
    let mut found = projects::find(db, name)?;
    match found.len() {
        0 => {
            let known = projects::list(db, None, None, MAX_LISTED)?.into_iter().map(|p| p.name).collect();
            Ok(Err(LocateError::NoProject { name: name.to_owned(), known }))
        }
        1 => Ok(found.pop().ok_or(LocateError::NoDefault)),
        _ => Ok(Err(LocateError::AmbiguousProject(name.to_owned()))),
    }
}

/// The project that was made the default; else the only one.
fn default_project(db: &Connection) -> Found<Project> {
    if let Some(id) = settings::get(db, settings::DEFAULT_PROJECT)?
        && let Some(project) = projects::find(db, &id)?.into_iter().next()
    {
        return Ok(Ok(project));
    }
    let mut all = projects::list(db, None, None, 2)?;
    Ok(if all.len() == 1 { all.pop().ok_or(LocateError::NoDefault) } else { Err(LocateError::NoDefault) })
}
