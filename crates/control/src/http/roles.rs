//! Roles. A change is a pending row plus an operation that makes PostgreSQL follow.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use dormouse_api::Roles;
use dormouse_api::role::{CreateRole, RoleChanged, RolePassword, RoleReply};
use dormouse_base::{Kind, Secret, clock};

use super::error::Error;
use super::extract::Body;
use super::{find, shape};
use crate::control::Control;
use crate::db::{databases, roles};
use crate::model::record::{Database, Pending, Role};
use crate::model::{defaults, name};
use crate::operation::apply_config::Change;
use crate::plan::verifier_of;

/// The most roles of one branch.
pub const MAX_ROLES: usize = 1000;

type RolePath = Path<(String, String, String)>;

/// `GET …/roles`.
pub(super) async fn list(
    State(control): State<Control>,
    Path((project, branch)): Path<(String, String)>,
) -> Result<Json<Roles>, Error> {
    let place = control.branch(&project, &branch)?;
    control.refresh(&place).await?;
    let mut rows = control.foundation.db.read("list roles", |db| roles::all(db, &place.branch.id))?;
    rows.retain(|role| role.pending != Some(Pending::Drop));
    Ok(Json(Roles { roles: rows.into_iter().map(|row| shape::role(row, None)).collect() }))
}

/// `GET …/roles/{role_name}`.
pub(super) async fn get(
    State(control): State<Control>,
    Path((project, branch, role)): RolePath,
) -> Result<Json<RoleReply>, Error> {
    let place = control.branch(&project, &branch)?;
    control.refresh(&place).await?;
    Ok(Json(RoleReply { role: shape::role(control.role(&place.branch, &role)?, None) }))
}

/// `GET …/roles/{role_name}/reveal_password`.
pub(super) async fn reveal(
    State(control): State<Control>,
    Path((project, branch, role)): RolePath,
) -> Result<Json<RolePassword>, Error> {
    let place = control.branch(&project, &branch)?;
    control.refresh(&place).await?;
    let role = control.role(&place.branch, &role)?;
    Ok(Json(RolePassword { password: password_of(&control, &role)? }))
}

/// The password of a role in the clear, if we know it.
pub(super) fn password_of(control: &Control, role: &Role) -> Result<Secret<String>, Error> {
    let unknown = |why: &str| {
        Error::new(
            Kind::Conflict,
            "password-not-known",
            format!("the password of role `{}` is not known: {why}", role.name),
        )
        .hint("reset it to get a new one")
    };
    let sealed = role
        .sealed_password
        .as_ref()
        .ok_or_else(|| unknown("it was set in SQL or by a server that is gone, or the role has none"))?;
    let opened = control.foundation.secrets.unseal(&role.branch_id, &role.name, sealed);
    opened.map_err(|_| unknown("it was stored with another machine key"))
}

/// `POST …/roles`.
pub(super) async fn create(
    State(control): State<Control>,
    Path((project, branch)): Path<(String, String)>,
    Body(request): Body<CreateRole>,
) -> Result<(StatusCode, Json<RoleChanged>), Error> {
    let place = control.branch(&project, &branch)?;
    name::role(&request.role.name)?;
    let can_login = !request.role.no_login.unwrap_or(false);
    let password = can_login.then(|| Secret::new(defaults::password()));
    let now = clock::now();
    let row = Role {
        branch_id: place.branch.id.clone(),
        verifier: password.as_ref().map(|p| verifier_of(p.expose())),
        sealed_password: password
            .as_ref()
            .map(|p| control.foundation.secrets.seal(&place.branch.id, &request.role.name, p.expose())),
        name: request.role.name,
        can_login,
        valid_until: None,
        protected: false,
        pending: Some(Pending::Create),
        rename_from: None,
        oid: None,
        created_at: now,
        updated_at: now,
    };
    let new = row.clone();
    let operation = control
        .change(&place, move |db| {
            let all = roles::all(db, &new.branch_id)?;
            if all.iter().any(|role| role.name == new.name) {
                return Ok(Err(Error::taken("role", "role-exists", &new.name)));
            }
            if all.len() >= MAX_ROLES {
                return Ok(Err(Error::new(
                    Kind::Limit,
                    "too-many-roles",
                    format!("a branch has at most {MAX_ROLES} roles"),
                )));
            }
            roles::put(db, &new)?;
            Ok(Ok(Change { role: Some(new.name), ..Change::default() }))
        })
        .await?;
    let reply =
        RoleChanged { role: shape::role(row, password), operations: vec![shape::operation(operation)] };
    Ok((StatusCode::CREATED, Json(reply)))
}

/// `POST …/roles/{role_name}/reset_password`. The old password ends with the reply.
pub(super) async fn reset(
    State(control): State<Control>,
    Path((project, branch, role)): RolePath,
) -> Result<Json<RoleChanged>, Error> {
    let place = control.branch(&project, &branch)?;
    let password = Secret::new(defaults::password());
    let verifier = verifier_of(password.expose());
    let sealed = control.foundation.secrets.seal(&place.branch.id, &role, password.expose());
    let (branch_id, wanted) = (place.branch.id.clone(), role.clone());
    let operation = control
        .change(&place, move |db| {
            let before = match find::role(roles::get(db, &branch_id, &wanted)?, &wanted) {
                Ok(role) => role,
                Err(error) => return Ok(Err(error)),
            };
            let mut after = before.clone();
            (after.verifier, after.sealed_password) = (Some(verifier), Some(sealed));
            (after.can_login, after.valid_until) = (true, None);
            after.pending = before.pending.or(Some(Pending::Alter));
            after.updated_at = clock::now();
            roles::put(db, &after)?;
            Ok(Ok(Change { role: Some(wanted), role_before: Some(before), ..Change::default() }))
        })
        .await?;
    let row = control.role(&place.branch, &role)?;
    Ok(Json(RoleChanged {
        role: shape::role(row, Some(password)),
        operations: vec![shape::operation(operation)],
    }))
}

/// `DELETE …/roles/{role_name}`. What it owns goes to the branch's owner.
pub(super) async fn delete(
    State(control): State<Control>,
    Path((project, branch, role)): RolePath,
) -> Result<Json<RoleChanged>, Error> {
    let place = control.branch(&project, &branch)?;
    control.refresh(&place).await?;
    let row = control.role(&place.branch, &role)?;
    let (owner, wanted) = (place.branch.owner.clone(), row.clone());
    let operation = control
        .change(&place, move |db| {
            let before = match find::role(roles::get(db, &wanted.branch_id, &wanted.name)?, &wanted.name) {
                Ok(role) => role,
                Err(error) => return Ok(Err(error)),
            };
            if before.protected {
                let message = format!("role `{}` owns this branch and cannot be deleted", before.name);
                return Ok(Err(Error::new(Kind::Conflict, "role-protected", message)));
            }
            for database in
                databases::all(db, &before.branch_id)?.into_iter().filter(|d| d.owner == before.name)
            {
                databases::put(db, &Database { owner: owner.clone(), ..database })?;
            }
            let after = Role { pending: Some(Pending::Drop), updated_at: clock::now(), ..before.clone() };
            roles::put(db, &after)?;
            // Dropping locks the role first; taking that back means writing it again.
            let undo = Role { pending: before.pending.or(Some(Pending::Alter)), ..before };
            Ok(Ok(Change { role: Some(undo.name.clone()), role_before: Some(undo), ..Change::default() }))
        })
        .await?;
    Ok(Json(RoleChanged { role: shape::role(row, None), operations: vec![shape::operation(operation)] }))
}
