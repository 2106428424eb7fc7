//! `dormouse database …`.

use dormouse_api::database::{CreateDatabase, NewDatabase};
use dormouse_api::{Database as Resource, client};

use super::Context;
use crate::args::{Consent, OnBranch, name};
use crate::error::Error;
use crate::resolve;
use crate::ui::{Table, time};

/// List, make and remove databases
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Database {
    /// List the databases of a branch
    List(List),
    /// Make a database
    Create(Create),
    /// Remove a database with all its data
    Delete(Delete),
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
    database: String,

    /// The role that owns it [default: the owner of the branch's oldest database].
    #[arg(long, value_name = "ROLE", value_parser = name)]
    owner: Option<String>,

    #[command(flatten)]
    on: OnBranch,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Delete {
    /// The database.
    #[arg(value_parser = name)]
    database: String,

    #[command(flatten)]
    consent: Consent,

    #[command(flatten)]
    on: OnBranch,
}

pub(crate) async fn run(command: Database, cx: &Context) -> Result<(), Error> {
    let session = cx.session()?;
    let on = match &command {
        Database::List(List { on })
        | Database::Create(Create { on, .. })
        | Database::Delete(Delete { on, .. }) => on,
    };
    let place = resolve::branch(&session, on.of.project.as_deref(), on.branch.as_deref()).await?;
    let (project, branch) = (&place.project.id, &place.branch.id);
    match command {
        Database::List(_) => {
            let list = session.call(client::database::list(project, branch)).await?;
            cx.ui.show(&list, |list| table(&list.databases))
        }
        Database::Create(args) => {
            let owner_name = match args.owner {
                Some(owner) => owner,
                None => owner(&session.call(client::database::list(project, branch)).await?.databases)?,
            };
            let request =
                CreateDatabase { database: NewDatabase { name: args.database, owner_name, locale: None } };
            let made = session.call(client::database::create(project, branch, &request)).await?;
            cx.ui.show(&made, |made| table(std::slice::from_ref(&made.database)))
        }
        Database::Delete(args) => {
            let question = format!(
                "Database `{}` of branch `{}` and all its data will be removed.",
                args.database, place.branch.name
            );
            cx.ui.confirm(&question, args.consent.yes)?;
            let gone = session.call(client::database::delete(project, branch, &args.database)).await?;
            cx.ui.show(&gone, |gone| table(std::slice::from_ref(&gone.database)))
        }
    }
}

fn owner(databases: &[Resource]) -> Result<String, Error> {
    let oldest = databases.iter().min_by_key(|database| (database.created_at, database.id));
    oldest.map(|database| database.owner_name.clone()).ok_or_else(|| {
        Error::usage("there is no other database to take the owner from")
            .hint("Name one with `--owner ROLE`.")
    })
}

fn table(databases: &[Resource]) -> Table {
    let mut table = Table::list(&["NAME", "OWNER", "CREATED"]);
    for database in databases {
        table.row([database.name.clone(), database.owner_name.clone(), time(Some(database.created_at))]);
    }
    table
}
