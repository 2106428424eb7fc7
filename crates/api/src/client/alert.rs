//! Calls about alerts, their rules, and who is told of them.

use super::Call;
use crate::alert::{
    Alerts, AlertsQuery, CreateRule, CreateWebhook, RuleReply, RuleTested, Rules, UpdateRule, WebhookCreated,
    WebhookReply, WebhookTested, Webhooks,
};
use crate::routes::{self, Method};

/// What alerts say, and what changed.
pub fn list(query: &AlertsQuery) -> Call<Alerts> {
    Call::new(Method::Get, routes::ALERTS, &[])
        .with_query("project_id", query.project_id.as_deref())
        .with_query("state", query.state)
        .with_query("limit", query.limit)
}

/// All rules.
pub fn rules() -> Call<Rules> {
    Call::new(Method::Get, routes::ALERT_RULES, &[])
}

/// One rule.
pub fn rule(rule: &str) -> Call<RuleReply> {
    Call::new(Method::Get, routes::ALERT_RULE, &[rule])
}

/// Makes a rule.
pub fn create_rule(request: &CreateRule) -> Call<RuleReply> {
    Call::new(Method::Post, routes::ALERT_RULES, &[]).with_body(request)
}

/// Changes a rule.
pub fn update_rule(rule: &str, request: &UpdateRule) -> Call<RuleReply> {
    Call::new(Method::Patch, routes::ALERT_RULE, &[rule]).with_body(request)
}

/// Removes a rule; one of the server's own is as at the start again.
pub fn delete_rule(rule: &str) -> Call<RuleReply> {
    Call::new(Method::Delete, routes::ALERT_RULE, &[rule])
}

/// What a rule says now; webhooks get a notice that is marked as a test.
pub fn test_rule(rule: &str) -> Call<RuleTested> {
    Call::new(Method::Post, routes::ALERT_RULE_TEST, &[rule])
}

/// Who is told.
pub fn webhooks() -> Call<Webhooks> {
    Call::new(Method::Get, routes::ALERT_WEBHOOKS, &[])
}

/// Tells somebody more; the reply is the only place that shows the secret.
pub fn create_webhook(request: &CreateWebhook) -> Call<WebhookCreated> {
    Call::new(Method::Post, routes::ALERT_WEBHOOKS, &[]).with_body(request)
}

/// Tells somebody no more.
pub fn delete_webhook(webhook: &str) -> Call<WebhookReply> {
    Call::new(Method::Delete, routes::ALERT_WEBHOOK, &[webhook])
}

/// Sends a notice that is marked as a test.
pub fn test_webhook(webhook: &str) -> Call<WebhookTested> {
    Call::new(Method::Post, routes::ALERT_WEBHOOK_TEST, &[webhook])
}
