//! `dormouse operation …`.

use dormouse_api::operation::OperationReply;
use dormouse_api::{Operation as Resource, PageQuery, client, page};
use dormouse_base::OperationId;

use super::Context;
use crate::args::InProject;
use crate::error::Error;
use crate::resolve;
use crate::ui::{Table, time};

/// Show what the server did and is doing
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Operation {
    /// List the operations of a project, newest first
    List(List),
    /// Show an operation
    Get(Get),
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// The most operations to list.
    #[arg(long, value_name = "COUNT", default_value_t = 50,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(page::MAX_LIMIT)))]
    limit: u32,

    #[command(flatten)]
    of: InProject,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// The operation's ID.
    operation: OperationId,

    #[command(flatten)]
    of: InProject,
}

pub(crate) async fn run(command: Operation, cx: &Context) -> Result<(), Error> {
    let session = cx.session()?;
    match command {
        Operation::List(args) => {
            let project = resolve::project(&session, args.of.project.as_deref()).await?;
            let query = PageQuery { limit: Some(args.limit), ..PageQuery::default() };
            let list = session.call(client::operation::list(&project.id, &query)).await?;
            cx.ui.show(&list, |list| table(&list.operations))
        }
        Operation::Get(args) => {
            let project = resolve::project(&session, args.of.project.as_deref()).await?;
            let reply = session.call(client::operation::get(&project.id, &args.operation)).await?;
            cx.ui.show(&reply, fields)
        }
    }
}

fn table(operations: &[Resource]) -> Table {
    let mut table = Table::list(&["ID", "ACTION", "STATUS", "TOOK", "CREATED", "ERROR"]);
    for operation in operations {
        table.row([
            operation.id.to_string(),
            operation.action.clone(),
            operation.status.name().into(),
            format!("{}ms", operation.total_duration_ms),
            time(Some(operation.created_at)),
            operation.error.clone().unwrap_or_default(),
        ]);
    }
    table
}

fn fields(reply: &OperationReply) -> Table {
    let operation = &reply.operation;
    Table::fields([
        ("ID", operation.id.to_string()),
        ("Action", operation.action.clone()),
        ("Status", operation.status.name().into()),
        ("Branch", operation.branch_id.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("Endpoint", operation.endpoint_id.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("Took", format!("{}ms", operation.total_duration_ms)),
        ("Failures", operation.failures_count.to_string()),
        ("Error", operation.error.clone().unwrap_or_default()),
        ("Next try", time(operation.retry_at)),
        ("Created", time(Some(operation.created_at))),
        ("Updated", time(Some(operation.updated_at))),
    ])
}
