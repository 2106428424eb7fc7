//! Table `audit`: who changed what, bounded by age and by number.

use dormouse_api::audit::{Actor, ActorKind, AuditEntry};
use dormouse_base::{ProjectId, Timestamp};
use jiff::SignedDuration;
use rusqlite::{Connection, Result, Row, params};

use super::column::{maybe_id, micros, time};

/// Entries that are kept; older ones go.
pub const KEPT: usize = 100_000;
/// How long entries are kept.
pub const KEPT_FOR: SignedDuration = SignedDuration::from_hours(90 * 24);

const COLUMNS: &str =
    "id, at, actor_kind, actor_id, actor_name, action, path, project_id, peer, status, error, request_id";

fn kind_name(kind: ActorKind) -> &'static str {
    match kind {
        ActorKind::ApiKey => "api_key",
        ActorKind::Oidc => "oidc",
    }
}

fn read(row: &Row<'_>) -> Result<AuditEntry> {
    let kind: String = row.get(2)?;
    Ok(AuditEntry {
        id: row.get(0)?,
        at: time(row, 1)?,
        actor: Actor {
            kind: if kind == kind_name(ActorKind::Oidc) { ActorKind::Oidc } else { ActorKind::ApiKey },
            id: row.get(3)?,
            name: row.get(4)?,
        },
        action: row.get(5)?,
        path: row.get(6)?,
        project_id: maybe_id(row, 7)?,
        from: row.get(8)?,
        status: row.get(9)?,
        error: row.get(10)?,
        request_id: row.get(11)?,
    })
}

/// Adds an entry; its `id` is chosen here.
pub fn insert(db: &Connection, entry: &AuditEntry) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO audit (at, actor_kind, actor_id, actor_name, action, path, project_id, peer, status, error, \
         request_id) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?
    .execute(params![
        micros(entry.at),
        kind_name(entry.actor.kind),
        entry.actor.id,
        entry.actor.name,
        entry.action,
        entry.path,
        entry.project_id.as_ref().map(ProjectId::as_str),
        entry.from,
        entry.status,
        entry.error,
        entry.request_id,
    ])?;
    Ok(())
}

/// Entries, newest first, older than the one with ID `before`; of one project when it is given.
pub fn list(
    db: &Connection,
    project: Option<&ProjectId>,
    before: Option<i64>,
    limit: usize,
) -> Result<Vec<AuditEntry>> {
    db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM audit WHERE (?1 IS NULL OR project_id = ?1) AND (?2 IS NULL OR id < ?2)
         ORDER BY id DESC LIMIT ?3"
    ))?
    .query_map(
        params![project.map(ProjectId::as_str), before, i64::try_from(limit).unwrap_or(i64::MAX)],
        read,
    )?
    .collect()
}

/// Forgets what is too old, or beyond [`KEPT`].
pub fn prune(db: &Connection, now: Timestamp) -> Result<usize> {
    let kept = i64::try_from(KEPT).unwrap_or(i64::MAX);
    db.execute(
        "DELETE FROM audit WHERE at < ?1 OR id <= (SELECT max(id) FROM audit) - ?2",
        params![micros(now - KEPT_FOR), kept],
    )
}
