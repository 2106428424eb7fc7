//! `dormouse branch …`.

use dormouse_api::branch::{BranchPatch, BranchReply, BranchState, UpdateBranch};
use dormouse_api::{Branch as Resource, Branches, client};

use super::Context;
use crate::args::{InProject, name};
use crate::error::Error;
use crate::resolve;
use crate::ui::{Table, time};

/// List, show and rename branches
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Branch {
    /// List the branches of a project
    List(List),
    /// Show a branch
    Get(Get),
    /// Give a branch another name
    Rename(Rename),
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    of: InProject,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// The branch, by ID or name, or PROJECT/BRANCH [default: the default branch].
    #[arg(value_parser = name)]
    branch: Option<String>,

    #[command(flatten)]
    of: InProject,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Rename {
    /// The branch, by ID or name, or PROJECT/BRANCH.
    #[arg(value_parser = name)]
    branch: String,

    /// Its new name.
    #[arg(value_parser = name)]
    name: String,

    #[command(flatten)]
    of: InProject,
}

pub(crate) async fn run(command: Branch, cx: &Context) -> Result<(), Error> {
    match command {
        Branch::List(args) => list(&args, cx).await,
        Branch::Get(args) => get(&args, cx).await,
        Branch::Rename(args) => rename(args, cx).await,
    }
}

async fn list(args: &List, cx: &Context) -> Result<(), Error> {
    let session = cx.session()?;
    let project = resolve::project(&session, args.of.project.as_deref()).await?;
    let branches = resolve::all_branches(&session, &project).await?;
    let list = Branches { branches, annotations: std::collections::BTreeMap::new(), pagination: None };
    cx.ui.show(&list, |list| {
        let mut table = Table::list(&["ID", "NAME", "DEFAULT", "STATE", "CREATED"]);
        for branch in &list.branches {
            table.row([
                branch.id.to_string(),
                branch.name.clone(),
                if branch.default { "yes".into() } else { String::new() },
                state(branch.current_state).into(),
                time(Some(branch.created_at)),
            ]);
        }
        table
    })
}

async fn get(args: &Get, cx: &Context) -> Result<(), Error> {
    let place = resolve::branch(&cx.session()?, args.of.project.as_deref(), args.branch.as_deref()).await?;
    cx.ui.show(&BranchReply { branch: place.branch }, |reply| fields(&reply.branch))
}

async fn rename(args: Rename, cx: &Context) -> Result<(), Error> {
    let session = cx.session()?;
    let place = resolve::branch(&session, args.of.project.as_deref(), Some(&args.branch)).await?;
    let change = UpdateBranch { branch: BranchPatch { name: Some(args.name) } };
    let changed = session.call(client::branch::update(&place.project.id, &place.branch.id, &change)).await?;
    cx.ui.show(&changed, |changed| fields(&changed.branch))
}

fn state(state: BranchState) -> &'static str {
    match state {
        BranchState::Init => "init",
        BranchState::Ready => "ready",
    }
}

fn fields(branch: &Resource) -> Table {
    Table::fields([
        ("ID", branch.id.to_string()),
        ("Name", branch.name.clone()),
        ("Project", branch.project_id.to_string()),
        ("Default", branch.default.to_string()),
        ("Protected", branch.protected.to_string()),
        ("State", state(branch.current_state).into()),
        ("Created", time(Some(branch.created_at))),
        ("Updated", time(Some(branch.updated_at))),
    ])
}
