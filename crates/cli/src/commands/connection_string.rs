//! `dormouse connection-string`: how to connect to a branch, as one string.

use dormouse_api::connection::{ConnectionUriQuery, ConnectionUriReply};
use dormouse_api::{Database, client};

use super::Context;
use crate::args::{InProject, name};
use crate::connect::http::Session;
use crate::error::Error;
use crate::resolve;
use crate::ui::Format;

/// Print the connection string of a branch
#[derive(Debug, clap::Args)]
pub(crate) struct ConnectionString {
    /// The branch, by ID or name, or PROJECT/BRANCH [default: the default branch].
    #[arg(value_parser = name)]
    branch: Option<String>,

    /// Connect through the transaction pool.
    #[arg(long)]
    pooled: bool,

    #[command(flatten)]
    login: Login,

    #[command(flatten)]
    of: InProject,
}

/// Who connects to what.
#[derive(Debug, clap::Args)]
pub(crate) struct Login {
    /// The role that connects [default: the owner of the database].
    #[arg(long, value_name = "ROLE", value_parser = name)]
    pub(crate) role: Option<String>,

    /// The database [default: the branch's oldest].
    #[arg(long, value_name = "DATABASE", value_parser = name)]
    pub(crate) database: Option<String>,
}

pub(crate) async fn run(args: &ConnectionString, cx: &Context) -> Result<(), Error> {
    let session = cx.session()?;
    let reply =
        fetch(&session, args.of.project.as_deref(), args.branch.as_deref(), &args.login, args.pooled).await?;
    match cx.ui.format() {
        Format::Table => cx.ui.text(reply.uri.expose()),
        Format::Json => cx.ui.json_line(&reply),
    }
}

/// Asks the server for a connection string, filling in what was left out.
pub(crate) async fn fetch(
    session: &Session,
    project: Option<&str>,
    branch: Option<&str>,
    login: &Login,
    pooled: bool,
) -> Result<ConnectionUriReply, Error> {
    let place = resolve::branch(session, project, branch).await?;
    let databases =
        session.call(client::database::list(&place.project.id, &place.branch.id)).await?.databases;
    let database = choose(&databases, login.database.as_deref(), &place.branch.name)?;
    let query = ConnectionUriQuery {
        database_name: database.name.clone(),
        role_name: login.role.clone().unwrap_or_else(|| database.owner_name.clone()),
        branch_id: Some(place.branch.id),
        endpoint_id: None,
        pooled: pooled.then_some(true),
    };
    session.call(client::project::connection_uri(&place.project.id, &query)).await
}

/// The named database, or the oldest.
pub(crate) fn choose<'a>(
    databases: &'a [Database],
    given: Option<&str>,
    branch: &str,
) -> Result<&'a Database, Error> {
    let found = match given {
        Some(given) => databases.iter().find(|database| database.name == given),
        None => databases.iter().min_by_key(|database| (database.created_at, database.id)),
    };
    found.ok_or_else(|| match given {
        Some(given) => Error::not_found(format!("there is no database `{given}` on branch `{branch}`"))
            .hint("List them with `dormouse database list`."),
        None => Error::not_found(format!("branch `{branch}` has no database"))
            .hint("Make one with `dormouse database create NAME`."),
    })
}
