//! Snapshots: branches without endpoints that the list of branches does not show.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use dormouse_api as api;
use dormouse_api::branch::{BranchChanged, FinalizeRestore, NewBranch, RestoreBranch};
use dormouse_api::snapshot::{
    BackupSchedule, CreateSnapshotQuery, ID_PREFIX, RestoreSnapshot, SnapshotChanged, SnapshotDeleted,
    SnapshotRestored, Snapshots, UpdateSnapshot,
};
use dormouse_base::{BranchId, Kind, Timestamp, clock};

use super::audit::Made;
use super::branch_create::Birth;
use super::branches::usable;
use super::error::Error;
use super::extract::{Asked, Body};
use super::find::Place;
use super::point::point;
use super::shape;
use crate::control::Control;
use crate::db::snapshots::{self, Snapshot};
use crate::db::{branches, endpoints};
use crate::model::{branch as rules, name};

type SnapshotPath = Path<(String, String)>;

/// What the ID of a branch begins with.
const BRANCH_PREFIX: &str = "br-";

fn public_id(branch: &BranchId) -> String {
    format!("{ID_PREFIX}{}", branch.as_str().trim_start_matches(BRANCH_PREFIX))
}

fn show(row: Snapshot) -> Result<api::Snapshot, Error> {
    let Some(origin) = row.branch.parent else {
        return Err(Error::new(Kind::Internal, "metadata-failed", "a snapshot has no origin"));
    };
    Ok(api::Snapshot {
        id: public_id(&row.branch.id),
        name: row.name,
        lsn: origin.lsn,
        timestamp: origin.at,
        source_branch_id: row.source,
        created_at: row.branch.created_at,
        expires_at: row.branch.expires_at,
        manual: true,
    })
}

/// `GET …/snapshots`.
pub(super) async fn list(
    State(control): State<Control>,
    Path(project): Path<String>,
) -> Result<Json<Snapshots>, Error> {
    let project = control.project(&project)?;
    let rows = control.foundation.db.read("list snapshots", |db| snapshots::of_project(db, &project.id))?;
    Ok(Json(Snapshots { snapshots: rows.into_iter().map(show).collect::<Result<_, _>>()? }))
}

/// `POST …/branches/{branch_id}/snapshot`.
pub(super) async fn create(
    State(control): State<Control>,
    Path((project, branch)): SnapshotPath,
    Asked(query): Asked<CreateSnapshotQuery>,
) -> Result<(Extension<Made>, Json<SnapshotChanged>), Error> {
    let place = control.branch(&project, &branch)?;
    usable(&place.branch)?;
    let now = clock::now();
    let name =
        query.name.unwrap_or_else(|| format!("{} {}", place.branch.name, now.strftime("%Y-%m-%d %H:%M:%S")));
    name::label("snapshot", &name)?;
    let expires_at = in_future(query.expires_at, now)?;
    let point = point(query.lsn, query.timestamp)?;
    let id = BranchId::generate();
    let row = crate::model::record::Branch {
        expires_at,
        ..crate::model::record::Branch::new(
            id.clone(),
            &place.project.id,
            public_id(&id),
            place.branch.owner.clone(),
            now,
        )
    };
    let source = place.branch.id.clone();
    let birth = Birth { row, endpoints: Vec::new(), snapshot: Some((source, name)), preview: None };
    let operation = control.give_birth(&place, birth, point).await?;
    let made = control.snapshot(place.project.id.as_str(), &public_id(&id))?.1;
    let snapshot = show(made)?;
    let name = Made::new(&place.project.id, &snapshot.id);
    Ok((name, Json(SnapshotChanged { snapshot, operations: vec![shape::operation(operation)] })))
}

fn in_future(at: Option<Timestamp>, now: Timestamp) -> Result<Option<Timestamp>, Error> {
    if at.is_some_and(|at| at <= now) {
        return Err(Error::new(
            Kind::Invalid,
            "bad-expiry",
            "`expires_at` is in the past: choose a later time",
        ));
    }
    Ok(at)
}

/// `PATCH …/snapshots/{snapshot_id}`.
pub(super) async fn update(
    State(control): State<Control>,
    Path((project, id)): SnapshotPath,
    Body(request): Body<UpdateSnapshot>,
) -> Result<Json<SnapshotChanged>, Error> {
    let (place, _) = control.snapshot(&project, &id)?;
    let (wanted, now) = (request.snapshot, clock::now());
    if let Some(name) = &wanted.name {
        name::label("snapshot", name)?;
    }
    let expires_at = wanted.expires_at.map(|at| in_future(at, now)).transpose()?;
    let holder = place.branch.id;
    let write = control.foundation.db.write("change a snapshot", move |db| {
        if let Some(name) = wanted.name {
            snapshots::rename(db, &holder, &name)?;
        }
        if let (Some(expires_at), Some(row)) = (expires_at, branches::get(db, &holder)?) {
            branches::put(db, &crate::model::record::Branch { expires_at, updated_at: now, ..row })?;
        }
        Ok(())
    });
    write.await?;
    let signals = control.foundation.keeper.signals();
    signals.mirror.notify_one();
    signals.expire.notify_one();
    let (_, row) = control.snapshot(&project, &id)?;
    Ok(Json(SnapshotChanged { snapshot: show(row)?, operations: Vec::new() }))
}

/// `DELETE …/snapshots/{snapshot_id}`.
pub(super) async fn delete(
    State(control): State<Control>,
    Path((project, id)): SnapshotPath,
) -> Result<Json<SnapshotDeleted>, Error> {
    let (place, _) = control.snapshot(&project, &id)?;
    let operation = control.delete_branch(&place.branch, false).await?;
    Ok(Json(SnapshotDeleted { operations: vec![shape::operation(operation)] }))
}

/// `POST …/snapshots/{snapshot_id}/restore`.
pub(super) async fn restore(
    State(control): State<Control>,
    Path((project, id)): SnapshotPath,
    Body(request): Body<RestoreSnapshot>,
) -> Result<Json<SnapshotRestored>, Error> {
    let (place, snapshot) = control.snapshot(&project, &id)?;
    usable(&place.branch)?;
    let target = request.target_branch_id.unwrap_or(snapshot.source);
    let project = place.project.id.clone();
    if request.finalize_restore {
        let done = control.restore_from(&project, &target, &place.branch.id, request.name).await?;
        return Ok(Json(SnapshotRestored { branch: done.branch, operations: done.operations }));
    }
    // The target may be gone: then there is nothing to put this in the place of, and it is a branch of its own.
    let target = control.branch(project.as_str(), target.as_str()).ok().map(|found| found.branch.id);
    let now = clock::now();
    let wish = NewBranch {
        name: Some(request.name.unwrap_or_else(|| restored_name(&snapshot.name, now))),
        ..NewBranch::default()
    };
    let row = super::branch_create::row(&wish, &place, now)?;
    let new = row.id.clone();
    let birth = Birth { row, endpoints: Vec::new(), snapshot: None, preview: target };
    let operation = control.give_birth(&place, birth, crate::vault::Point::Head).await?;
    let made = control.branch(project.as_str(), new.as_str())?;
    let branch = control.show_branch(made.branch)?;
    Ok(Json(SnapshotRestored { branch, operations: vec![shape::operation(operation)] }))
}

/// A name that a branch may have, from one of a snapshot.
fn restored_name(snapshot: &str, now: Timestamp) -> String {
    rules::old_name(snapshot, &[], now).replace("_old_", "_restored_")
}

/// `POST …/branches/{branch_id}/finalize_restore`.
pub(super) async fn finalize(
    State(control): State<Control>,
    Path((project, branch)): SnapshotPath,
    Body(request): Body<FinalizeRestore>,
) -> Result<Json<BranchChanged>, Error> {
    let place = control.branch(&project, &branch)?;
    let target = control
        .foundation
        .db
        .read("read a restored branch", |db| snapshots::target_of(db, &place.branch.id))?;
    let Some(target) = target else {
        let message =
            format!("branch `{}` was not restored from a snapshot for another branch", place.branch.name);
        return Err(Error::new(Kind::Conflict, "not-a-restored-snapshot", message)
            .hint("restore one with `finalize_restore: false` first, or use `POST …/restore`"));
    };
    let project = place.project.id.clone();
    Ok(Json(control.restore_from(&project, &target, &place.branch.id, request.name).await?))
}

/// `GET …/backup_schedule`.
pub(super) async fn schedule(
    State(control): State<Control>,
    Path((project, branch)): SnapshotPath,
) -> Result<Json<BackupSchedule>, Error> {
    control.branch(&project, &branch)?;
    Ok(Json(BackupSchedule::default()))
}

/// `PUT …/backup_schedule`.
pub(super) async fn set_schedule(
    State(control): State<Control>,
    Path((project, branch)): SnapshotPath,
    Body(request): Body<BackupSchedule>,
) -> Result<Json<BackupSchedule>, Error> {
    control.branch(&project, &branch)?;
    if request.schedule.is_empty() {
        return Ok(Json(BackupSchedule::default()));
    }
    let message =
        "this server takes no snapshots by itself; it keeps the whole history of every branch instead";
    Err(Error::new(Kind::Invalid, "schedules-not-supported", message)
        .hint("go back with `dormouse branch restore`, or make snapshots from cron"))
}

impl Control {
    /// The snapshot that a path names, with the branch that holds it.
    fn snapshot(&self, project: &str, id: &str) -> Result<(Place, Snapshot), Error> {
        let project = self.project(project)?;
        let missing = || Error::not_found("snapshot", "snapshot-not-found", id);
        let holder = id.strip_prefix(ID_PREFIX).ok_or_else(missing)?;
        let holder: BranchId = format!("{BRANCH_PREFIX}{holder}").parse().map_err(|_| missing())?;
        let found = self.foundation.db.read("find a snapshot", |db| {
            let Some(snapshot) = snapshots::get(db, &holder)? else { return Ok(None) };
            Ok(Some((endpoints::of_branch(db, &holder)?, snapshot)))
        })?;
        let found = found.filter(|(_, snapshot)| snapshot.branch.project_id == project.id);
        let (writer, snapshot) = found.ok_or_else(missing)?;
        Ok((Place { project, branch: snapshot.branch.clone(), writer }, snapshot))
    }

    /// Gives `target` the data that `source` has now.
    async fn restore_from(
        &self,
        project: &dormouse_base::ProjectId,
        target: &BranchId,
        source: &BranchId,
        preserve: Option<String>,
    ) -> Result<BranchChanged, Error> {
        let request = RestoreBranch {
            source_branch_id: source.clone(),
            source_lsn: None,
            source_timestamp: None,
            preserve_under_name: preserve,
        };
        let path = Path((project.to_string(), target.to_string()));
        let done = super::branch_restore::restore(State(self.clone()), path, Body(request)).await?;
        Ok(done.0)
    }
}
