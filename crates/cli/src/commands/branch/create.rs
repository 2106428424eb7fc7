//! `dormouse branch create`.

use dormouse_api::branch::{
    BranchPatch, CreateBranch, CreatedBranch, NewBranch, NewBranchEndpoint, UpdateBranch,
};
use dormouse_api::connection::ConnectionUriQuery;
use dormouse_api::endpoint::{EndpointType, NewEndpointLimits};
use dormouse_api::{ConnectionParameters, ConnectionUri, Database, Project, client};
use dormouse_base::{BranchId, ProjectId, Timestamp};
use url::Url;

use crate::args::{InProject, name};
use crate::commands::Context;
use crate::connect::http::Session;
use crate::error::Error;
use crate::moment::{self, Moment};
use crate::resolve;
use crate::ui::Table;

#[derive(Debug, clap::Args)]
pub(crate) struct Create {
    /// Its name [default: two random words].
    #[arg(value_name = "NAME", value_parser = name)]
    name: Option<String>,

    /// Name it `pr-NUMBER`, for a pull request. If there is one already it stays, and only its end changes.
    #[arg(long, value_name = "NUMBER", conflicts_with = "name", value_parser = clap::value_parser!(u64).range(1..))]
    for_pr: Option<u64>,

    /// The branch that it is made from, by ID or name [default: the default branch].
    #[arg(long, value_name = "BRANCH", value_parser = name)]
    parent: Option<String>,

    /// The point of its parent's history: an LSN, a time, or a past such as -5m [default: now].
    #[arg(long, value_name = "LSN|TIME", allow_hyphen_values = true)]
    at: Option<Moment>,

    /// Make no endpoint, so that nobody can connect yet.
    #[arg(long)]
    no_endpoint: bool,

    /// Remove it by itself after this time, such as 2h; at most 30d.
    #[arg(long, value_name = "TIME", value_parser = moment::from_now, conflicts_with = "expires_at")]
    expires_in: Option<Timestamp>,

    /// Remove it by itself at this moment, such as 2026-01-02T03:04:05Z.
    #[arg(long, value_name = "TIME")]
    expires_at: Option<Timestamp>,

    /// Protect it from being deleted, reset or restored.
    #[arg(long)]
    protected: bool,

    #[command(flatten)]
    of: InProject,
}

pub(super) async fn run(args: Create, session: &Session, cx: &Context) -> Result<(), Error> {
    let (project, parent_id) = match &args.parent {
        Some(parent) => {
            let place = resolve::branch(session, args.of.project.as_deref(), Some(parent)).await?;
            (place.project, Some(place.branch.id))
        }
        None => (resolve::project(session, args.of.project.as_deref()).await?, None),
    };
    let expires_at = args.expires_in.or(args.expires_at);
    let name = args.for_pr.map(|number| format!("pr-{number}"));
    if let Some(name) = &name
        && let Some(found) = existing(session, &project, name, expires_at).await?
    {
        cx.ui.note(&format!("Branch `{name}` exists already."));
        return cx.ui.show(&found, table);
    }
    let branch = NewBranch {
        name: name.clone().or(args.name),
        parent_id,
        parent_lsn: args.at.and_then(Moment::lsn),
        parent_timestamp: args.at.and_then(Moment::time),
        protected: args.protected.then_some(true),
        expires_at,
        init_source: None,
    };
    let writer = NewBranchEndpoint { kind: EndpointType::ReadWrite, limits: NewEndpointLimits::default() };
    let endpoints = if args.no_endpoint { Vec::new() } else { vec![writer] };
    let progress = cx.ui.progress("Making the branch");
    let created =
        session.call(client::branch::create(&project.id, &CreateBranch { branch, endpoints })).await;
    drop(progress);
    let created = match (created, &name) {
        // Another run was quicker.
        (Err(error), Some(name)) if error.code() == Some("branch-exists") => {
            existing(session, &project, name, expires_at).await?.ok_or(error)?
        }
        (created, _) => created?,
    };
    cx.ui.show(&created, table)
}

/// The branch of that name as if it had just been made, with a new end if one is given.
async fn existing(
    session: &Session,
    project: &Project,
    name: &str,
    expires_at: Option<Timestamp>,
) -> Result<Option<CreatedBranch>, Error> {
    let found = resolve::all_branches(session, project).await?.into_iter().find(|branch| branch.name == name);
    let Some(mut branch) = found else { return Ok(None) };
    if expires_at.is_some() {
        let change =
            UpdateBranch { branch: BranchPatch { expires_at: Some(expires_at), ..BranchPatch::default() } };
        branch = session.call(client::branch::update(&project.id, &branch.id, &change)).await?.branch;
    }
    let (p, b) = (&project.id, &branch.id);
    let endpoints = session.call(client::endpoint::list_of_branch(p, b)).await?.endpoints;
    let roles = session.call(client::role::list(p, b)).await?.roles;
    let databases = session.call(client::database::list(p, b)).await?.databases;
    let connection_uris = match (endpoints.first(), databases.first()) {
        (Some(_), Some(database)) => vec![connection(session, p, b, database).await?],
        _ => Vec::new(),
    };
    Ok(Some(CreatedBranch { branch, endpoints, operations: Vec::new(), roles, databases, connection_uris }))
}

async fn connection(
    session: &Session,
    project: &ProjectId,
    branch: &BranchId,
    database: &Database,
) -> Result<ConnectionUri, Error> {
    let query = |pooled| ConnectionUriQuery {
        database_name: database.name.clone(),
        role_name: database.owner_name.clone(),
        branch_id: Some(branch.clone()),
        endpoint_id: None,
        pooled: Some(pooled),
    };
    let direct = session.call(client::project::connection_uri(project, &query(false))).await?.uri;
    let pooled = session.call(client::project::connection_uri(project, &query(true))).await?.uri;
    let password = session.call(client::role::reveal(project, branch, &database.owner_name)).await?.password;
    let parsed = |uri: &str| {
        Url::parse(uri)
            .map_err(|error| Error::failed("the server's connection string is damaged").because(error))
    };
    let (one, other) = (parsed(direct.expose())?, parsed(pooled.expose())?);
    let connection_parameters = ConnectionParameters {
        database: database.name.clone(),
        password,
        role: database.owner_name.clone(),
        host: one.host_str().unwrap_or_default().to_owned(),
        pooler_host: other.host_str().unwrap_or_default().to_owned(),
        port: one.port().unwrap_or(POSTGRES_PORT),
    };
    Ok(ConnectionUri { connection_uri: direct, connection_parameters })
}

/// What a connection string without a port means.
const POSTGRES_PORT: u16 = 5432;

fn table(created: &CreatedBranch) -> Table {
    let branch = &created.branch;
    let connection = created.connection_uris.first();
    Table::fields([
        ("Branch", format!("{} ({})", branch.name, branch.id)),
        ("Parent", branch.parent_id.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("At", branch.parent_lsn.map(|lsn| lsn.to_string()).unwrap_or_default()),
        ("Endpoint", created.endpoints.first().map(|endpoint| endpoint.id.to_string()).unwrap_or_default()),
        ("Connect", connection.map(|uri| uri.connection_uri.expose().clone()).unwrap_or_default()),
    ])
}
