//! `dormouse branch create`.

use dormouse_api::branch::{CreateBranch, CreatedBranch, NewBranch, NewBranchEndpoint};
use dormouse_api::client;
use dormouse_api::endpoint::{EndpointType, NewEndpointLimits};
use dormouse_base::Timestamp;

use crate::args::{InProject, name};
use crate::commands::Context;
use crate::connect::http::Session;
use crate::error::Error;
use crate::moment::{self, Moment};
use crate::resolve;
use crate::ui::Table;

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// Its name [default: two random words].
    #[arg(value_name = "NAME", value_parser = name)]
    name: Option<String>,

    /// The branch that it is made from, by ID or name [default: the default branch].
    #[arg(long, value_name = "BRANCH", value_parser = name)]
    parent: Option<String>,

    /// The point of its parent's history: an LSN, a time, or a past such as -5m [default: now].
    #[arg(long, value_name = "LSN|TIME", allow_hyphen_values = true)]
    at: Option<Moment>,

    /// Make no endpoint, so that nobody can connect yet.
    #[arg(long)]
    no_endpoint: bool,

    /// Remove it by itself after this time, such as 2h; at most 30d.
    #[arg(long, value_name = "TIME", value_parser = moment::from_now, conflicts_with = "expires_at")]
    expires_in: Option<Timestamp>,

    /// Remove it by itself at this moment, such as 2026-01-02T03:04:05Z.
    #[arg(long, value_name = "TIME")]
    expires_at: Option<Timestamp>,

    /// Protect it from being deleted, reset or restored.
    #[arg(long)]
    protected: bool,

    #[command(flatten)]
    of: InProject,
}

pub(super) async fn run(args: Create, session: &Session, cx: &Context) -> Result<(), Error> {
    let (project, parent_id) = match &args.parent {
        Some(parent) => {
            let place = resolve::branch(session, args.of.project.as_deref(), Some(parent)).await?;
            (place.project, Some(place.branch.id))
        }
        None => (resolve::project(session, args.of.project.as_deref()).await?, None),
    };
    let branch = NewBranch {
        name: args.name,
        parent_id,
        parent_lsn: args.at.and_then(Moment::lsn),
        parent_timestamp: args.at.and_then(Moment::time),
        protected: args.protected.then_some(true),
        expires_at: args.expires_in.or(args.expires_at),
        init_source: None,
    };
    let writer = NewBranchEndpoint { kind: EndpointType::ReadWrite, limits: NewEndpointLimits::default() };
    let endpoints = if args.no_endpoint { Vec::new() } else { vec![writer] };
    let progress = cx.ui.progress("Making the branch");
    let created =
        session.call(client::branch::create(&project.id, &CreateBranch { branch, endpoints })).await?;
    drop(progress);
    cx.ui.show(&created, table)
}

fn table(created: &CreatedBranch) -> Table {
    let branch = &created.branch;
    let connection = created.connection_uris.first();
    Table::fields([
        ("Branch", format!("{} ({})", branch.name, branch.id)),
        ("Parent", branch.parent_id.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("At", branch.parent_lsn.map(|lsn| lsn.to_string()).unwrap_or_default()),
        ("Endpoint", created.endpoints.first().map(|endpoint| endpoint.id.to_string()).unwrap_or_default()),
        ("Connect", connection.map(|uri| uri.connection_uri.expose().clone()).unwrap_or_default()),
    ])
}
