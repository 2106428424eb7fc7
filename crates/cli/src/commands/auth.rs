//! `dormouse auth …`.

use dormouse_api::auth::{CreateToken, NewToken, TokenCreated};
use dormouse_api::client;

use super::connection_string::choose;
use super::{Context, connection_string};
use crate::args::{Consent, OnBranch, name};
use crate::connect::http::Session;
use crate::error::Error;
use crate::resolve;
use crate::timeout::Timeout;
use crate::ui::{Format, Table, time};

/// Issue login tokens, and revoke them
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Auth {
    /// Print a token that takes the place of a role's password for some minutes
    ///
    /// For programs that must not keep a password: PGPASSWORD=$(dormouse auth token) psql …. The connection
    /// has to use TLS. Put `auth=token` into the connection's `options` when many are opened at once.
    Token(Token),
    /// Make a new signing key: every token that was issued before stops working
    RotateKey(RotateKey),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Token {
    /// Good at this endpoint only (by ID) [default: at every endpoint of the branch].
    #[arg(long, value_name = "ENDPOINT", value_parser = name, conflicts_with = "branch")]
    endpoint: Option<String>,

    #[command(flatten)]
    on: OnBranch,

    #[command(flatten)]
    login: connection_string::Login,

    /// How long it works: at most 1h [default: 15m].
    #[arg(long, value_name = "TIME")]
    expires: Option<Timeout>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RotateKey {
    #[command(flatten)]
    consent: Consent,
}

pub(crate) async fn run(command: Auth, cx: &Context) -> Result<(), Error> {
    let session = cx.session()?;
    match command {
        Auth::Token(args) => {
            let created = token(&args, &session).await?;
            match cx.ui.format() {
                Format::Table => {
                    let until = time(Some(created.expires_at));
                    cx.ui.note(&format!("For role `{}`, until {until}.", created.role_name));
                    cx.ui.text(created.token.expose())
                }
                Format::Json => cx.ui.json_line(&created),
            }
        }
        Auth::RotateKey(args) => {
            let question = "Every login token of this server will stop working. Open sessions go on.";
            cx.ui.confirm(question, args.consent.yes)?;
            let rotated = session.call(client::auth::rotate_key()).await?;
            cx.ui.show(&rotated, |rotated| Table::fields([("Key", rotated.key_id.clone())]))
        }
    }
}

async fn token(args: &Token, session: &Session) -> Result<TokenCreated, Error> {
    let project = args.on.of.project.as_deref();
    let (project, branch, endpoint) = match &args.endpoint {
        Some(given) => {
            let endpoint = resolve::endpoint(session, project, Some(given)).await?;
            (endpoint.project_id, endpoint.branch_id, Some(endpoint.id))
        }
        None => {
            let place = resolve::branch(session, project, args.on.branch.as_deref()).await?;
            (place.project.id, place.branch.id, None)
        }
    };
    let role_name = match &args.login.role {
        Some(role) => role.clone(),
        None => {
            let databases = session.call(client::database::list(&project, &branch)).await?.databases;
            choose(&databases, args.login.database.as_deref(), branch.as_str())?.owner_name.clone()
        }
    };
    let token = NewToken {
        role_name,
        branch_id: Some(branch),
        endpoint_id: endpoint,
        database_name: args.login.database.clone(),
        expires_in_seconds: args.expires.map(|expires| expires.0),
    };
    session.call(client::auth::create_token(&project, &CreateToken { token })).await
}
