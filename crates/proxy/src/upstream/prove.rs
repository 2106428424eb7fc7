//! What a client must show for the role that it claims, and whether it is right.
//!
//! A role that nobody knows is asked like any other, and fails at the end.

use std::sync::Arc;

use dormouse_base::{Secret, rand};
use dormouse_pgwire::ClientError;
use dormouse_pgwire::Encode;
use dormouse_pgwire::auth::md5;
use dormouse_pgwire::auth::scram::server::{Exchange, Reply};
use dormouse_pgwire::auth::scram::{Credential, ScramError};
use dormouse_pgwire::backend::{AuthenticationMd5Password, AuthenticationSasl};
use dormouse_pgwire::frontend::{PasswordMessage, SaslInitialResponse, SaslResponse};
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pooler::config::hba::{Method, Visitor};
use dormouse_pooler::config::userlist::Password;
use dormouse_runtime::task;
use sha2::{Digest, Sha256};

use super::State;
use super::config::AuthType;
use super::journal::Journal;
use super::login::may_try;
use super::users::Known;
use crate::peer::common_name;
use crate::session::io::Client;
use crate::session::login::{ask_in_the_clear, malformed, password_body};
use crate::session::{End, Shared};
use crate::throttle::Who;

/// Where passwords of accounts of this machine are listed.
const ACCOUNTS: &str = "/etc/passwd";

/// Who claims what.
pub(super) struct Claimant<'a> {
    pub(super) role: &'a str,
    pub(super) known: Option<Arc<Known>>,
    /// Where its guesses are counted.
    pub(super) guesses: Who,
    pub(super) journal: &'a Journal,
}

impl Claimant<'_> {
    fn password(&self) -> Option<&Password> {
        self.known.as_ref().map(|known| &known.password)
    }
}

/// How this client proves itself; `None`: the HBA file has no line for it. Not asked with `auth_type = any`.
pub(super) fn method(state: &State, who: Visitor<'_>) -> Option<Method> {
    Some(match state.plan.auth {
        AuthType::Any | AuthType::Trust => Method::Trust,
        AuthType::Plain => Method::Password,
        AuthType::Md5 => Method::Md5,
        AuthType::Scram => Method::Scram,
        AuthType::Cert => Method::Cert(None),
        AuthType::Peer => Method::Peer(None),
        AuthType::Hba => state.plan.lists.hba.method(who)?.clone(),
    })
}

/// Lets it prove itself; `Ok(false)`: the password is wrong, and the text says how that is told.
pub(super) async fn prove(
    shared: &Shared,
    state: &State,
    client: &mut Client,
    method: &Method,
    who: &Claimant<'_>,
) -> Result<Result<(), &'static str>, End> {
    let refused = |text: &str| End::from(ClientError::fatal(SqlState::INVALID_AUTHORIZATION, text));
    let (what, right) = match method {
        Method::Trust if who.known.is_some() => return Ok(Ok(())),
        Method::Trust => {
            return Err(ClientError::fatal(
                SqlState::INVALID_AUTHORIZATION,
                "\"trust\" authentication failed",
            )
            .with_hint("auth_file of the pooler does not list this role.")
            .into());
        }
        Method::Reject => return Err(refused("login rejected")),
        Method::Peer(map) => {
            return if is_peer(state, client, map.as_deref(), who) {
                Ok(Ok(()))
            } else {
                Err(refused("unix socket login rejected"))
            };
        }
        Method::Cert(map) => {
            return if is_certified(state, client, map.as_deref(), who) {
                Ok(Ok(()))
            } else {
                Err(refused("certificate authentication failed"))
            };
        }
        Method::Scram => ("SASL", Box::pin(by_scram(shared, client, who)).await?),
        Method::Md5 if matches!(who.password(), Some(Password::Scram(_))) => {
            ("SASL", Box::pin(by_scram(shared, client, who)).await?)
        }
        Method::Md5 => ("password", Box::pin(by_md5(shared, client, who)).await?),
        Method::Password => ("password", Box::pin(by_plain(shared, client, who)).await?),
    };
    Ok(if right { Ok(()) } else { Err(what) })
}

/// Whether the account at the other end of the socket stands for the role.
fn is_peer(state: &State, client: &Client, map: Option<&str>, who: &Claimant<'_>) -> bool {
    let Some((uid, _)) = client.stream.owner() else { return false };
    let accounts = std::fs::read_to_string(ACCOUNTS).unwrap_or_default();
    let name = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    });
    let stands = name.is_some_and(|name| state.plan.lists.ident.stands_for(map, name, who.role));
    if let (false, Some(map)) = (stands, map) {
        who.journal.warn(format_args!("ident map {map} cannot be matched"));
    }
    stands && who.known.is_some()
}

/// Whether the client's certificate stands for the role.
fn is_certified(state: &State, client: &Client, map: Option<&str>, who: &Claimant<'_>) -> bool {
    let Some(first) = client.stream.certificates().and_then(<[_]>::first) else {
        who.journal.warn("TLS client certificate required");
        return false;
    };
    let stands =
        common_name(first).is_some_and(|name| state.plan.lists.ident.stands_for(map, &name, who.role));
    match (stands, map) {
        (true, _) => {}
        (false, Some(map)) => who.journal.warn(format_args!("ident map: {map} does not have a match")),
        (false, None) => who.journal.warn("TLS certificate name mismatch"),
    }
    stands && who.known.is_some()
}

async fn by_plain(shared: &Shared, client: &mut Client, who: &Claimant<'_>) -> Result<bool, End> {
    let given = ask_in_the_clear(client).await?;
    may_try(shared, who.guesses, who.role)?;
    let same = |a: &[u8], b: &[u8]| Sha256::digest(a) == Sha256::digest(b);
    Ok(match who.password().cloned() {
        Some(Password::Plain(password)) => same(password.expose().as_bytes(), given.expose()),
        Some(Password::Md5(stored)) => {
            same(stored.expose().as_bytes(), md5::stored(given.expose(), who.role).expose().as_bytes())
        }
        Some(Password::Scram(verifier)) => {
            task::blocking(move || verifier.matches_password(given.expose())).await
        }
        Some(Password::None) | None => false,
    })
}

async fn by_md5(shared: &Shared, client: &mut Client, who: &Claimant<'_>) -> Result<bool, End> {
    let salt = rand::bytes();
    client.send(&AuthenticationMd5Password { salt }.encode()).await?;
    let given = PasswordMessage::decode(&password_body(client).await?).map_err(malformed)?.password;
    may_try(shared, who.guesses, who.role)?;
    let stored: Option<Secret<String>> = match who.password() {
        Some(Password::Plain(password)) => Some(md5::stored(password.expose(), who.role)),
        Some(Password::Md5(stored)) => Some(stored.clone()),
        Some(Password::Scram(_) | Password::None) | None => None,
    };
    Ok(stored.is_some_and(|stored| md5::is_right(&stored, salt, given.expose())))
}

async fn by_scram(shared: &Shared, client: &mut Client, who: &Claimant<'_>) -> Result<bool, End> {
    let verifier = match &who.known {
        Some(known) => known.verifier().await,
        None => None,
    };
    let credential =
        verifier.map_or_else(|| Credential::doomed(&shared.doom_secret, who.role), Credential::Known);
    let mut exchange = Exchange::new(credential, client.stream.binding().cloned());
    let offer = AuthenticationSasl::new(exchange.mechanisms().iter().copied());
    client.send(&offer.encode()).await?;
    let first = SaslInitialResponse::decode(&password_body(client).await?).map_err(malformed)?;
    let mut reply = exchange.begin(&first);
    loop {
        match reply {
            Ok(Reply::Continue(message)) => {
                client.send(&message.encode()).await?;
                let answer = SaslResponse::decode(&password_body(client).await?).map_err(malformed)?;
                may_try(shared, who.guesses, who.role)?;
                reply = exchange.respond(&answer);
            }
            Ok(Reply::Final(message)) => {
                client.hold(&message.encode());
                break;
            }
            Err(ScramError::WrongProof) => return Ok(false),
            Err(error) => return Err(error.client_error(who.role).into()),
        }
    }
    if let Some(known) = &who.known {
        known.proved(exchange.login_keys());
    }
    Ok(true)
}
