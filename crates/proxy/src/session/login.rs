//! Who is it? Proved before anything is started.
//!
//! SCRAM-SHA-256 against the stored verifier, with channel binding (PLUS) over TLS. A role that does
//! not exist goes through the same exchange with made-up keys, so that guessing names is no easier
//! than guessing passwords.
//!
//! The last routing form, `endpoint=ep-x;secret` as the password, can only be read in the clear. It
//! is for drivers that can do neither server names nor options. So a login without any route that
//! fails SCRAM over TLS is asked once more, for the password in the clear; clients that insist on
//! SCRAM or channel binding refuse that, as they should. (docs/decisions/2026-11-20-password-route.md)

use std::net::{IpAddr, SocketAddr};

use dormouse_base::clock::{self, Mono};
use dormouse_base::{EndpointId, Secret};
use dormouse_pgwire::auth::StoredPassword;
use dormouse_pgwire::auth::scram::server::{Exchange, Reply};
use dormouse_pgwire::auth::scram::{Credential, ScramError};
use dormouse_pgwire::backend::{AuthenticationCleartextPassword, AuthenticationOk, AuthenticationSasl};
use dormouse_pgwire::client_error::quoted;
use dormouse_pgwire::frontend::{PasswordMessage, SaslInitialResponse, SaslResponse};
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pgwire::startup::Startup;
use dormouse_pgwire::tag::frontend::PASSWORD;
use dormouse_pgwire::{ClientError, Encode, Malformed};
use dormouse_runtime::task;

use super::io::Client;
use super::{End, Shared, help};
use crate::route::{self, Route};
use crate::throttle::Who;
use crate::wake::StoredRole;

/// A client that has proved who it is.
pub(crate) struct LoggedIn {
    pub(crate) endpoint: EndpointId,
    pub(crate) startup: Startup,
    /// How its connection is pooled, if it is.
    pub(crate) mode: Option<route::Pooling>,
}

impl LoggedIn {
    pub(crate) fn role(&self) -> &str {
        self.startup.params.user().unwrap_or_default()
    }
}

/// Routes and authenticates; on success the client has been told so.
pub(super) async fn login(
    shared: &Shared,
    client: &mut Client,
    mut startup: Startup,
    peer: SocketAddr,
) -> Result<LoggedIn, End> {
    let role = startup.params.user().ok_or_else(ClientError::no_user)?.to_owned();
    refuse_replication(&startup)?;
    let server_name = client.stream.server_name().map(str::to_owned);
    let routed = route::find(server_name.as_deref(), &mut startup.params).map_err(|e| {
        ClientError::fatal(SqlState::CONNECTION_REJECTED, e.to_string())
            .with_hint(help("endpoint-routes-differ"))
    })?;
    let endpoint = shared.wake.locate(&routed.route)?;
    let mut attempt = Attempt::begin(shared, peer.ip(), &endpoint, &role)?;
    let stored = shared.wake.stored_password(&endpoint, &role).await?;
    let (endpoint, stored) = match prove_by_scram(shared, client, &mut attempt, stored.as_ref()).await {
        Err(End::Refuse(error)) if routed.route == Route::Default && may_ask_in_the_clear(client, &error) => {
            prove_in_the_clear(shared, client, &attempt).await?
        }
        other => other.map(|()| (endpoint, stored))?,
    };
    attempt.succeeded();
    permitted(&role, stored.as_ref())?;
    client.send(&AuthenticationOk.encode()).await?;
    Ok(LoggedIn { endpoint, startup, mode: routed.mode })
}

fn refuse_replication(startup: &Startup) -> Result<(), ClientError> {
    if !startup.params.is_replication() {
        return Ok(());
    }
    let text = "replication connections are not supported";
    let error = ClientError::fatal(SqlState::FEATURE_NOT_SUPPORTED, text)
        .with_detail("The write-ahead log of a sleeping database belongs to Dormouse, which keeps it.")
        .with_hint(help("replication-not-supported"));
    Err(error)
}

/// One login that has yet to prove itself; see [`crate::throttle`].
struct Attempt<'a> {
    shared: &'a Shared,
    peer: IpAddr,
    role: &'a str,
    who: Who,
    charged: bool,
}

impl<'a> Attempt<'a> {
    fn begin(
        shared: &'a Shared,
        peer: IpAddr,
        endpoint: &EndpointId,
        role: &'a str,
    ) -> Result<Self, ClientError> {
        let who = shared.throttle.who(peer, endpoint, role);
        let attempt = Self { shared, peer, role, who, charged: false };
        attempt.may_try()?;
        Ok(attempt)
    }

    /// Asked again right before a password is compared: others may have failed meanwhile.
    fn may_try(&self) -> Result<(), ClientError> {
        self.shared.throttle.check(self.who, Mono::now()).map_err(|wait| {
            let text = format!("too many failed logins for user {} from this address", quoted(self.role));
            ClientError::fatal(SqlState::INVALID_AUTHORIZATION, text)
                .with_detail(format!("The next try is possible in {} s.", wait.as_secs() + 1))
                .with_hint(help("too-many-failed-logins"))
        })
    }

    /// Charged at once, before anybody is told.
    fn failed(&mut self) {
        self.charged = true;
        self.shared.throttle.charge(self.who, Mono::now());
    }

    fn refuse(&mut self, error: &ScramError) -> End {
        let error = error.client_error(self.role);
        if error.code != SqlState::INVALID_PASSWORD {
            return End::Refuse(error);
        }
        self.failed();
        End::Refuse(wrong_password(self.role))
    }

    /// A password that carries its route fails SCRAM first; that was no guess.
    fn succeeded(mut self) {
        if std::mem::take(&mut self.charged) {
            self.shared.throttle.refund(self.who);
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.charged {
            self.shared.metrics.auth_failures.inc();
            tracing::info!(role = self.role, peer = %self.peer, "password authentication failed");
        }
    }
}

/// A right password is not enough when the role may not log in.
fn permitted(role: &str, stored: Option<&StoredRole>) -> Result<(), ClientError> {
    if stored.is_none_or(|s| s.can_login) {
        return Ok(());
    }
    let text = format!("role {} is not permitted to log in", quoted(role));
    Err(ClientError::fatal(SqlState::INVALID_AUTHORIZATION, text))
}

fn wrong_password(role: &str) -> ClientError {
    ClientError::invalid_password(role).with_hint(help("wrong-password"))
}

/// The keys to prove against: the real ones, or made-up ones that nobody can satisfy.
fn credential(shared: &Shared, role: &str, stored: Option<&StoredRole>) -> Result<Credential, ClientError> {
    let doomed = || Credential::doomed(&shared.doom_secret, role);
    let Some(stored) = stored else { return Ok(doomed()) };
    let expired = stored.valid_until.is_some_and(|until| until <= clock::now());
    let (Some(password), false) = (&stored.password, expired) else { return Ok(doomed()) };
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

async fn prove_by_scram(
    shared: &Shared,
    client: &mut Client,
    attempt: &mut Attempt<'_>,
    stored: Option<&StoredRole>,
) -> Result<(), End> {
    let role = attempt.role;
    let credential = credential(shared, role, stored)?;
    let binding =
        if client.stream.is_tls() { shared.tls.as_ref().and_then(|t| t.binding.clone()) } else { None };
    let mut exchange = Exchange::new(credential, binding);
    let offer = AuthenticationSasl::new(exchange.mechanisms().iter().copied());
    client.send(&offer.encode()).await?;
    let first = SaslInitialResponse::decode(&password_body(client).await?).map_err(malformed)?;
    let mut reply = exchange.begin(&first).map_err(|e| attempt.refuse(&e))?;
    loop {
        match reply {
            Reply::Continue(message) => {
                client.send(&message.encode()).await?;
                let answer = SaslResponse::decode(&password_body(client).await?).map_err(malformed)?;
                attempt.may_try()?;
                reply = exchange.respond(&answer).map_err(|e| attempt.refuse(&e))?;
            }
            Reply::Final(message) => return client.send(&message.encode()).await,
        }
    }
}

/// Only a wrong password (not a protocol error), and only where nobody can listen.
fn may_ask_in_the_clear(client: &Client, error: &ClientError) -> bool {
    client.stream.is_tls() && error.code == SqlState::INVALID_PASSWORD
}

async fn prove_in_the_clear(
    shared: &Shared,
    client: &mut Client,
    attempt: &Attempt<'_>,
) -> Result<(EndpointId, Option<StoredRole>), End> {
    let role = attempt.role;
    client.send(&AuthenticationCleartextPassword.encode()).await?;
    let message = PasswordMessage::decode(&password_body(client).await?).map_err(malformed)?;
    let Some((routed, password)) = route::from_password(message.password.expose()) else {
        return Err(wrong_password(role).into());
    };
    let endpoint = shared.wake.locate(&routed.route)?;
    let stored = shared.wake.stored_password(&endpoint, role).await?;
    let credential = credential(shared, role, stored.as_ref())?;
    let password = Secret::new(password.to_vec());
    let right = task::blocking(move || match credential {
        Credential::Known(verifier) => verifier.matches_password(password.expose()),
        Credential::Doomed { .. } => false,
    });
    if right.await { Ok((endpoint, stored)) } else { Err(wrong_password(role).into()) }
}

async fn password_body(client: &mut Client) -> Result<bytes::Bytes, End> {
    let frame = client.message().await?;
    if frame.tag == PASSWORD {
        return Ok(frame.body);
    }
    Err(ClientError::protocol_violation("expected a password message")
        .with_hint(help("protocol-violation"))
        .into())
}

fn malformed(error: Malformed) -> End {
    ClientError::protocol_violation(error.to_string()).with_hint(help("protocol-violation")).into()
}
