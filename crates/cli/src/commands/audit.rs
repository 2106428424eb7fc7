//! `dormouse audit`: who changed what.

use dormouse_api::{Audit as Reply, AuditEntry, PageQuery, client};

use super::Context;
use crate::args::InProject;
use crate::error::Error;
use crate::resolve;
use crate::ui::{Table, time};

/// Show who changed what, when, from where, and how it ended; newest first
///
/// Also who was shown a password. What only reads is not recorded.
#[derive(Debug, clap::Args)]
pub(crate) struct Audit {
    /// How many entries.
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=400))]
    limit: u32,

    #[command(flatten)]
    of: InProject,
}

pub(crate) async fn run(args: &Audit, cx: &Context) -> Result<(), Error> {
    let session = cx.session()?;
    let page = PageQuery { limit: Some(args.limit), ..PageQuery::default() };
    let call = match &args.of.project {
        Some(project) => {
            client::audit::of_project(&resolve::project(&session, Some(project)).await?.id, &page)
        }
        None => client::audit::list(&page),
    };
    cx.ui.show(&session.call(call).await?, table)
}

fn table(audit: &Reply) -> Table {
    let mut table = Table::list(&["TIME", "WHO", "FROM", "WHAT", "TO", "RESULT"]);
    for entry in &audit.entries {
        table.row([
            time(Some(entry.at)),
            entry.actor.name.clone(),
            entry.from.clone().unwrap_or_default(),
            entry.action.clone(),
            entry.path.clone(),
            result(entry),
        ]);
    }
    table
}

fn result(entry: &AuditEntry) -> String {
    match (entry.status, &entry.error) {
        (None, _) => "not heard".to_owned(),
        (Some(status), None) => status.to_string(),
        (Some(status), Some(code)) => format!("{status} {code}"),
    }
}
