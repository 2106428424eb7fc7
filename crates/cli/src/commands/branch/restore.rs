//! `dormouse branch reset` and `dormouse branch restore`: the same request, from the parent's present or from
//! any past.

use dormouse_api::branch::RestoreBranch;
use dormouse_api::client;
use dormouse_base::BranchId;

use super::Which;
use crate::args::name;
use crate::commands::Context;
use crate::connect::http::Session;
use crate::error::Error;
use crate::moment::Moment;
use crate::resolve::{self, Place};

#[derive(Debug, clap::Args)]
pub(crate) struct Reset {
    #[command(flatten)]
    which: Which,

    /// The name under which its present data is kept [default: BRANCH_old_TIME].
    #[arg(long, value_name = "NAME", value_parser = name)]
    preserve_as: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    #[command(flatten)]
    which: Which,

    /// The branch that the data comes from, by ID or name [default: the branch itself].
    #[arg(long, value_name = "BRANCH", value_parser = name)]
    from: Option<String>,

    /// The point of that branch's history: an LSN, a time, or a past such as -5m.
    #[arg(long, value_name = "LSN|TIME", allow_hyphen_values = true, required_unless_present = "from")]
    at: Option<Moment>,

    /// The name under which its present data is kept [default: BRANCH_old_TIME].
    #[arg(long, value_name = "NAME", value_parser = name)]
    preserve_as: Option<String>,
}

pub(super) async fn reset(args: Reset, session: &Session, cx: &Context) -> Result<(), Error> {
    let place = args.which.find(session).await?;
    let Some(parent) = place.branch.parent_id.clone() else {
        return Err(Error::usage(format!("branch `{}` has no parent", place.branch.name))
            .hint("To go back in its own history use `dormouse branch restore --at TIME`."));
    };
    put(&place, parent, None, args.preserve_as, session, cx).await
}

pub(super) async fn restore(args: Restore, session: &Session, cx: &Context) -> Result<(), Error> {
    let place = args.which.find(session).await?;
    let source = match &args.from {
        Some(from) => resolve::branch(session, Some(place.project.id.as_str()), Some(from)).await?.branch.id,
        None => place.branch.id.clone(),
    };
    put(&place, source, args.at, args.preserve_as, session, cx).await
}

async fn put(
    place: &Place,
    source: BranchId,
    at: Option<Moment>,
    preserve_under_name: Option<String>,
    session: &Session,
    cx: &Context,
) -> Result<(), Error> {
    let request = RestoreBranch {
        source_branch_id: source,
        source_lsn: at.and_then(Moment::lsn),
        source_timestamp: at.and_then(Moment::time),
        preserve_under_name,
    };
    let progress = cx.ui.progress("Restoring the branch");
    let call = client::branch::restore(&place.project.id, &place.branch.id, &request);
    let restored = session.call(call).await?;
    drop(progress);
    cx.ui.show(&restored, |restored| super::fields(&restored.branch))?;
    cx.ui.note("What it had before is kept as a branch of its own: see `dormouse branch list`.");
    Ok(())
}
