//! `dormouse branch …`. Making one is in [`create`], removing in [`delete`], other data in [`restore`], how
//! long it lives in [`keep`], what it takes in [`measure`], how two differ in [`diff`].

use std::collections::{BTreeMap, HashMap};

use dormouse_api::branch::{BranchPatch, BranchReply, BranchState, UpdateBranch};
use dormouse_api::{Branch as Resource, Branches, client};

use super::Context;
use crate::args::{InProject, name};
use crate::connect::http::Session;
use crate::error::Error;
use crate::resolve::{self, Place};
use crate::ui::{Table, bytes, time};

mod create;
mod delete;
mod diff;
mod keep;
mod measure;
mod restore;

/// Make, compare, restore and remove branches
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Branch {
    /// List the branches of a project
    List(List),
    /// Show a branch
    Get(Get),
    /// Make a branch of another one, as it is now or as it was
    Create(create::Create),
    /// Remove a branch with all its data
    Delete(delete::Delete),
    /// Give a branch another name
    Rename(Rename),
    /// Give a branch the data that its parent has now
    ///
    /// What it had before is kept as another branch; connection strings stay the same.
    Reset(restore::Reset),
    /// Give a branch the data that it, or another branch, had at a point of the past
    ///
    /// What it had before is kept as another branch; connection strings stay the same.
    Restore(restore::Restore),
    /// Show how the definitions of two branches differ, or of one branch at two times
    Diff(diff::Diff),
    /// Have a branch removed by itself, or not any more
    Expire(keep::Expire),
    /// Protect a branch from being deleted, reset or restored
    Protect(Which),
    /// Take the protection of a branch away
    Unprotect(Which),
    /// Make a branch the one that is meant when none is named
    SetDefault(Which),
    /// Show what a branch takes in the store
    Size(Get),
    /// Show how far back a branch can be restored
    History(Get),
    /// Store a snapshot of a branch now, so that later restores are quick
    Snapshot(Get),
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

/// Which branch is meant.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// The branch, by ID or name, or PROJECT/BRANCH.
    #[arg(value_parser = name)]
    branch: String,

    #[command(flatten)]
    of: InProject,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Rename {
    #[command(flatten)]
    which: Which,

    /// Its new name.
    #[arg(value_parser = name)]
    name: String,
}

impl Get {
    async fn find(&self, session: &Session) -> Result<Place, Error> {
        resolve::branch(session, self.of.project.as_deref(), self.branch.as_deref()).await
    }
}

impl Which {
    async fn find(&self, session: &Session) -> Result<Place, Error> {
        resolve::branch(session, self.of.project.as_deref(), Some(&self.branch)).await
    }
}

pub(crate) async fn run(command: Branch, cx: &Context) -> Result<(), Error> {
    let session = cx.session()?;
    match command {
        Branch::List(args) => list(&args, &session, cx).await,
        Branch::Get(args) => get(&args, &session, cx).await,
        Branch::Create(args) => create::run(args, &session, cx).await,
        Branch::Delete(args) => delete::run(&args, &session, cx).await,
        Branch::Rename(args) => {
            let patch = BranchPatch { name: Some(args.name.clone()), ..BranchPatch::default() };
            change(&args.which, patch, &session, cx).await
        }
        Branch::Reset(args) => restore::reset(args, &session, cx).await,
        Branch::Restore(args) => restore::restore(args, &session, cx).await,
        Branch::Diff(args) => diff::run(&args, &session, cx).await,
        Branch::Expire(args) => keep::expire(&args, &session, cx).await,
        Branch::Protect(which) => protect(&which, true, &session, cx).await,
        Branch::Unprotect(which) => protect(&which, false, &session, cx).await,
        Branch::SetDefault(which) => keep::set_default(&which, &session, cx).await,
        Branch::Size(args) => measure::size(&args, &session, cx).await,
        Branch::History(args) => measure::history(&args, &session, cx).await,
        Branch::Snapshot(args) => measure::snapshot(&args, &session, cx).await,
    }
}

async fn list(args: &List, session: &Session, cx: &Context) -> Result<(), Error> {
    let project = resolve::project(session, args.of.project.as_deref()).await?;
    let branches = resolve::all_branches(session, &project).await?;
    let list = Branches { branches, annotations: BTreeMap::new(), pagination: None };
    cx.ui.show(&list, |list| {
        let names: HashMap<_, _> = list.branches.iter().map(|b| (&b.id, b.name.as_str())).collect();
        let yes = |it: bool| if it { "yes".to_owned() } else { String::new() };
        let mut table =
            Table::list(&["ID", "NAME", "PARENT", "DEFAULT", "PROTECTED", "STATE", "CREATED", "EXPIRES"]);
        for branch in &list.branches {
            let parent = branch.parent_id.as_ref().and_then(|id| names.get(id).copied());
            table.row([
                branch.id.to_string(),
                branch.name.clone(),
                parent.unwrap_or_default().to_owned(),
                yes(branch.default),
                yes(branch.protected),
                state(branch.current_state).into(),
                time(Some(branch.created_at)),
                time(branch.expires_at),
            ]);
        }
        table
    })
}

async fn get(args: &Get, session: &Session, cx: &Context) -> Result<(), Error> {
    let place = args.find(session).await?;
    let reply = session.call(client::branch::get(&place.project.id, &place.branch.id)).await?;
    cx.ui.show(&reply, |reply: &BranchReply| fields(&reply.branch))
}

async fn protect(which: &Which, protected: bool, session: &Session, cx: &Context) -> Result<(), Error> {
    let patch = BranchPatch { protected: Some(protected), ..BranchPatch::default() };
    change(which, patch, session, cx).await
}

/// Changes fields of a branch and shows it.
async fn change(which: &Which, patch: BranchPatch, session: &Session, cx: &Context) -> Result<(), Error> {
    let place = which.find(session).await?;
    let change = UpdateBranch { branch: patch };
    let changed = session.call(client::branch::update(&place.project.id, &place.branch.id, &change)).await?;
    cx.ui.show(&changed, |changed| fields(&changed.branch))
}

fn state(state: BranchState) -> &'static str {
    match state {
        BranchState::Init => "init",
        BranchState::Ready => "ready",
        BranchState::Resetting => "resetting",
    }
}

fn fields(branch: &Resource) -> Table {
    let text =
        |id: &Option<dormouse_base::BranchId>| id.as_ref().map(ToString::to_string).unwrap_or_default();
    Table::fields([
        ("ID", branch.id.to_string()),
        ("Name", branch.name.clone()),
        ("Project", branch.project_id.to_string()),
        ("Parent", text(&branch.parent_id)),
        ("Parent LSN", branch.parent_lsn.map(|lsn| lsn.to_string()).unwrap_or_default()),
        ("Parent time", time(branch.parent_timestamp)),
        ("Default", branch.default.to_string()),
        ("Protected", branch.protected.to_string()),
        ("State", state(branch.current_state).into()),
        ("Expires", time(branch.expires_at)),
        ("Restored from", text(&branch.past.restored_from)),
        ("Restored", time(branch.past.last_reset_at)),
        ("Size", branch.sizes.logical_size.map(bytes).unwrap_or_default()),
        ("Created", time(Some(branch.created_at))),
        ("Updated", time(Some(branch.updated_at))),
    ])
}
