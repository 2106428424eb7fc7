//! `notices`: posts notices to webhooks, one at a time to each, and tries again what was not delivered.

use std::sync::Arc;
use std::time::Duration;

use dormouse_api::alert::Delivery;
use dormouse_base::{Secret, clock, rand};
use dormouse_statistics::webhook::{MAX_ATTEMPTS, pause};
use futures_util::future::join_all;
use jiff::SignedDuration;

use super::{Reconciler, Report, Trouble};
use crate::alerts::send::{Outcome, Sender};
use crate::control::Control;
use crate::db::webhooks::{self, Due, Webhook};
use crate::db::{Db, DbError};
use crate::keeper::Keeper;
use crate::metrics::Metrics;
use crate::secrets::Secrets;

/// The longest pause between two looks, in case a clock jumps.
const PERIOD: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub struct Notices {
    db: Db,
    keeper: Keeper,
    secrets: Arc<Secrets>,
    metrics: Arc<Metrics>,
    sender: Option<Sender>,
}

/// The secret of a webhook; `None` when it was sealed with another machine key.
pub(crate) fn secret(secrets: &Secrets, webhook: &Webhook) -> Option<Secret<String>> {
    secrets.unseal_named(WHAT, webhook.id.as_str(), &webhook.sealed).ok()
}

/// For people.
const SEALED_ELSEWHERE: &str =
    "the webhook's secret was sealed with another machine key: delete the webhook and make it again";

/// What a webhook's secret is sealed as.
pub(crate) const WHAT: &str = "webhook";

impl Notices {
    pub(super) fn new(control: &Control) -> Self {
        let foundation = &control.foundation;
        Self {
            db: foundation.db.clone(),
            keeper: foundation.keeper(),
            secrets: Arc::clone(&foundation.secrets),
            metrics: Arc::clone(&foundation.metrics),
            sender: None,
        }
    }

    async fn one(&self, sender: &Sender, hooks: &[Webhook], due: Due) -> Result<bool, DbError> {
        let hook = hooks.iter().find(|hook| hook.id == due.webhook);
        let outcome = match hook.map(|hook| (hook, secret(&self.secrets, hook))) {
            Some((hook, Some(secret))) => sender.send(&hook.url, &secret, &due.id, &due.body).await,
            Some((_, None)) => Outcome::Unreachable(SEALED_ELSEWHERE.to_owned()),
            None => Outcome::Unreachable("the webhook is gone".to_owned()),
        };
        settle(&self.db, &self.metrics, &due, &outcome).await
    }
}

/// Keeps what came of a try. Tells whether it was delivered.
async fn settle(db: &Db, metrics: &Metrics, due: &Due, outcome: &Outcome) -> Result<bool, DbError> {
    let now = clock::now();
    let delivered = matches!(outcome, Outcome::Delivered(_));
    let attempts = due.attempts + 1;
    let again = !delivered && attempts < MAX_ATTEMPTS;
    let wait = SignedDuration::try_from(pause(attempts, rand::bytes::<1>()[0])).unwrap_or_default();
    let next = again.then(|| now + wait);
    metrics.notice(if delivered {
        "delivered"
    } else if again {
        "retried"
    } else {
        "failed"
    });
    if let Some(error) = outcome.error() {
        let (webhook, notice) = (&due.webhook, &due.id);
        tracing::warn!(%webhook, notice, attempts, again, error, "a webhook was not told");
    }
    let (id, outcome) = (due.id.clone(), outcome.clone());
    db.write("keep what came of a notice", move |db| webhooks::tried(db, &id, &outcome, next, now)).await?;
    Ok(delivered)
}

/// Posts a notice once, now; it is not tried again. Tells what came of it.
pub(crate) async fn once(
    control: &Control,
    webhook: &Webhook,
    notice: &str,
    body: String,
) -> Result<Option<Delivery>, DbError> {
    let foundation = &control.foundation;
    let outcome = match (Sender::new(), secret(&foundation.secrets, webhook)) {
        (Ok(sender), Some(secret)) => sender.send(&webhook.url, &secret, notice, &body).await,
        (Err(error), _) => Outcome::Unreachable(error.to_string()),
        (_, None) => Outcome::Unreachable(SEALED_ELSEWHERE.to_owned()),
    };
    foundation.metrics.notice(if matches!(outcome, Outcome::Delivered(_)) { "delivered" } else { "failed" });
    let (id, hook, now) = (notice.to_owned(), webhook.id.clone(), clock::now());
    let keep = foundation.db.write("keep a notice", move |db| {
        webhooks::enqueue(db, &id, &hook, &body, now)?;
        webhooks::tried(db, &id, &outcome, None, now)?;
        webhooks::delivery(db, &id)
    });
    keep.await
}

#[async_trait::async_trait]
impl Reconciler for Notices {
    fn name(&self) -> &'static str {
        "notices"
    }

    async fn signalled(&self) {
        self.keeper.signals().notices.notified().await;
    }

    async fn run(&mut self) -> Result<Report, Trouble> {
        let now = clock::now();
        let read = self.db.read("read notices", |db| Ok((webhooks::due(db, now)?, webhooks::next_due(db)?)));
        let (due, next) = read.map_err(Trouble::in_doing("read notices"))?;
        if due.is_empty() {
            let left = next.map(|at| Duration::try_from(at.duration_since(now)).unwrap_or_default());
            let next = left.unwrap_or(PERIOD).min(PERIOD);
            return Ok(Report { text: "nothing to tell".to_owned(), next });
        }
        let sender = match &self.sender {
            Some(sender) => sender.clone(),
            None => {
                let made = Sender::new().map_err(Trouble::in_doing("make the HTTP client"))?;
                self.sender.insert(made).clone()
            }
        };
        let hooks =
            self.db.read("list webhooks", webhooks::all).map_err(Trouble::in_doing("list webhooks"))?;
        let count = due.len();
        let tried = join_all(due.into_iter().map(|due| self.one(&sender, &hooks, due))).await;
        let tried = tried.into_iter().collect::<Result<Vec<bool>, _>>();
        let tried = tried.map_err(Trouble::in_doing("keep what came of notices"))?;
        let delivered = tried.into_iter().filter(|delivered| *delivered).count();
        Ok(Report { text: format!("{delivered} of {count} delivered"), next: Duration::ZERO })
    }
}
