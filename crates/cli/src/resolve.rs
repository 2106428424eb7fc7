//! From what a person types to the thing that is meant: IDs and names are both fine, and leaving
//! it out means the obvious one. The choices are pure functions; fetching the lists is around them.

use dormouse_api::client;
use dormouse_api::endpoint::EndpointType;
use dormouse_api::{Branch, Endpoint, PageQuery, Project};
use dormouse_base::EndpointId;

use crate::connect::http::Session;
use crate::error::Error;

#[cfg(test)]
mod tests;

/// The project that is meant when there are several and none is named.
const DEFAULT_PROJECT: &str = "default";

/// The most pages that are read to find a name: 400 items each.
const MAX_PAGES: usize = 250;

/// How many candidates an error lists.
const MAX_LISTED: usize = 10;

/// A branch and its project.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) project: Project,
    pub(crate) branch: Branch,
}

/// The project with this ID or name, or the obvious one.
pub(crate) async fn project(session: &Session, given: Option<&str>) -> Result<Project, Error> {
    choose_project(&all_projects(session).await?, given).cloned()
}

/// The branch with this ID or name, or the default one. `project/branch` names both at once.
pub(crate) async fn branch(
    session: &Session,
    project: Option<&str>,
    branch: Option<&str>,
) -> Result<Place, Error> {
    let projects = all_projects(session).await?;
    let (project, branch) = split(&projects, project, branch);
    let project = choose_project(&projects, project)?.clone();
    let branches = all_branches(session, &project).await?;
    let branch = choose_branch(&branches, &project, branch)?.clone();
    Ok(Place { project, branch })
}

/// The endpoint with this ID, or the one of this branch, or of the default branch.
pub(crate) async fn endpoint(
    session: &Session,
    project: Option<&str>,
    given: Option<&str>,
) -> Result<Endpoint, Error> {
    if let Some(id) = given.and_then(|text| text.parse::<EndpointId>().ok()) {
        let status = session.call(client::server::status()).await?;
        // A branch may be named like an endpoint, so an unknown ID is not yet an error.
        if let Some(known) = status.endpoints.iter().find(|known| known.id == id) {
            return Ok(session.call(client::endpoint::get(&known.project_id, &id)).await?.endpoint);
        }
    }
    let place = branch(session, project, given).await?;
    let call = client::endpoint::list_of_branch(&place.project.id, &place.branch.id);
    let endpoints = session.call(call).await?.endpoints;
    endpoints.into_iter().find(|endpoint| endpoint.kind == EndpointType::ReadWrite).ok_or_else(|| {
        let name = &place.branch.name;
        Error::not_found(format!("branch `{name}` has no endpoint"))
            .hint(format!("Create one with `dormouse endpoint create --branch {name}`."))
    })
}

/// Every project of the server.
pub(crate) async fn all_projects(session: &Session) -> Result<Vec<Project>, Error> {
    let mut query = PageQuery::largest();
    let mut all = Vec::new();
    for _ in 0..MAX_PAGES {
        let page = session.call(client::project::list(&query)).await?;
        all.extend(page.projects);
        query.cursor = page.pagination.and_then(|page| page.place().map(str::to_owned));
        if query.cursor.is_none() {
            break;
        }
    }
    Ok(all)
}

/// Every branch of a project.
pub(crate) async fn all_branches(session: &Session, project: &Project) -> Result<Vec<Branch>, Error> {
    let mut query = PageQuery::largest();
    let mut all = Vec::new();
    for _ in 0..MAX_PAGES {
        let page = session.call(client::branch::list(&project.id, &query)).await?;
        all.extend(page.branches);
        query.cursor = page.pagination.and_then(|page| page.place().map(str::to_owned));
        if query.cursor.is_none() {
            break;
        }
    }
    Ok(all)
}

/// Takes `project/branch` apart, but only when the first part is a project and `--project` does
/// not say otherwise: a branch name may contain a slash.
fn split<'a>(
    projects: &[Project],
    project: Option<&'a str>,
    branch: Option<&'a str>,
) -> (Option<&'a str>, Option<&'a str>) {
    match (project, branch.and_then(|branch| branch.split_once('/'))) {
        (None, Some((first, rest))) if projects.iter().any(|p| p.id.as_str() == first || p.name == first) => {
            (Some(first), Some(rest))
        }
        _ => (project, branch),
    }
}

fn choose_project<'a>(projects: &'a [Project], given: Option<&str>) -> Result<&'a Project, Error> {
    let Some(given) = given else {
        return obvious_project(projects);
    };
    if let Some(project) = projects.iter().find(|project| project.id.as_str() == given) {
        return Ok(project);
    }
    let named: Vec<&Project> = projects.iter().filter(|project| project.name == given).collect();
    match named.as_slice() {
        [project] => Ok(project),
        [] => Err(Error::not_found(format!("there is no project `{given}`"))
            .hint(known(projects.iter().map(|project| project.name.as_str()), "dormouse project list"))),
        several => Err(Error::usage(format!("{} projects are named `{given}`", several.len())).hint(
            format!("Use one of their IDs: {}.", listed(several.iter().map(|project| project.id.as_str()))),
        )),
    }
}

fn obvious_project(projects: &[Project]) -> Result<&Project, Error> {
    match projects {
        [] => {
            Err(Error::not_found("there is no project yet").hint("Make one with `dormouse project create`."))
        }
        [only] => Ok(only),
        several => several.iter().find(|project| project.name == DEFAULT_PROJECT).ok_or_else(|| {
            Error::usage("there are several projects, and none is named `default`").hint(format!(
                "Say which with `--project`: {}.",
                listed(several.iter().map(|project| project.name.as_str()))
            ))
        }),
    }
}

fn choose_branch<'a>(
    branches: &'a [Branch],
    project: &Project,
    given: Option<&str>,
) -> Result<&'a Branch, Error> {
    match given {
        Some(given) => branches
            .iter()
            .find(|branch| branch.id.as_str() == given)
            .or_else(|| branches.iter().find(|branch| branch.name == given))
            .ok_or_else(|| {
                Error::not_found(format!("there is no branch `{given}` in project `{}`", project.name)).hint(
                    known(
                        branches.iter().map(|branch| branch.name.as_str()),
                        &format!("dormouse branch list --project {}", project.id),
                    ),
                )
            }),
        None => branches
            .iter()
            .find(|branch| branch.default)
            .ok_or_else(|| Error::not_found(format!("project `{}` has no default branch", project.name))),
    }
}

/// The hint of an unknown name: those that exist, and where to see all about them.
fn known<'a>(names: impl ExactSizeIterator<Item = &'a str>, command: &str) -> String {
    if names.len() == 0 {
        return "There is none.".to_owned();
    }
    format!("There are: {}. See `{command}`.", listed(names))
}

fn listed<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(MAX_LISTED);
    let mut text = names.take(MAX_LISTED).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}
