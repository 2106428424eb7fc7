//! Who is it? Proved before anything is started.
//!
//! SCRAM-SHA-256 against the stored verifier, with channel binding (PLUS) over TLS. A role that does
//! not exist goes through the same exchange with made-up keys, so that guessing names is no easier
//! than guessing passwords.
//!
//! Two things can only be read in the clear, and only over TLS: the last routing form,
//! `endpoint=ep-x;secret` as the password (for drivers that can do neither server names nor options), and a
//! login token ([`super::token`]). So a login that fails SCRAM and could be one of them is asked once more, for
//! the password in the clear; clients that insist on SCRAM or channel binding refuse that, as they should.
//! (docs/decisions/2026-11-20-password-route.md, docs/decisions/2026-11-25-login-tokens.md)
//!
//! A client certificate for the role ([`crate::peer`]) is proof enough; then nothing is asked. Before all of
//! it comes the question whether the client's address may connect at all.

use std::net::SocketAddr;
use std::time::Duration;

use dormouse_base::clock;
use dormouse_base::{EndpointId, Secret};
use dormouse_pgwire::auth::StoredPassword;
use dormouse_pgwire::auth::scram::Credential;
use dormouse_pgwire::backend::{AuthenticationCleartextPassword, AuthenticationOk};
use dormouse_pgwire::client_error::quoted;
use dormouse_pgwire::frontend::PasswordMessage;
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pgwire::startup::Startup;
use dormouse_pgwire::tag::frontend::PASSWORD;
use dormouse_pgwire::{ClientError, Encode, Malformed};

use super::io::Client;
use super::{End, Shared, help, token};
use crate::console::{self, Admin};
use crate::route::{self, Route};
use crate::tls::Tls;
use crate::upstream::journal::Journal;
use crate::wake::StoredRole;

mod attempt;

pub(super) use attempt::Attempt;

/// A password that comes unasked is there after this long.
const PASSWORD_FOLLOWS_WITHIN: Duration = Duration::from_millis(100);

/// A client that has proved who it is.
pub(crate) struct LoggedIn {
    pub(crate) endpoint: EndpointId,
    pub(crate) startup: Startup,
    /// Which role it is, if that is known.
    pub(crate) role_oid: Option<u32>,
    /// How its connection is pooled, if it is.
    pub(crate) mode: Option<route::Pooling>,
    /// As whom it logged in, when its pool has a role of its own.
    pub(crate) name: Option<String>,
    /// Its number, if it has one already.
    pub(crate) number: Option<u32>,
    /// What is logged of it, if anything.
    pub(crate) journal: Option<Box<Journal>>,
}

impl LoggedIn {
    /// One who is its pool's role, and of whom nothing is logged.
    pub(crate) fn new(endpoint: EndpointId, startup: Startup, mode: Option<route::Pooling>) -> Self {
        Self { endpoint, startup, role_oid: None, mode, name: None, number: None, journal: None }
    }

    /// The same, of a role of which this is known.
    pub(crate) fn of(self, role_oid: Option<u32>) -> Self {
        Self { role_oid, ..self }
    }

    pub(crate) fn role(&self) -> &str {
        self.startup.params.user().unwrap_or_default()
    }
}

/// Who came in.
pub(crate) enum Login {
    /// A role of a database.
    Role(LoggedIn),
    /// A role that wants the write-ahead log of an ordinary server.
    Replication(LoggedIn),
    /// An operator, who has not been told yet.
    Console(Admin),
}

/// Routes and authenticates; on success the client has been told so.
pub(super) async fn login(
    shared: &Shared,
    client: &mut Client,
    mut startup: Startup,
    peer: SocketAddr,
) -> Result<Login, End> {
    let role = startup.params.user().ok_or_else(ClientError::no_user)?.to_owned();
    refuse_replication(&startup)?;
    let certified = certified(shared, client, &role)?;
    let sign = token::take_sign(&mut startup.params)?;
    let server_name = client.stream.server_name().map(str::to_owned);
    let routed = route::find(server_name.as_deref(), &mut startup.params).map_err(|e| {
        ClientError::fatal(SqlState::CONNECTION_REJECTED, e.to_string())
            .with_hint(help("endpoint-routes-differ"))
    })?;
    let database = startup.params.database().unwrap_or(&role).to_owned();
    if console::asks_for(&routed.route, &database) {
        return Ok(Login::Console(console::admit(shared, client, &role, peer).await?.on(&database)));
    }
    let endpoint = shared.wake.locate(&routed.route)?;
    shared.wake.admit(&endpoint, peer.ip())?;
    let asked = Asked { route: &routed.route, endpoint: &endpoint, database: &database };
    let proved = if certified {
        let stored = Box::pin(known_role(shared, &endpoint, &role)).await?;
        Proved { endpoint, stored: Some(stored), mode: None }
    } else {
        let mut attempt = Attempt::begin(shared, peer.ip(), &endpoint, &role)?;
        if shows_password(client).await? {
            let secret = ask_in_the_clear(client).await?;
            Box::pin(attempt.prove_by_showing(secret.expose(), &asked)).await
        } else if sign {
            Box::pin(attempt.prove_by_token(client, &asked)).await
        } else {
            Box::pin(attempt.prove(client, &asked)).await
        }?
    };
    permitted(&role, proved.stored.as_ref())?;
    client.hold(&AuthenticationOk.encode());
    // What the client says in so many words is worth more than the end of a name, as in every other form.
    let (role_oid, mode) = (proved.stored.and_then(|role| role.oid), routed.mode.or(proved.mode));
    Ok(Login::Role(LoggedIn::new(proved.endpoint, startup, mode).of(role_oid)))
}

/// Drivers on WebSockets send the password behind the startup message, without waiting for the question. One that
/// waits is asked as everybody else is.
async fn shows_password(client: &mut Client) -> Result<bool, End> {
    if !client.stream.is_carried() {
        return Ok(false);
    }
    if client.unread.is_empty() {
        // Some send it in a frame of its own, which follows at once.
        return match tokio::time::timeout(PASSWORD_FOLLOWS_WITHIN, client.fill()).await {
            Ok(filled) => filled.map(|()| true),
            Err(_) => Ok(false),
        };
    }
    Ok(true)
}

/// Where a client wants to go.
pub(super) struct Asked<'a> {
    pub(super) route: &'a Route,
    pub(super) endpoint: &'a EndpointId,
    pub(super) database: &'a str,
}

/// Where a client was let in.
pub(super) struct Proved {
    pub(super) endpoint: EndpointId,
    /// What is known of its role.
    pub(super) stored: Option<StoredRole>,
    /// How its connection is pooled, when its password said so along with the endpoint.
    pub(super) mode: Option<route::Pooling>,
}

/// Whether the client's certificate proves the role.
fn certified(shared: &Shared, client: &Client, role: &str) -> Result<bool, ClientError> {
    match shared.tls.as_ref().and_then(Tls::clients) {
        Some(clients) => clients.prove(client.stream.certificates(), role),
        None => Ok(false),
    }
}

/// A role that was proved without its password.
async fn known_role(shared: &Shared, endpoint: &EndpointId, role: &str) -> Result<StoredRole, ClientError> {
    let stored = shared.lookups.stored(&*shared.wake, endpoint, role).await?;
    stored.ok_or_else(|| token::no_such_role(role))
}

pub(super) fn refuse_replication(startup: &Startup) -> Result<(), ClientError> {
    if !startup.params.is_replication() {
        return Ok(());
    }
    let text = "replication connections are not supported";
    let error = ClientError::fatal(SqlState::FEATURE_NOT_SUPPORTED, text)
        .with_detail("The write-ahead log of a sleeping database belongs to Dormouse, which keeps it.")
        .with_hint(help("replication-not-supported"));
    Err(error)
}

/// A right password is not enough when the role may not log in.
pub(super) fn permitted(role: &str, stored: Option<&StoredRole>) -> Result<(), ClientError> {
    if stored.is_none_or(|s| s.can_login) {
        return Ok(());
    }
    let text = format!("role {} is not permitted to log in", quoted(role));
    Err(ClientError::fatal(SqlState::INVALID_AUTHORIZATION, text))
}

pub(super) fn wrong_password(role: &str) -> ClientError {
    ClientError::invalid_password(role).with_hint(help("wrong-password"))
}

/// Whether its password has had its time.
pub(super) fn has_expired(stored: &StoredRole) -> bool {
    stored.valid_until.is_some_and(|until| until <= clock::now())
}

/// The keys to prove against: the real ones, or made-up ones that nobody can satisfy.
pub(super) fn credential(
    shared: &Shared,
    role: &str,
    stored: Option<&StoredRole>,
) -> Result<Credential, ClientError> {
    let doomed = || Credential::doomed(&shared.doom_secret, role);
    let Some(stored) = stored else { return Ok(doomed()) };
    let (Some(password), false) = (&stored.password, has_expired(stored)) else { return Ok(doomed()) };
    match StoredPassword::parse(password) {
        StoredPassword::Scram(verifier) => Ok(Credential::Known(verifier)),
        StoredPassword::Md5 => {
            let text = format!("the password of role {} is stored as MD5", quoted(role));
            Err(ClientError::fatal(SqlState::INVALID_AUTHORIZATION, text)
                .with_detail("MD5 passwords can be replayed by whoever reads them, so they are not accepted.")
                .with_hint(help("password-stored-as-md5")))
        }
        StoredPassword::Other => Ok(doomed()),
    }
}

/// Asks for the password itself. The caller has made sure that nobody else can read the answer.
pub(crate) async fn ask_in_the_clear(client: &mut Client) -> Result<Secret<Vec<u8>>, End> {
    client.send(&AuthenticationCleartextPassword.encode()).await?;
    let message = PasswordMessage::decode(&password_body(client).await?).map_err(malformed)?;
    Ok(message.password)
}

pub(crate) async fn password_body(client: &mut Client) -> Result<bytes::Bytes, End> {
    let frame = client.message().await?;
    if frame.tag == PASSWORD {
        return Ok(frame.body);
    }
    Err(ClientError::protocol_violation("expected a password message")
        .with_hint(help("protocol-violation"))
        .into())
}

pub(crate) fn malformed(error: Malformed) -> End {
    ClientError::protocol_violation(error.to_string()).with_hint(help("protocol-violation")).into()
}

#[cfg(test)]
mod tests;
