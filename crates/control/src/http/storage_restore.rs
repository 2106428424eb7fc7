//! The last word on a branch: it is started, and PostgreSQL looks at it.
//!
//! Each branch gets a temporary child with an endpoint of its own, because the checks of amcheck need an
//! extension, and a reader cannot make one. Its directory takes nothing from its parent's on this node. So what is
//! proved is the way that a new server would go: from the store, through recovery, to a running database. The
//! child is removed again; if the server dies, it expires.

use std::time::Duration;

use axum::extract::{Path, State};
use dormouse_api::branch::{CreateBranch, NewBranch, NewBranchEndpoint};
use dormouse_api::endpoint::{EndpointType, NewEndpointLimits};
use dormouse_api::storage::{RestoredBranch, StorageFinding};
use dormouse_base::{BranchId, EndpointId, Kind, ProjectId, clock, rand};
use dormouse_compute::event::Cause;
use jiff::SignedDuration;

use super::error::Error;
use super::extract::Body;
use crate::amcheck;
use crate::control::Control;
use crate::db::{branches, projects};
use crate::model::record::Branch;

/// A temporary branch goes by itself after this time, if nobody removes it.
const GONE_WITHIN: SignedDuration = SignedDuration::from_hours(24);

/// The HTTP status of a project that is busy with another operation.
const BUSY: u16 = 423;
/// How often a busy project is asked again, and the pause before.
const TRIES: u32 = 60;
const PAUSE: Duration = Duration::from_millis(500);

/// Projects in one question to the metadata.
const PAGE: usize = 100;

/// What was looked at, and what is wrong.
type Found = (Vec<RestoredBranch>, Vec<StorageFinding>);

/// Starts one branch, all of a project, or all, one after the other.
pub(super) async fn check(
    control: &Control,
    project: Option<&ProjectId>,
    branch: Option<Branch>,
) -> Result<Found, Error> {
    let all = match branch {
        Some(branch) => vec![branch],
        None => control.checkable(project)?,
    };
    let (mut restored, mut findings) = (Vec::new(), Vec::new());
    for branch in all {
        // In a task of its own: whoever goes away must not leave a temporary branch behind.
        let (within, of) = (control.clone(), branch.clone());
        let (tell, looked) = tokio::sync::oneshot::channel();
        control.scope.spawn("check-branch", async move {
            // Nobody may be there to hear it any more.
            let _unheard = tell.send(within.check_restored(&of).await);
        });
        match looked.await {
            Ok(Ok((one, found))) => {
                findings.extend(found);
                restored.push(one);
            }
            Ok(Err(error)) => findings.push(finding(&branch, "the branch as a whole", error.message)),
            Err(_) => {
                let why = "the check was interrupted: the server is stopping".to_owned();
                findings.push(finding(&branch, "the branch as a whole", why));
            }
        }
    }
    Ok((restored, findings))
}

fn finding(branch: &Branch, object: &str, problem: String) -> StorageFinding {
    StorageFinding {
        project_id: Some(branch.project_id.clone()),
        branch_id: Some(branch.id.clone()),
        branch: Some(branch.name.clone()),
        object: object.to_owned(),
        problem,
    }
}

impl Control {
    /// Branches that are ready, oldest project first.
    fn checkable(&self, project: Option<&ProjectId>) -> Result<Vec<Branch>, Error> {
        let (mut all, mut after) = (Vec::new(), None::<String>);
        let projects = loop {
            if let Some(project) = project {
                break vec![project.clone()];
            }
            let page = self
                .foundation
                .db
                .read("list projects", |db| projects::list(db, after.as_deref(), None, PAGE))?;
            let Some(last) = page.last() else { break all };
            after = Some(last.id.to_string());
            all.extend(page.into_iter().map(|project| project.id));
        };
        let mut found = Vec::new();
        for project in projects {
            let rows = self.foundation.db.read("list branches", |db| branches::of_project(db, &project))?;
            found.extend(rows.into_iter().filter(|row| row.ready && !row.deleting && !row.resetting));
        }
        Ok(found)
    }

    async fn check_restored(&self, branch: &Branch) -> Result<(RestoredBranch, Vec<StorageFinding>), Error> {
        let (temporary, endpoint) = self.temporary(branch).await?;
        let looked = {
            let _taking_nothing_from_here = self.foundation.node.home(&endpoint).of_store_alone();
            self.look_at(&endpoint).await
        };
        self.remove_temporary(&temporary).await;
        let looked = looked?;
        let findings = looked.problems.into_iter().map(|(object, why)| finding(branch, &object, why));
        let restored = RestoredBranch {
            project_id: branch.project_id.clone(),
            branch_id: branch.id.clone(),
            branch: branch.name.clone(),
            databases: looked.databases,
            tables: looked.tables,
            indexes: looked.indexes,
            note: looked.note,
        };
        Ok((restored, findings.collect()))
    }

    async fn look_at(&self, endpoint: &EndpointId) -> Result<amcheck::Looked, Error> {
        self.computes.wake(endpoint, Cause::Request).await?;
        Ok(amcheck::look(self.computes.as_ref(), endpoint).await?)
    }

    async fn temporary(&self, branch: &Branch) -> Result<(BranchId, EndpointId), Error> {
        let wish = NewBranch {
            name: Some(format!("fsck-{}", rand::token(10).to_lowercase())),
            parent_id: Some(branch.id.clone()),
            expires_at: Some(clock::now() + GONE_WITHIN),
            ..NewBranch::default()
        };
        let writer =
            NewBranchEndpoint { kind: EndpointType::ReadWrite, limits: NewEndpointLimits::default() };
        let request = CreateBranch { branch: wish, endpoints: vec![writer] };
        for _ in 0..TRIES {
            let (state, path) = (State(self.clone()), Path(branch.project_id.to_string()));
            match super::branch_create::create(state, path, Body(request.clone())).await {
                Err(error) if error.status == BUSY => tokio::time::sleep(PAUSE).await,
                Err(error) => return Err(error),
                Ok((_, _, made)) => {
                    let endpoint = made.0.endpoints.first().map(|endpoint| endpoint.id.clone());
                    let id = made.0.branch.id;
                    let gone = || Error::not_found("endpoint", "endpoint-not-found", id.as_str());
                    return Ok((id.clone(), endpoint.ok_or_else(gone)?));
                }
            }
        }
        let why = format!("the project of branch `{}` is busy all the time: try again", branch.name);
        Err(Error::new(Kind::Locked, "project-busy", why))
    }

    async fn remove_temporary(&self, id: &BranchId) {
        for _ in 0..TRIES {
            let row = self.foundation.db.read("read a branch", |db| branches::get(db, id)).ok().flatten();
            let Some(row) = row else { return };
            match self.delete_branch(&row, false).await {
                Ok(_) => return,
                Err(error) if error.status == BUSY => tokio::time::sleep(PAUSE).await,
                Err(error) => {
                    tracing::warn!(branch = %id, code = %error.code, "a temporary branch stays until it expires");
                    return;
                }
            }
        }
    }
}
