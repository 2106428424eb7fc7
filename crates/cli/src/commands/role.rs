//! `dormouse role …`.

use dormouse_api::role::{CreateRole, NewRole, RoleChanged};
use dormouse_api::{Role as Resource, client};

use super::Context;
use crate::args::{Consent, OnBranch, name};
use crate::error::Error;
use crate::resolve;
use crate::ui::{Format, Table, time};

/// List, make and remove roles, and handle their passwords
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Role {
    /// List the roles of a branch
    List(List),
    /// Make a role with a random password, and print the password
    Create(Create),
    /// Remove a role
    Delete(Delete),
    /// Give a role a new random password, and print it; the old one stops working at once
    ResetPassword(ResetPassword),
    /// Print the password of a role
    Reveal(Reveal),
}

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    on: OnBranch,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// Its name.
    #[arg(value_parser = name)]
    role: String,

    /// Make a role that cannot log in, to be granted to others.
    #[arg(long)]
    no_login: bool,

    #[command(flatten)]
    on: OnBranch,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Delete {
    /// The role.
    #[arg(value_parser = name)]
    role: String,

    #[command(flatten)]
    consent: Consent,

    #[command(flatten)]
    on: OnBranch,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ResetPassword {
    /// The role.
    #[arg(value_parser = name)]
    role: String,

    #[command(flatten)]
    consent: Consent,

    #[command(flatten)]
    on: OnBranch,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Reveal {
    /// The role.
    #[arg(value_parser = name)]
    role: String,

    #[command(flatten)]
    on: OnBranch,
}

pub(crate) async fn run(command: Role, cx: &Context) -> Result<(), Error> {
    let session = cx.session()?;
    let on = match &command {
        Role::List(List { on })
        | Role::Create(Create { on, .. })
        | Role::Delete(Delete { on, .. })
        | Role::ResetPassword(ResetPassword { on, .. })
        | Role::Reveal(Reveal { on, .. }) => on,
    };
    let place = resolve::branch(&session, on.of.project.as_deref(), on.branch.as_deref()).await?;
    let (project, branch) = (&place.project.id, &place.branch.id);
    match command {
        Role::List(_) => {
            cx.ui.show(&session.call(client::role::list(project, branch)).await?, |list| table(&list.roles))
        }
        Role::Create(args) => {
            let role = NewRole { name: args.role, no_login: args.no_login.then_some(true) };
            changed(&session.call(client::role::create(project, branch, &CreateRole { role })).await?, cx)
        }
        Role::Delete(args) => {
            let question =
                format!("Role `{}` will be removed from branch `{}`.", args.role, place.branch.name);
            cx.ui.confirm(&question, args.consent.yes)?;
            changed(&session.call(client::role::delete(project, branch, &args.role)).await?, cx)
        }
        Role::ResetPassword(args) => {
            let question = format!("The present password of `{}` will stop working.", args.role);
            cx.ui.confirm(&question, args.consent.yes)?;
            changed(&session.call(client::role::reset(project, branch, &args.role)).await?, cx)
        }
        Role::Reveal(args) => {
            let reply = session.call(client::role::reveal(project, branch, &args.role)).await?;
            match cx.ui.format() {
                Format::Table => cx.ui.text(reply.password.expose()),
                Format::Json => cx.ui.json_line(&reply),
            }
        }
    }
}

fn changed(reply: &RoleChanged, cx: &Context) -> Result<(), Error> {
    cx.ui.show(reply, |reply| {
        let password = reply.role.password.as_ref().map(|password| password.expose().clone());
        Table::fields([("Role", reply.role.name.clone()), ("Password", password.unwrap_or_default())])
    })
}

fn table(roles: &[Resource]) -> Table {
    let mut table = Table::list(&["NAME", "LOGIN", "PROTECTED", "CREATED", "UPDATED"]);
    for role in roles {
        table.row([
            role.name.clone(),
            if role.no_login { String::new() } else { "yes".into() },
            if role.protected { "yes".into() } else { String::new() },
            time(Some(role.created_at)),
            time(Some(role.updated_at)),
        ]);
    }
    table
}
