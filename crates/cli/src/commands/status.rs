//! `dormouse status`: every endpoint and what it is doing.

use dormouse_api::{Status as Reply, client};

use super::Context;
use crate::error::Error;
use crate::ui::Table;

/// Show the server's endpoints and what they are doing
#[derive(Debug, clap::Args)]
pub(crate) struct Status {}

pub(crate) async fn run(_: &Status, cx: &Context) -> Result<(), Error> {
    let status = cx.session()?.call(client::server::status()).await?;
    cx.ui.show(&status, table)
}

fn table(status: &Reply) -> Table {
    let mut table = Table::list(&["ENDPOINT", "PROJECT", "BRANCH", "STATE", "PID", "PG", "HOST"]);
    for endpoint in &status.endpoints {
        table.row([
            endpoint.id.to_string(),
            endpoint.project_id.to_string(),
            endpoint.branch.clone(),
            endpoint.state.name().to_owned(),
            endpoint.pid.map(|pid| pid.to_string()).unwrap_or_default(),
            endpoint.pg_version.to_string(),
            endpoint.host.clone(),
        ]);
    }
    table
}
