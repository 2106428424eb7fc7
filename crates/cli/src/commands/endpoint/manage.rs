//! `dormouse endpoint create`, `delete`, `evict` and `set-aside`.

use dormouse_api::client;
use dormouse_api::endpoint::{CreateEndpoint, EndpointType, NewEndpoint, NewEndpointLimits};

use super::size::Size;
use super::{Which, done, fields};
use crate::args::{Consent, OnBranch};
use crate::commands::Context;
use crate::connect::http::Session;
use crate::error::Error;
use crate::moment::Moment;
use crate::resolve;
use crate::timeout::Timeout;

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    #[command(flatten)]
    on: OnBranch,

    /// Make one that only reads; a branch can have several.
    #[arg(long)]
    read_only: bool,

    /// Show the branch as it was at an LSN, a time, or a past such as -5m, for ever.
    #[arg(long, value_name = "LSN|TIME", allow_hyphen_values = true, requires = "read_only")]
    at: Option<Moment>,

    /// Idle time before it sleeps, such as 5m; 0 = the server's default, -1 = never.
    #[arg(long, value_name = "TIME", allow_negative_numbers = true)]
    suspend_timeout: Option<Timeout>,

    #[command(flatten)]
    size: Size,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    which: Which,

    #[command(flatten)]
    consent: Consent,
}

/// The next connection makes the directory from the store. What only the old one has, the last seconds of a database that
/// was busy at most, is not in the branch then; the old one is kept on the server, and the endpoint's events say where.
#[derive(Debug, clap::Args)]
pub(crate) struct SetAside {
    #[command(flatten)]
    which: Which,

    #[command(flatten)]
    consent: Consent,
}

pub(super) async fn create(args: &Create, session: &Session, cx: &Context) -> Result<(), Error> {
    let place = resolve::branch(session, args.on.of.project.as_deref(), args.on.branch.as_deref()).await?;
    let size = args.size.wishes();
    let endpoint = NewEndpoint {
        branch_id: place.branch.id,
        kind: if args.read_only { EndpointType::ReadOnly } else { EndpointType::ReadWrite },
        pinned_lsn: args.at.and_then(Moment::lsn),
        pinned_timestamp: args.at.and_then(Moment::time),
        limits: NewEndpointLimits {
            suspend_timeout_seconds: args.suspend_timeout.map(|timeout| timeout.0),
            autoscaling_limit_min_cu: size.min_cu,
            autoscaling_limit_max_cu: size.max_cu,
            keep_warm: size.keep_warm,
            prewarm: size.prewarm,
            ..NewEndpointLimits::default()
        },
    };
    let call = client::endpoint::create(&place.project.id, &CreateEndpoint { endpoint });
    cx.ui.show(&session.call(call).await?, |made| fields(&made.endpoint))
}

pub(super) async fn delete(args: &Delete, session: &Session, cx: &Context) -> Result<(), Error> {
    let endpoint = args.which.find(session).await?;
    let question = format!(
        "Endpoint {} will be removed: its connection string stops working. The data stays with its branch.",
        endpoint.id
    );
    cx.ui.confirm(&question, args.consent.yes)?;
    let progress = cx.ui.progress("Removing the endpoint");
    let gone = session.call(client::endpoint::delete(&endpoint.project_id, &endpoint.id)).await?;
    drop(progress);
    done(gone.endpoint, cx)
}

pub(super) async fn evict(which: &Which, session: &Session, cx: &Context) -> Result<(), Error> {
    let endpoint = which.find(session).await?;
    let progress = cx.ui.progress("Storing and removing local files");
    let evicted = session.call(client::endpoint::evict(&endpoint.project_id, &endpoint.id)).await?;
    drop(progress);
    done(evicted.endpoint, cx)
}

pub(super) async fn set_aside(args: &SetAside, session: &Session, cx: &Context) -> Result<(), Error> {
    let endpoint = args.which.find(session).await?;
    let question = format!(
        "The directory of endpoint {} will be made again from the store. What the store lacks of it will not be in the branch; \
         the old directory is kept.",
        endpoint.id
    );
    cx.ui.confirm(&question, args.consent.yes)?;
    let progress = cx.ui.progress("Moving local files aside");
    let call = client::endpoint::set_aside(&endpoint.project_id, &endpoint.id);
    let changed = session.call(call).await?;
    drop(progress);
    done(changed.endpoint, cx)
}
