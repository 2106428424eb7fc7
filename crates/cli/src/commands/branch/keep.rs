//! `dormouse branch expire` and `set-default`: how long a branch stays, and which one is meant.

use dormouse_api::branch::BranchPatch;
use dormouse_api::client;
use dormouse_base::Timestamp;

use super::Which;
use crate::commands::Context;
use crate::connect::http::Session;
use crate::error::Error;
use crate::moment;

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("when").required(true))]
pub(crate) struct Expire {
    #[command(flatten)]
    which: Which,

    /// Remove it after this time, such as 2h; at most 30d.
    #[arg(long = "in", value_name = "TIME", value_parser = moment::from_now, group = "when")]
    after: Option<Timestamp>,

    /// Remove it at this moment, such as 2026-01-02T03:04:05Z.
    #[arg(long, value_name = "TIME", group = "when")]
    at: Option<Timestamp>,

    /// Keep it until somebody removes it.
    #[arg(long, group = "when")]
    never: bool,
}

pub(super) async fn expire(args: &Expire, session: &Session, cx: &Context) -> Result<(), Error> {
    let at = if args.never { None } else { args.after.or(args.at) };
    let patch = BranchPatch { expires_at: Some(at), ..BranchPatch::default() };
    super::change(&args.which, patch, session, cx).await
}

pub(super) async fn set_default(which: &Which, session: &Session, cx: &Context) -> Result<(), Error> {
    let place = which.find(session).await?;
    let call = client::branch::set_default(&place.project.id, &place.branch.id);
    cx.ui.show(&session.call(call).await?, |changed| super::fields(&changed.branch))
}
