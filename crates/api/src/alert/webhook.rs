//! Webhooks: who is told when the state of an alert changes, and what became of each notice.

use dormouse_base::{Secret, Timestamp, WebhookId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sealed;

/// Who is told of changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Webhook {
    /// The webhook.
    pub id: WebhookId,
    /// For people.
    pub name: String,
    /// Where notices are posted to, without user and password.
    pub url: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Notices that wait for their first or next try.
    pub pending: u32,
    /// The last one that was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_delivery: Option<Delivery>,
}

/// How far a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It waits for its first or next try.
    Pending,
    /// The receiver said 2xx.
    Delivered,
    /// All tries failed, or there were too many others in line.
    Failed,
}

/// One notice to one webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Delivery {
    /// The same at every try: `Dormouse-Delivery`. Receivers tell a second one by it.
    pub id: String,
    /// The webhook.
    pub webhook_id: WebhookId,
    /// How far it is.
    pub state: DeliveryState,
    /// How often it was tried.
    pub attempts: u32,
    /// The last answer's HTTP status; absent when there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What went wrong at the last try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it was made, or tried last.
    pub at: Timestamp,
    /// When it is tried next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
}

/// `GET /alerts/webhooks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Webhooks {
    /// All of them.
    pub webhooks: Vec<Webhook>,
}

/// `POST /alerts/webhooks`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreateWebhook {
    /// For people; the host of the URL when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `https://…` or `http://…`.
    pub url: String,
}

/// `POST /alerts/webhooks`, the reply (201).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookCreated {
    /// The webhook.
    pub webhook: Webhook,
    /// What notices are signed with. It is not shown again.
    #[serde(with = "sealed::required")]
    #[schemars(with = "String")]
    pub secret: Secret<String>,
}

/// `DELETE /alerts/webhooks/{webhook_id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookReply {
    /// The webhook, as it was.
    pub webhook: Webhook,
}

/// `POST /alerts/webhooks/{webhook_id}/test`: a notice marked as a test, tried once, now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookTested {
    /// What came of it.
    pub delivery: Delivery,
}
