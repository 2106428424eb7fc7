//! `dormouse endpoint events`: what happened to an endpoint.

use dormouse_api::event::EventsQuery;
use dormouse_api::{EndpointEvent, client, page};
use serde_json::Value;

use super::Which;
use crate::commands::Context;
use crate::connect::http::Session;
use crate::error::Error;
use crate::ui::{Table, time};

/// The longest detail in a table cell, characters; JSON has all of it.
const MAX_DETAIL: usize = 100;

/// The lines of PostgreSQL's log that are shown below a failure; JSON has more.
const MAX_LOG_LINES: usize = 5;

#[derive(Debug, clap::Args)]
pub(crate) struct Events {
    #[command(flatten)]
    which: Which,

    /// The most events to show.
    #[arg(long, value_name = "COUNT", default_value_t = 20,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(page::MAX_LIMIT)))]
    limit: u32,
}

pub(super) async fn run(args: &Events, session: &Session, cx: &Context) -> Result<(), Error> {
    let endpoint = args.which.find(session).await?;
    let query = EventsQuery { limit: Some(args.limit) };
    let list = session.call(client::endpoint::events(&endpoint.project_id, &endpoint.id, &query)).await?;
    cx.ui.show(&list, |list| {
        let mut table = Table::list(&["TIME", "EVENT", "DETAIL"]);
        for event in &list.events {
            let cell = [vec![detail(event)], log_tail(event)].concat().join("\n");
            table.row([time(Some(event.at)), event.kind.clone(), cell]);
        }
        table
    })
}

/// `cause=client total=14.2ms`, `message=…`: the short form of an event's detail.
fn detail(event: &EndpointEvent) -> String {
    let parts = event.detail.iter().filter_map(|(name, value)| match value {
        Value::Null => None,
        Value::Object(phases) => Some(format!("{name}={}", sum_of_phases(phases)?)),
        Value::Array(_) => None,
        Value::String(text) => Some(format!("{name}={}", text.lines().next().unwrap_or_default())),
        Value::Number(us) if name.ends_with("_us") => {
            Some(format!("{}={}", name.trim_end_matches("_us"), milliseconds(us.as_f64()?)))
        }
        other => Some(format!("{name}={other}")),
    });
    shortened(&parts.collect::<Vec<_>>().join(" "))
}

/// Why PostgreSQL failed stands in the last lines of its log.
fn log_tail(event: &EndpointEvent) -> Vec<String> {
    let Some(Value::Array(lines)) = event.detail.get("log_tail") else { return Vec::new() };
    let shown = &lines[lines.len().saturating_sub(MAX_LOG_LINES)..];
    shown
        .iter()
        .filter_map(Value::as_str)
        .map(|line| format!("  {}", shortened(without_time(line))))
        .collect()
}

/// A log line from its severity on: the event has a time of its own.
fn without_time(line: &str) -> &str {
    line.split_once("] ").map_or(line, |(_, rest)| rest)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_DETAIL) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn sum_of_phases(phases: &serde_json::Map<String, Value>) -> Option<String> {
    let us: Vec<f64> =
        phases.iter().filter(|(name, _)| name.ends_with("_us")).filter_map(|(_, us)| us.as_f64()).collect();
    (!us.is_empty()).then(|| milliseconds(us.iter().sum()))
}

fn milliseconds(us: f64) -> String {
    format!("{:.1}ms", us / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(detail_json: &Value) -> String {
        let event = EndpointEvent {
            id: 1,
            at: "2026-01-02T03:04:05Z".parse().unwrap(),
            kind: "woke".into(),
            detail: detail_json.as_object().unwrap().clone(),
        };
        detail(&event)
    }

    #[test]
    fn a_failure_shows_the_end_of_the_log() {
        let lines: Vec<String> =
            (0..9).map(|n| format!("2026-01-02 03:04:05 UTC [7] FATAL:  no {n}")).collect();
        let event = EndpointEvent {
            id: 1,
            at: "2026-01-02T03:04:05Z".parse().unwrap(),
            kind: "start_failed".into(),
            detail: serde_json::json!({ "log_tail": lines }).as_object().unwrap().clone(),
        };
        let shown = log_tail(&event);
        assert_eq!((shown.len(), shown[4].as_str()), (MAX_LOG_LINES, "  FATAL:  no 8"));
    }

    #[test]
    fn details_are_short() {
        let woke = serde_json::json!({"cause": "client", "phases": {"spawn_us": 1500, "ready_us": 12000}});
        assert_eq!(shown(&woke), "cause=client phases=13.5ms");
        let failed = serde_json::json!({"message": "no\nmore", "log_tail": ["a"], "retry_in_ms": 500});
        assert_eq!(shown(&failed), "message=no retry_in_ms=500");
        assert_eq!(shown(&serde_json::json!({"thaw_us": 400})), "thaw=0.4ms");
        assert_eq!(shown(&serde_json::json!({"message": "ä".repeat(300)})).chars().count(), MAX_DETAIL + 1);
    }
}
