//! `dormouse snapshot …`: the data of a branch at one point, kept until somebody deletes it.

use dormouse_api::snapshot::{CreateSnapshotQuery, RestoreSnapshot};
use dormouse_api::{Snapshot as Resource, client};
use dormouse_base::{ProjectId, Timestamp};

use super::Context;
use crate::args::{Consent, InProject, name};
use crate::connect::http::Session;
use crate::error::Error;
use crate::moment::{self, Moment};
use crate::resolve;
use crate::ui::{Table, time};

/// Keep, restore and remove snapshots of branches
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Snapshot {
    /// List the snapshots of a project
    List(List),
    /// Keep the data that a branch has now, or had, as a snapshot
    Create(Create),
    /// Make a branch with the data of a snapshot, or give the data to a branch that exists
    Restore(Restore),
    /// Remove a snapshot
    Delete(Delete),
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    of: InProject,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// Its name [default: the branch's name and the time].
    #[arg(value_parser = name)]
    name: Option<String>,

    /// The branch, by ID or name [default: the default branch].
    #[arg(long, value_name = "BRANCH", value_parser = name)]
    branch: Option<String>,

    /// The point of the branch's history: an LSN, a time, or a past such as -5m [default: now].
    #[arg(long, value_name = "LSN|TIME", allow_hyphen_values = true)]
    at: Option<Moment>,

    /// Remove it by itself after this time, such as 90d.
    #[arg(long, value_name = "TIME", value_parser = moment::from_now)]
    expires_in: Option<Timestamp>,

    #[command(flatten)]
    of: InProject,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Restore {
    /// The snapshot, by ID or name.
    #[arg(value_parser = name)]
    snapshot: String,

    /// The name of the new branch [default: made of the snapshot's].
    #[arg(long = "as", value_name = "NAME", value_parser = name, conflicts_with = "onto")]
    new: Option<String>,

    /// Give the data to this branch, by ID or name. What it had is kept as another branch.
    #[arg(long, value_name = "BRANCH", value_parser = name)]
    onto: Option<String>,

    #[command(flatten)]
    of: InProject,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Delete {
    /// The snapshot, by ID or name.
    #[arg(value_parser = name)]
    snapshot: String,

    #[command(flatten)]
    consent: Consent,

    #[command(flatten)]
    of: InProject,
}

pub(crate) async fn run(command: Snapshot, cx: &Context) -> Result<(), Error> {
    let session = cx.session()?;
    match command {
        Snapshot::List(args) => {
            let project = resolve::project(&session, args.of.project.as_deref()).await?;
            cx.ui.show(&session.call(client::snapshot::list(&project.id)).await?, |list| {
                table(&list.snapshots)
            })
        }
        Snapshot::Create(args) => create(args, &session, cx).await,
        Snapshot::Restore(args) => restore(args, &session, cx).await,
        Snapshot::Delete(args) => {
            let project = resolve::project(&session, args.of.project.as_deref()).await?.id;
            let found = find(&session, &project, &args.snapshot).await?;
            let question = format!("Snapshot `{}` ({}) will be gone.", found.name, found.id);
            cx.ui.confirm(&question, args.consent.yes)?;
            let done = session.call(client::snapshot::delete(&project, &found.id)).await?;
            cx.ui.show(&done, |_| Table::fields([("Deleted", format!("{} ({})", found.name, found.id))]))
        }
    }
}

async fn create(args: Create, session: &Session, cx: &Context) -> Result<(), Error> {
    let place = resolve::branch(session, args.of.project.as_deref(), args.branch.as_deref()).await?;
    let query = CreateSnapshotQuery {
        lsn: args.at.and_then(Moment::lsn),
        timestamp: args.at.and_then(Moment::time),
        name: args.name,
        expires_at: args.expires_in,
    };
    let progress = cx.ui.progress("Making the snapshot");
    let made = session.call(client::snapshot::create(&place.project.id, &place.branch.id, &query)).await?;
    drop(progress);
    cx.ui.show(&made, |made| table(std::slice::from_ref(&made.snapshot)))
}

async fn restore(args: Restore, session: &Session, cx: &Context) -> Result<(), Error> {
    let project = resolve::project(session, args.of.project.as_deref()).await?;
    let found = find(session, &project.id, &args.snapshot).await?;
    let onto = match &args.onto {
        Some(branch) => {
            Some(resolve::branch(session, Some(project.id.as_str()), Some(branch)).await?.branch.id)
        }
        None => None,
    };
    let request =
        RestoreSnapshot { name: args.new, finalize_restore: onto.is_some(), target_branch_id: onto };
    let progress = cx.ui.progress("Restoring");
    let done = session.call(client::snapshot::restore(&project.id, &found.id, &request)).await?;
    drop(progress);
    cx.ui.show(&done, |done| {
        Table::fields([
            ("Branch", format!("{} ({})", done.branch.name, done.branch.id)),
            ("From", found.name.clone()),
        ])
    })
}

async fn find(session: &Session, project: &ProjectId, given: &str) -> Result<Resource, Error> {
    let all = session.call(client::snapshot::list(project)).await?.snapshots;
    choose(all, given)
}

fn choose(all: Vec<Resource>, given: &str) -> Result<Resource, Error> {
    if let Some(found) = all.iter().find(|snapshot| snapshot.id == given) {
        return Ok(found.clone());
    }
    let mut named: Vec<Resource> = all.into_iter().filter(|snapshot| snapshot.name == given).collect();
    match (named.pop(), named.len()) {
        (Some(only), 0) => Ok(only),
        (Some(_), others) => Err(Error::usage(format!("{} snapshots are named `{given}`", others + 1))
            .hint("Use the ID from `dormouse snapshot list`.")),
        (None, _) => Err(Error::not_found(format!("there is no snapshot `{given}`"))
            .hint("List them with `dormouse snapshot list`.")),
    }
}

fn table(snapshots: &[Resource]) -> Table {
    let mut table = Table::list(&["ID", "NAME", "BRANCH", "LSN", "DATA OF", "CREATED", "EXPIRES"]);
    for snapshot in snapshots {
        table.row([
            snapshot.id.clone(),
            snapshot.name.clone(),
            snapshot.source_branch_id.to_string(),
            snapshot.lsn.to_string(),
            time(snapshot.timestamp),
            time(Some(snapshot.created_at)),
            time(snapshot.expires_at),
        ]);
    }
    table
}
