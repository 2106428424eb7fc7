//! Tables `webhooks` and `deliveries`: who is told of alerts, and the notices that are on their way.
//!
//! A notice is a row until it was delivered or given up, so a restart goes on where it was. The last ones of each webhook stay,
//! to be looked at.

use dormouse_api::alert::{Delivery, DeliveryState};
use dormouse_base::{Timestamp, WebhookId};
use rusqlite::{Connection, OptionalExtension, Result, Row, params};

use super::column::{id, maybe_micros, maybe_time, micros, time};
use crate::alerts::send::Outcome;

/// Notices of one webhook that wait; the oldest give way.
pub const MAX_PENDING: usize = 500;
/// Notices of one webhook that are kept after their end.
pub const KEPT_DONE: usize = 50;

/// Who is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// The webhook.
    pub id: WebhookId,
    /// For people.
    pub name: String,
    /// Where to.
    pub url: String,
    /// The sealed secret.
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A notice that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The notice.
    pub id: String,
    /// To whom.
    pub webhook: WebhookId,
    /// What is said.
    pub body: String,
    /// Tries so far.
    pub attempts: u32,
}

fn read(row: &Row<'_>) -> Result<Webhook> {
    Ok(Webhook {
        id: id(row, 0)?,
        name: row.get(1)?,
        url: row.get(2)?,
        sealed: row.get(3)?,
        created_at: time(row, 4)?,
    })
}

fn state_name(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Pending => "pending",
        DeliveryState::Delivered => "delivered",
        DeliveryState::Failed => "failed",
    }
}

fn read_delivery(row: &Row<'_>) -> Result<Delivery> {
    let state = match row.get_ref(2)?.as_str()? {
        "pending" => DeliveryState::Pending,
        "delivered" => DeliveryState::Delivered,
        _ => DeliveryState::Failed,
    };
    Ok(Delivery {
        id: row.get(0)?,
        webhook_id: id(row, 1)?,
        state,
        attempts: row.get(3)?,
        status: row.get(4)?,
        error: row.get(5)?,
        at: time(row, 6)?,
        next_at: maybe_time(row, 7)?,
    })
}

const DELIVERY: &str = "id, webhook_id, state, attempts, status, error, at, next_at";

/// Adds a webhook.
pub fn insert(db: &Connection, webhook: &Webhook) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO webhooks (id, name, url, sealed, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        webhook.id.as_str(),
        webhook.name,
        webhook.url,
        webhook.sealed,
        micros(webhook.created_at)
    ])?;
    Ok(())
}

/// All of them, oldest first.
pub fn all(db: &Connection) -> Result<Vec<Webhook>> {
    db.prepare_cached("SELECT id, name, url, sealed, created_at FROM webhooks ORDER BY created_at, id")?
        .query_map([], read)?
        .collect()
}

/// Removes a webhook with its notices; tells whether it was there.
pub fn delete(db: &Connection, webhook: &WebhookId) -> Result<bool> {
    Ok(db.prepare_cached("DELETE FROM webhooks WHERE id = ?1")?.execute([webhook.as_str()])? > 0)
}

/// Puts a notice in line.
pub fn enqueue(db: &Connection, notice: &str, webhook: &WebhookId, body: &str, now: Timestamp) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO deliveries (id, webhook_id, body, state, attempts, at, next_at)
         VALUES (?1, ?2, ?3, 'pending', 0, ?4, ?4)",
    )?
    .execute(params![notice, webhook.as_str(), body, micros(now)])?;
    db.prepare_cached(
        "UPDATE deliveries SET state = 'failed', next_at = NULL, error = 'too many notices were in line'
         WHERE webhook_id = ?1 AND state = 'pending' AND rowid <= (SELECT rowid FROM deliveries
         WHERE webhook_id = ?1 AND state = 'pending' ORDER BY rowid DESC LIMIT 1 OFFSET ?2)",
    )?
    .execute(params![webhook.as_str(), i64::try_from(MAX_PENDING).unwrap_or(i64::MAX)])?;
    Ok(())
}

/// The notice that has been due for longest, of each webhook.
pub fn due(db: &Connection, now: Timestamp) -> Result<Vec<Due>> {
    db.prepare_cached(
        "SELECT id, webhook_id, body, attempts, min(rowid) FROM deliveries
         WHERE state = 'pending' AND next_at <= ?1 GROUP BY webhook_id",
    )?
    .query_map([micros(now)], |row| {
        Ok(Due { id: row.get(0)?, webhook: id(row, 1)?, body: row.get(2)?, attempts: row.get(3)? })
    })?
    .collect()
}

/// When the next notice is due.
pub fn next_due(db: &Connection) -> Result<Option<Timestamp>> {
    db.prepare_cached("SELECT min(next_at) FROM deliveries WHERE state = 'pending'")?
        .query_row([], |row| maybe_time(row, 0))
}

/// Keeps what came of a try: it is done, or tried again at `next`.
pub fn tried(
    db: &Connection,
    notice: &str,
    outcome: &Outcome,
    next: Option<Timestamp>,
    now: Timestamp,
) -> Result<()> {
    let state = match (outcome, next) {
        (Outcome::Delivered(_), _) => DeliveryState::Delivered,
        (_, Some(_)) => DeliveryState::Pending,
        (_, None) => DeliveryState::Failed,
    };
    db.prepare_cached(
        "UPDATE deliveries SET state = ?2, attempts = attempts + 1, status = ?3, error = ?4, at = ?5, next_at = ?6
         WHERE id = ?1",
    )?
    .execute(params![
        notice,
        state_name(state),
        outcome.status(),
        outcome.error(),
        micros(now),
        maybe_micros(next.filter(|_| state == DeliveryState::Pending))
    ])?;
    db.prepare_cached(
        "DELETE FROM deliveries WHERE state <> 'pending'
         AND webhook_id = (SELECT webhook_id FROM deliveries WHERE id = ?1)
         AND rowid <= (SELECT rowid FROM deliveries WHERE state <> 'pending'
         AND webhook_id = (SELECT webhook_id FROM deliveries WHERE id = ?1)
         ORDER BY rowid DESC LIMIT 1 OFFSET ?2)",
    )?
    .execute(params![notice, i64::try_from(KEPT_DONE).unwrap_or(i64::MAX)])?;
    Ok(())
}

/// One notice.
pub fn delivery(db: &Connection, notice: &str) -> Result<Option<Delivery>> {
    db.prepare_cached(&format!("SELECT {DELIVERY} FROM deliveries WHERE id = ?1"))?
        .query_row([notice], read_delivery)
        .optional()
}

/// The notice of a webhook that was tried last, and how many wait.
pub fn standing(db: &Connection, webhook: &WebhookId) -> Result<(Option<Delivery>, u32)> {
    let last = db
        .prepare_cached(&format!(
            "SELECT {DELIVERY} FROM deliveries WHERE webhook_id = ?1 AND attempts > 0
             ORDER BY at DESC, rowid DESC LIMIT 1"
        ))?
        .query_row([webhook.as_str()], read_delivery)
        .optional()?;
    let pending = db
        .prepare_cached("SELECT count(*) FROM deliveries WHERE webhook_id = ?1 AND state = 'pending'")?
        .query_row([webhook.as_str()], |row| row.get(0))?;
    Ok((last, pending))
}
