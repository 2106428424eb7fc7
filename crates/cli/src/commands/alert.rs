//! `dormouse alert …`: what alerts say, their rules, and who is told. Rules are in `alert/rule.rs`, webhooks in
//! `alert/webhook.rs`.

use dormouse_api::alert::{Alerts, AlertsQuery, Delivery, DeliveryState, Scope};
use dormouse_api::client;

use super::Context;
use super::statistics::figure;
use crate::args::name;
use crate::error::Error;
use crate::resolve;
use crate::ui::{Table, time};

mod rule;
mod webhook;

/// Show what alerts say; change their rules, and who is told
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Alert {
    /// List alerts, the worst first
    List(List),
    /// List what changed, newest first
    History(History),
    /// List the rules
    Rules,
    /// Make, change, remove and try rules
    #[command(subcommand)]
    Rule(rule::Rule),
    /// Say who is told of changes
    #[command(subcommand)]
    Webhook(webhook::Webhook),
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Also those that are as they should be.
    #[arg(long)]
    all: bool,

    /// Only of this project, by ID or name.
    #[arg(long, value_name = "PROJECT", value_parser = name)]
    project: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct History {
    /// How many changes.
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=400))]
    limit: u32,

    /// Only of this project, by ID or name.
    #[arg(long, value_name = "PROJECT", value_parser = name)]
    project: Option<String>,
}

pub(crate) async fn run(command: Alert, cx: &Context) -> Result<(), Error> {
    match command {
        Alert::List(args) => list(args, cx).await,
        Alert::History(args) => history(args, cx).await,
        Alert::Rules => rule::list(cx).await,
        Alert::Rule(command) => rule::run(command, cx).await,
        Alert::Webhook(command) => webhook::run(command, cx).await,
    }
}

async fn ask(project: Option<String>, limit: Option<u32>, cx: &Context) -> Result<Alerts, Error> {
    let session = cx.session()?;
    let project_id = match project {
        Some(project) => Some(resolve::project(&session, Some(&project)).await?.id.to_string()),
        None => None,
    };
    session.call(client::alert::list(&AlertsQuery { project_id, state: None, limit })).await
}

async fn list(args: List, cx: &Context) -> Result<(), Error> {
    use dormouse_api::alert::AlertState;
    let mut all = ask(args.project, None, cx).await?;
    if !args.all {
        all.alerts.retain(|alert| alert.state > AlertState::Ok);
    }
    if all.alerts.is_empty() {
        cx.ui.note("All is as it should be.");
    }
    cx.ui.show(&all, |all| {
        let mut table = Table::list(&["STATE", "NAME", "OF", "VALUE", "THRESHOLD", "SINCE", "RULE"]);
        for alert in &all.alerts {
            let shown = |value: Option<f64>| value.map(|it| figure(alert.unit, it)).unwrap_or_default();
            table.row([
                alert.state.to_string(),
                alert.name.clone(),
                of(&alert.scope),
                shown(alert.value),
                shown(alert.threshold),
                time(Some(alert.since)),
                alert.rule_id.to_string(),
            ]);
        }
        table
    })
}

async fn history(args: History, cx: &Context) -> Result<(), Error> {
    let all = ask(args.project, Some(args.limit), cx).await?;
    cx.ui.show(&all, |all| {
        let mut table = Table::list(&["TIME", "NAME", "OF", "FROM", "TO", "VALUE"]);
        for change in &all.history {
            table.row([
                time(Some(change.at)),
                change.name.clone(),
                of(&change.scope),
                change.from.to_string(),
                change.to.to_string(),
                change.value.map(|it| figure(change.metric.unit(), it)).unwrap_or_default(),
            ]);
        }
        table
    })
}

/// Whom something is about.
fn of(scope: &Scope) -> String {
    match (&scope.endpoint_id, &scope.project_id) {
        (Some(endpoint), _) => endpoint.to_string(),
        (None, Some(project)) => format!("project {project}"),
        (None, None) => "server".to_owned(),
    }
}

fn state(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Pending => "pending",
        DeliveryState::Delivered => "delivered",
        DeliveryState::Failed => "failed",
    }
}

fn deliveries(all: &[Delivery]) -> Table {
    let mut table = Table::list(&["WEBHOOK", "STATE", "STATUS", "WHY"]);
    for it in all {
        table.row([
            it.webhook_id.to_string(),
            state(it.state).to_owned(),
            it.status.map(|status| status.to_string()).unwrap_or_default(),
            it.error.clone().unwrap_or_default(),
        ]);
    }
    table
}
