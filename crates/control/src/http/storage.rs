//! `/storage`: the store as a whole. Lines of history (storage IDs) are shown as the branches that people
//! know; a line that no branch is on any more keeps its own ID and has no name.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use dormouse_api::storage as api;
use dormouse_base::{BranchId, Kind, ProjectId};

use super::error::Error;
use super::extract::Body;
use super::storage_restore;
use crate::control::Control;
use crate::db::branches;
use crate::vault::upkeep::Holding;
use crate::vault::{CheckWish, Checked, CollectWish, Finding};

/// `GET /storage`.
pub(super) async fn status(State(control): State<Control>) -> Result<Json<api::StorageStatus>, Error> {
    let all = control.vault.overview().await?;
    let endpoints = all.endpoints.into_iter().filter_map(|holding| control.show_holding(holding).transpose());
    Ok(Json(api::StorageStatus {
        url: all.url,
        format: all.format,
        arbitrates: all.arbitrates,
        templates: all.templates,
        endpoints: endpoints.collect::<Result<_, _>>()?,
    }))
}

/// `POST /storage/check`. Ends when the caller goes away; temporary branches are removed all the same.
pub(super) async fn check(
    State(control): State<Control>,
    Body(request): Body<api::CheckStorage>,
) -> Result<Json<api::StorageChecked>, Error> {
    let place = match (&request.project, &request.branch) {
        (None, None) => None,
        (Some(project), None) => Some((control.project(project)?, None)),
        (Some(project), Some(branch)) => {
            let place = control.branch(project, branch)?;
            Some((place.project, Some(place.branch)))
        }
        (None, Some(_)) => {
            return Err(Error::new(Kind::Invalid, "bad-body", "`branch` needs its `project` beside it"));
        }
    };
    let (project, branch) = place.map_or((None, None), |(project, branch)| (Some(project.id), branch));
    let line = branch.as_ref().map(|branch| branch.storage_id.clone());
    let wish = CheckWish { project: project.clone(), branch: line, quick: request.quick };
    let found = control.vault.check(&wish).await?;
    let mut reply = control.show_checked(found)?;
    if request.restore {
        let (restored, findings) = storage_restore::check(&control, project.as_ref(), branch).await?;
        reply.restored = restored;
        reply.findings.extend(findings);
    }
    Ok(Json(reply))
}

/// `POST /storage/collect`.
pub(super) async fn collect(
    State(control): State<Control>,
    Body(request): Body<api::CollectStorage>,
) -> Result<Json<api::StorageCollected>, Error> {
    let api::CollectStorage { dry_run, grace_seconds } = request;
    if !dry_run && grace_seconds.is_some_and(|seconds| seconds < api::MIN_GRACE_SECONDS) {
        let message = format!(
            "`grace_seconds` is at least {} unless it is a dry run: somebody may be using what is younger",
            api::MIN_GRACE_SECONDS
        );
        return Err(Error::new(Kind::Invalid, "bad-grace", message));
    }
    let wish = CollectWish { dry_run, grace: grace_seconds.map(Duration::from_secs) };
    let done = control.vault.collect(wish).await?;
    let frozen = |(project_id, reason)| api::FrozenProject { project_id, reason };
    Ok(Json(api::StorageCollected {
        dry_run,
        deleted: done.deleted,
        deleted_bytes: done.deleted_bytes,
        waiting: done.waiting,
        retired: done.retired,
        rewritten: done.rewritten,
        leftovers: done.leftovers,
        frozen: done.frozen.into_iter().map(frozen).collect(),
        strange: done.strange,
    }))
}

impl Control {
    /// The branch on a line of history: its public ID and its name.
    fn on_line(&self, line: BranchId) -> Result<(BranchId, Option<String>), Error> {
        let row = self.foundation.db.read("find a branch", |db| branches::by_storage(db, &line))?;
        Ok(row.map_or((line, None), |row| (row.id, Some(row.name))))
    }

    /// Nothing for an endpoint that was just deleted.
    fn show_holding(&self, holding: Holding) -> Result<Option<api::StorageEndpoint>, Error> {
        let Holding { endpoint: id, resident, capture, hydration } = holding;
        let busy = resident.is_none();
        let (project_id, line) = match &resident {
            Some(resident) => (resident.project.clone(), resident.branch.clone()),
            None => match self.place_of(&id)? {
                Some(place) => place,
                None => return Ok(None),
            },
        };
        let (branch_id, branch) = self.on_line(line)?;
        let (filed, alarm) = (capture.as_ref().map(|c| c.filed), capture.as_ref().and_then(|c| c.alarm));
        Ok(Some(api::StorageEndpoint {
            id,
            project_id,
            branch_id,
            branch,
            read_only: resident.as_ref().is_some_and(|r| r.read_only),
            epoch: resident.as_ref().and_then(|r| r.epoch),
            filed,
            lag_bytes: capture.as_ref().map_or(0, |c| c.lag_bytes),
            lag_seconds: capture.as_ref().map_or(0.0, |c| c.lag_seconds),
            alarm: alarm.map(str::to_owned),
            problem: capture.and_then(|c| c.problem),
            snapshot_lsn: resident.and_then(|r| r.snapshot),
            hydration: hydration.map(|(chunks, absent)| api::HydrationProgress { chunks, absent }),
            busy,
        }))
    }

    fn place_of(&self, endpoint: &dormouse_base::EndpointId) -> Result<Option<(ProjectId, BranchId)>, Error> {
        let found = self.foundation.db.read("read an endpoint", |db| {
            let Some(row) = crate::db::endpoints::get(db, endpoint)? else { return Ok(None) };
            let branch = branches::get(db, &row.branch_id)?;
            Ok(branch.map(|branch| (row.project_id, branch.storage_id)))
        })?;
        Ok(found)
    }

    fn show_checked(&self, found: Checked) -> Result<api::StorageChecked, Error> {
        let findings = found.findings.into_iter().map(|finding| self.show_finding(finding));
        Ok(api::StorageChecked {
            branches: found.branches,
            objects: found.objects,
            bytes: found.bytes,
            orphans: found.orphans,
            orphan_bytes: found.orphan_bytes,
            findings: findings.collect::<Result<_, _>>()?,
            restored: Vec::new(),
        })
    }

    fn show_finding(&self, finding: Finding) -> Result<api::StorageFinding, Error> {
        let Finding { project, branch, object, problem } = finding;
        let (branch_id, branch) = match branch {
            Some(line) => {
                let (id, name) = self.on_line(line)?;
                (Some(id), name)
            }
            None => (None, None),
        };
        Ok(api::StorageFinding { project_id: project, branch_id, branch, object, problem })
    }
}
