//! `dormouse branch delete`.

use dormouse_api::branch::DeleteBranchQuery;
use dormouse_api::client;

use super::Which;
use crate::args::Consent;
use crate::commands::Context;
use crate::connect::http::Session;
use crate::error::Error;

#[derive(Debug, clap::Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    which: Which,

    /// Remove the branches below it as well.
    #[arg(long)]
    recursive: bool,

    #[command(flatten)]
    consent: Consent,
}

pub(super) async fn run(args: &Delete, session: &Session, cx: &Context) -> Result<(), Error> {
    let place = args.which.find(session).await?;
    let below = if args.recursive { ", the branches below it," } else { "" };
    let question = format!(
        "Branch `{}` ({}){below} and all their data will be removed.",
        place.branch.name, place.branch.id
    );
    cx.ui.confirm(&question, args.consent.yes)?;
    let progress = cx.ui.progress("Removing the branch");
    let query = DeleteBranchQuery { recursive: args.recursive.then_some(true) };
    let deleted = session.call(client::branch::delete(&place.project.id, &place.branch.id, query)).await?;
    drop(progress);
    cx.ui.show(&deleted, |deleted| super::fields(&deleted.branch))
}
