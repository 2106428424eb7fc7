//! `dormouse gc`: collects garbage now.

use dormouse_api::client;
use dormouse_api::storage::{CollectStorage, StorageCollected};

use super::Context;
use crate::error::Error;
use crate::timeout::Timeout;
use crate::ui::{Table, bytes};

/// Delete from the object store what no branch needs any more
///
/// The server does this by itself once an hour. What a branch stops needing waits for an hour before it
/// is deleted.
#[derive(Debug, clap::Args)]
pub(crate) struct Gc {
    /// Count what would be deleted, and change nothing.
    #[arg(long)]
    dry_run: bool,

    /// How old something must be to be deleted, such as 10m; at least 60s unless it is a dry run [default: 1h].
    #[arg(long, value_name = "TIME")]
    grace: Option<Timeout>,
}

pub(crate) async fn run(args: &Gc, cx: &Context) -> Result<(), Error> {
    let grace_seconds = match args.grace.map(|grace| u64::try_from(grace.0)) {
        None => None,
        Some(Ok(seconds)) => Some(seconds),
        Some(Err(_)) => return Err(Error::usage("`--grace` is a time, such as 10m")),
    };
    let request = CollectStorage { dry_run: args.dry_run, grace_seconds };
    let progress = cx.ui.progress("Looking for what nobody needs");
    let done = cx.session()?.call_patiently(client::storage::collect(&request)).await?;
    drop(progress);
    cx.ui.show(&done, table)
}

fn table(done: &StorageCollected) -> Table {
    let deleted = if done.dry_run { "Would delete" } else { "Deleted" };
    let mut table = Table::fields([
        (deleted, format!("{} objects, {}", done.deleted, bytes(done.deleted_bytes))),
        ("Too young", format!("{} objects", done.waiting)),
        ("Retired", format!("{} snapshots", done.retired)),
        ("Rewritten", format!("{} packs", done.rewritten)),
        ("Leftovers", format!("{} files", done.leftovers)),
    ]);
    for frozen in &done.frozen {
        table.row([format!("Left alone: {}", frozen.project_id), frozen.reason.clone()]);
    }
    if done.strange > 0 {
        table.row(["Not understood".into(), format!("{} objects; see the server's log", done.strange)]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_says_so() {
        let done = StorageCollected { dry_run: true, deleted: 2, deleted_bytes: 2048, ..Default::default() };
        insta::assert_snapshot!(table(&done), @r"
        Would delete  2 objects, 2.0 KiB
        Too young     0 objects
        Retired       0 snapshots
        Rewritten     0 packs
        Leftovers     0 files
        ");
    }
}
