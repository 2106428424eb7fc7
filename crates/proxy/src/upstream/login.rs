//! Who is it? As `auth_type` and the list of users say.
//!
//! A role that the list does not know is asked like any other, and fails at the end.

use std::net::SocketAddr;

use dormouse_base::clock::Mono;
use dormouse_base::{EndpointId, Secret, rand};
use dormouse_pgwire::auth::md5;
use dormouse_pgwire::auth::scram::server::{Exchange, Reply};
use dormouse_pgwire::auth::scram::{Credential, ScramError, Verifier};
use dormouse_pgwire::backend::{AuthenticationMd5Password, AuthenticationOk, AuthenticationSasl};
use dormouse_pgwire::client_error::quoted;
use dormouse_pgwire::frontend::{PasswordMessage, SaslInitialResponse, SaslResponse};
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pgwire::startup::{Params, Startup};
use dormouse_pgwire::{ClientError, Encode};
use dormouse_pooler::config::names;
use dormouse_pooler::config::userlist::Password;
use dormouse_runtime::task;
use sha2::{Digest, Sha256};

use super::config::AuthType;
use super::{State, Upstream};
use crate::bound::UNIX_PEER;
use crate::console;
use crate::route::{Pooling, Route};
use crate::session::io::Client;
use crate::session::login::{LoggedIn, Login, ask_in_the_clear, malformed, password_body};
use crate::session::{End, Shared, help};
use crate::stream::ClientStream;

/// Stands for the whole pooler where guesses are counted.
const EVERYTHING: &str = "ep-pool";

/// What a client is called whose address is a Unix socket.
const UNIX_NAME: &str = "unix";

/// Authenticates, and finds the client's pool; on success the client has been told so.
pub(crate) async fn login(
    shared: &Shared,
    upstream: &Upstream,
    client: &mut Client,
    mut startup: Startup,
    peer: SocketAddr,
) -> Result<Login, End> {
    let role = startup.params.user().ok_or_else(ClientError::no_user)?.to_owned();
    let state = upstream.state();
    encrypted_as_demanded(&state, client)?;
    if startup.params.is_replication() {
        let text = "replication connections cannot be pooled";
        let error = ClientError::fatal(SqlState::FEATURE_NOT_SUPPORTED, text);
        return Err(error.with_hint("Connect to the server itself.").into());
    }
    prove(shared, upstream, &state, client, &role, peer).await?;
    let database = startup.params.database().unwrap_or(&role).to_owned();
    let is_entry = state.plan.ini.databases.iter().any(|entry| entry.name == database);
    if !is_entry && console::asks_for(&Route::Default, &database) {
        return Ok(Login::Console(console::admit_proved(shared, &role, peer)?));
    }
    let endpoint = upstream.entry(&database)?;
    let forced = state.plan.ini.database(&database).and_then(|entry| entry.user.clone());
    prepare(&mut startup.params, &state, &database, forced.as_deref().unwrap_or(&role), peer);
    client.send(&AuthenticationOk.encode()).await?;
    Ok(Login::Role(LoggedIn { endpoint, startup, mode: Some(Pooling::AsSet) }))
}

fn encrypted_as_demanded(state: &State, client: &Client) -> Result<(), ClientError> {
    let mode = state.plan.client_tls.mode;
    if matches!(client.stream, ClientStream::Unix(_)) || !mode.is_demanded() {
        return Ok(());
    }
    if !client.stream.is_tls() {
        return Err(ClientError::tls_required());
    }
    if mode.is_verified() && client.stream.certificates().is_none_or(<[_]>::is_empty) {
        let text = "this server asks every client for a certificate";
        return Err(ClientError::fatal(SqlState::INVALID_AUTHORIZATION, text)
            .with_hint(format!("Set sslcert and sslkey. {}", help("client-certificate-required"))));
    }
    Ok(())
}

/// What the pool is to see of the startup message.
fn prepare(params: &mut Params, state: &State, database: &str, role: &str, peer: SocketAddr) {
    let settings = state.plan.ini.settings_of(database, role);
    for name in names(&settings.ignore_startup_parameters) {
        drop(params.remove(name));
    }
    let mut set = |name: &str, value: &str| {
        params.set(name, value).expect("names and addresses of our own, and names without NUL, can be sent");
    };
    set("user", role);
    if settings.application_name_add_host {
        let from = if peer == UNIX_PEER { UNIX_NAME.to_owned() } else { peer.to_string() };
        let name = params.get("application_name").unwrap_or("app").to_owned();
        params.set("application_name", format!("{name} - {from}")).expect("a name without NUL stays one");
    }
}

async fn prove(
    shared: &Shared,
    upstream: &Upstream,
    state: &State,
    client: &mut Client,
    role: &str,
    peer: SocketAddr,
) -> Result<(), End> {
    let known = upstream.0.users.list.read().get(role).cloned();
    match (state.plan.auth, &known) {
        (AuthType::Any, _) | (AuthType::Trust, Some(_)) => return Ok(()),
        (AuthType::Trust, None) => {
            let text = format!("no such user: {}", quoted(role));
            return Err(ClientError::fatal(SqlState::INVALID_AUTHORIZATION, text)
                .with_hint("auth_file of the pooler does not list it.")
                .into());
        }
        _ => {}
    }
    let everything: EndpointId = EVERYTHING.parse().expect("it is an ID");
    let who = shared.throttle.who(peer.ip(), &everything, role);
    shared.throttle.check(who, Mono::now()).map_err(|wait| {
        let text = format!("too many failed logins for user {} from this address", quoted(role));
        ClientError::fatal(SqlState::INVALID_AUTHORIZATION, text)
            .with_detail(format!("The next try is possible in {} s.", wait.as_secs() + 1))
            .with_hint(help("too-many-failed-logins"))
    })?;
    let right = match (state.plan.auth, &known) {
        (AuthType::Scram, _) | (AuthType::Md5, Some(Password::Scram(_))) => {
            by_scram(shared, upstream, client, role, known.as_ref()).await?
        }
        (AuthType::Plain, _) => by_plain(client, role, known).await?,
        _ => by_md5(client, role, known.as_ref()).await?,
    };
    if right {
        return Ok(());
    }
    shared.throttle.charge(who, Mono::now());
    shared.metrics.auth_failures.inc();
    tracing::info!(role, %peer, "password authentication failed");
    Err(ClientError::invalid_password(role)
        .with_hint("The password is the one in auth_file of the pooler.")
        .into())
}

async fn by_plain(client: &mut Client, role: &str, known: Option<Password>) -> Result<bool, End> {
    let given = ask_in_the_clear(client).await?;
    let same = |a: &[u8], b: &[u8]| Sha256::digest(a) == Sha256::digest(b);
    Ok(match known {
        Some(Password::Plain(password)) => same(password.expose().as_bytes(), given.expose()),
        Some(Password::Md5(stored)) => {
            same(stored.expose().as_bytes(), md5::stored(given.expose(), role).expose().as_bytes())
        }
        Some(Password::Scram(verifier)) => {
            task::blocking(move || verifier.matches_password(given.expose())).await
        }
        Some(Password::None) | None => false,
    })
}

async fn by_md5(client: &mut Client, role: &str, known: Option<&Password>) -> Result<bool, End> {
    let salt = rand::bytes();
    client.send(&AuthenticationMd5Password { salt }.encode()).await?;
    let given = PasswordMessage::decode(&password_body(client).await?).map_err(malformed)?.password;
    let stored: Option<Secret<String>> = match known {
        Some(Password::Plain(password)) => Some(md5::stored(password.expose(), role)),
        Some(Password::Md5(stored)) => Some(stored.clone()),
        Some(Password::Scram(_) | Password::None) | None => None,
    };
    Ok(stored.is_some_and(|stored| md5::is_right(&stored, salt, given.expose())))
}

async fn by_scram(
    shared: &Shared,
    upstream: &Upstream,
    client: &mut Client,
    role: &str,
    known: Option<&Password>,
) -> Result<bool, End> {
    let verifier = verifier(upstream, role, known).await;
    let credential =
        verifier.map_or_else(|| Credential::doomed(&shared.doom_secret, role), Credential::Known);
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
                reply = exchange.respond(&answer);
            }
            Ok(Reply::Final(message)) => {
                client.send(&message.encode()).await?;
                break;
            }
            Err(ScramError::WrongProof) => return Ok(false),
            Err(error) => return Err(error.client_error(role).into()),
        }
    }
    if let (Some(Password::Scram(_)), Some(keys)) = (known, exchange.login_keys()) {
        upstream.0.users.keys.lock().insert(role.to_owned(), keys);
    }
    Ok(true)
}

/// What a role must prove; made once for a password that the list has in the clear.
async fn verifier(upstream: &Upstream, role: &str, known: Option<&Password>) -> Option<Verifier> {
    let password = match known? {
        Password::Scram(verifier) => return Some(verifier.clone()),
        Password::Plain(password) => password.clone(),
        Password::Md5(_) | Password::None => return None,
    };
    let users = &upstream.0.users;
    if let Some(verifier) = users.verifiers.lock().get(role) {
        return Some(verifier.clone());
    }
    let made = task::blocking(move || Verifier::generate(password.expose())).await;
    users.verifiers.lock().insert(role.to_owned(), made.clone());
    Some(made)
}
