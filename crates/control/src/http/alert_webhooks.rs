//! Who is told of alerts.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use dormouse_api::alert::{CreateWebhook, Webhook, WebhookCreated, WebhookReply, WebhookTested, Webhooks};
use dormouse_base::{Kind, Secret, WebhookId, clock, rand};
use dormouse_statistics::webhook::{SECRET_PREFIX, check_url};

use super::audit::Made;
use super::error::Error;
use super::extract::Body;
use crate::alerts::notice;
use crate::control::Control;
use crate::db::webhooks;
use crate::model::name;
use crate::reconcile::notices;

/// The most webhooks of one server.
pub const MAX_WEBHOOKS: usize = 20;
/// Characters of a secret's random part (5.9 bits each).
const SECRET_LEN: usize = 40;

/// `GET /alerts/webhooks`.
pub(super) async fn list(State(control): State<Control>) -> Result<Json<Webhooks>, Error> {
    let rows = control.foundation.db.read("list webhooks", webhooks::all)?;
    let told = rows.iter().map(|row| control.show_webhook(row)).collect::<Result<_, _>>()?;
    Ok(Json(Webhooks { webhooks: told }))
}

/// `POST /alerts/webhooks`.
pub(super) async fn create(
    State(control): State<Control>,
    Body(wish): Body<CreateWebhook>,
) -> Result<(StatusCode, Extension<Made>, Json<WebhookCreated>), Error> {
    let url = check_url(&wish.url)
        .map_err(|error| Error::new(Kind::Invalid, "bad-webhook-url", error.to_string()))?;
    let shown = wish.name.unwrap_or_else(|| url.host_str().unwrap_or_default().to_owned());
    name::label("webhook", &shown)?;
    let foundation = &control.foundation;
    if foundation.db.read("list webhooks", webhooks::all)?.len() >= MAX_WEBHOOKS {
        let message =
            format!("this server has {MAX_WEBHOOKS} webhooks, which is its limit: delete one first");
        return Err(Error::new(Kind::Limit, "too-many-webhooks", message));
    }
    let id = WebhookId::generate();
    let secret = Secret::new(format!("{SECRET_PREFIX}{}", rand::token(SECRET_LEN)));
    let sealed = foundation.secrets.seal_named(notices::WHAT, id.as_str(), secret.expose());
    let row = webhooks::Webhook { id, name: shown, url: url.to_string(), sealed, created_at: clock::now() };
    let stored = row.clone();
    foundation.db.write("add a webhook", move |db| webhooks::insert(db, &stored)).await?;
    let made = Extension(Made { project: None, name: row.id.to_string() });
    let webhook = control.show_webhook(&row)?;
    Ok((StatusCode::CREATED, made, Json(WebhookCreated { webhook, secret })))
}

/// `DELETE /alerts/webhooks/{webhook_id}`.
pub(super) async fn delete(
    State(control): State<Control>,
    Path(webhook): Path<String>,
) -> Result<Json<WebhookReply>, Error> {
    let row = control.webhook(&webhook)?;
    let told = control.show_webhook(&row)?;
    control.foundation.db.write("remove a webhook", move |db| webhooks::delete(db, &row.id)).await?;
    Ok(Json(WebhookReply { webhook: told }))
}

/// `POST /alerts/webhooks/{webhook_id}/test`.
pub(super) async fn test(
    State(control): State<Control>,
    Path(webhook): Path<String>,
) -> Result<Json<WebhookTested>, Error> {
    let row = control.webhook(&webhook)?;
    let id = notice::id();
    let body = notice::of_test(&id, clock::now(), None).to_string();
    let delivery = notices::once(&control, &row, &id, body).await?;
    // Somebody may have removed it while it was tried.
    let delivery = delivery.ok_or_else(|| missing(&webhook))?;
    Ok(Json(WebhookTested { delivery }))
}

fn missing(id: &str) -> Error {
    Error::not_found("webhook", "webhook-not-found", id)
}

impl Control {
    /// The webhook that a path names.
    fn webhook(&self, id: &str) -> Result<webhooks::Webhook, Error> {
        let rows = self.foundation.db.read("list webhooks", webhooks::all)?;
        rows.into_iter().find(|row| row.id.as_str() == id).ok_or_else(|| missing(id))
    }

    fn show_webhook(&self, row: &webhooks::Webhook) -> Result<Webhook, Error> {
        let db = &self.foundation.db;
        let (last_delivery, pending) =
            db.read("read the notices of a webhook", |db| webhooks::standing(db, &row.id))?;
        Ok(Webhook {
            id: row.id.clone(),
            name: row.name.clone(),
            url: row.url.clone(),
            created_at: row.created_at,
            pending,
            last_delivery,
        })
    }
}
