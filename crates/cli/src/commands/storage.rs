//! `dormouse storage`: where the store is, and what is on the server only.

use dormouse_api::client;
use dormouse_api::storage::{HydrationProgress, StorageEndpoint, StorageStatus};

use super::Context;
use crate::error::Error;
use crate::ui::{Table, bytes};

/// Show the object store, and how far each endpoint's data is in it
#[derive(Debug, clap::Args)]
pub(crate) struct Storage {}

pub(crate) async fn run(_: &Storage, cx: &Context) -> Result<(), Error> {
    let status = cx.session()?.call(client::storage::status()).await?;
    cx.ui.note(&head(&status));
    cx.ui.show(&status, table)
}

fn head(status: &StorageStatus) -> String {
    let alone = if status.arbitrates { "" } else { "; it cannot arbitrate: only this server may use it" };
    format!("Store {}, format {}{alone}", status.url, status.format)
}

fn table(status: &StorageStatus) -> Table {
    let header = ["ENDPOINT", "BRANCH", "EPOCH", "STORED UP TO", "LAG", "SNAPSHOT", "FILLED", "STATE"];
    let mut table = Table::list(&header);
    for endpoint in &status.endpoints {
        let text = |value: Option<String>| value.unwrap_or_default();
        table.row([
            endpoint.id.to_string(),
            endpoint.branch.clone().unwrap_or_else(|| endpoint.branch_id.to_string()),
            text(endpoint.epoch.map(|epoch| epoch.0.to_string())),
            text(endpoint.filed.map(|lsn| lsn.to_string())),
            lag(endpoint),
            text(endpoint.snapshot_lsn.map(|lsn| lsn.to_string())),
            filled(endpoint.hydration),
            state(endpoint),
        ]);
    }
    table
}

fn lag(endpoint: &StorageEndpoint) -> String {
    match (endpoint.filed, endpoint.lag_bytes) {
        (None, _) => String::new(),
        (Some(_), 0) => "none".to_owned(),
        (Some(_), lag) => format!("{}, {:.0}s", bytes(lag), endpoint.lag_seconds),
    }
}

/// Rounded down: 100 % would mean that nothing is missing.
fn filled(progress: Option<HydrationProgress>) -> String {
    let Some(HydrationProgress { chunks, absent }) = progress else { return "all".to_owned() };
    let percent = chunks.saturating_sub(absent).saturating_mul(100).checked_div(chunks).unwrap_or(0);
    format!("{percent}%")
}

fn state(endpoint: &StorageEndpoint) -> String {
    let problem = endpoint.problem.as_ref().map(|problem| format!(": {problem}")).unwrap_or_default();
    match &endpoint.alarm {
        Some(alarm) => format!("ALARM: {alarm}{problem}"),
        None if endpoint.busy => "busy".to_owned(),
        None if endpoint.read_only => "reads only".to_owned(),
        None if !problem.is_empty() => format!("trouble{problem}"),
        None => "ok".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_eyes_stands_out() {
        let quiet = StorageEndpoint {
            id: "ep-a".parse().unwrap(),
            project_id: "shop-x".parse().unwrap(),
            branch_id: "br-a".parse().unwrap(),
            branch: Some("main".into()),
            read_only: false,
            epoch: Some(dormouse_base::Epoch(3)),
            filed: "0/3000000".parse().ok(),
            lag_bytes: 0,
            lag_seconds: 0.0,
            alarm: None,
            problem: None,
            snapshot_lsn: "0/2000000".parse().ok(),
            hydration: None,
            busy: false,
        };
        let loud = StorageEndpoint {
            id: "ep-b".parse().unwrap(),
            branch: None,
            lag_bytes: 1 << 30,
            lag_seconds: 90.0,
            alarm: Some("filing WAL lags behind".into()),
            problem: Some("the store is full".into()),
            hydration: Some(HydrationProgress { chunks: 1000, absent: 1 }),
            ..quiet.clone()
        };
        let status = StorageStatus {
            url: "file:///store".into(),
            format: 1,
            arbitrates: false,
            templates: Vec::new(),
            endpoints: vec![quiet, loud],
        };
        insta::assert_snapshot!(table(&status), @r"
        ENDPOINT  BRANCH  EPOCH  STORED UP TO  LAG           SNAPSHOT   FILLED  STATE
        ep-a      main    3      0/3000000     none          0/2000000  all     ok
        ep-b      br-a    3      0/3000000     1.0 GiB, 90s  0/2000000  99%     ALARM: filing WAL lags behind: the store is full
        ");
        assert!(head(&status).contains("only this server"));
    }
}
