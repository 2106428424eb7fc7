//! Who is it? As `auth_type`, the list of users and the HBA file say.
//!
//! ```text
//!  startup ─► console by socket? ─► known? ─no─► auth_query ─► prove ─► console / replication / pool
//! ```
//!
//! That a database does not exist is told after the proof only, as nobody else needs to know.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use dormouse_base::EndpointId;
use dormouse_base::clock::Mono;
use dormouse_pgwire::backend::AuthenticationOk;
use dormouse_pgwire::client_error::quoted;
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pgwire::startup::Startup;
use dormouse_pgwire::{ClientError, Encode};
use dormouse_pooler::config::Settings;
use dormouse_pooler::config::hba::Visitor;
use dormouse_pooler::pool::Farewell;

use super::config::AuthType;
use super::encryption::TlsMode;
use super::journal::Journal;
use super::lookup::{Lookup, misconfigured};
use super::prove::{Claimant, method, prove};
use super::startup::{self, prepare};
use super::users::Known;
use super::{CONSOLE_NAME, State, Upstream};
use crate::bound::UNIX_PEER;
use crate::console;
use crate::route::{Pooling, Route};
use crate::session::io::Client;
use crate::session::login::{LoggedIn, Login};
use crate::session::patience::Patience;
use crate::session::{End, Shared, help};
use crate::stream::ClientStream;
use crate::throttle::Who;

/// Stands for the whole pooler where guesses are counted.
static EVERYTHING: LazyLock<EndpointId> = LazyLock::new(|| "ep-pool".parse().expect("it is an ID"));

/// Who may use the console from the pooler's own account, on a Unix socket.
const OPERATOR: &str = "pgbouncer";

/// Bytes that a client may say while a server is asked for its role; behind more it is not noticed when it leaves.
const MAX_EARLY: usize = 4096;

/// What a client is called that has not said who it is: its database, its role.
const NOBODY: (&str, &str) = ("(nodb)", "(nouser)");

/// One login.
struct Attempt<'a> {
    shared: &'a Shared,
    upstream: &'a Upstream,
    state: &'a State,
    peer: SocketAddr,
    role: &'a str,
    database: &'a str,
    journal: Journal,
    settings: Arc<Settings>,
}

/// Authenticates, and finds the client's pool; on success the client has been told so.
pub(crate) async fn login(
    shared: &Shared,
    upstream: &Upstream,
    client: &mut Client,
    startup: Startup,
    (peer, patience): (SocketAddr, Patience),
) -> Result<Login, End> {
    let role = startup.params.user().ok_or_else(ClientError::no_user)?.to_owned();
    let database = startup.params.database().unwrap_or(&role).to_owned();
    let application = startup.params.get("application_name").unwrap_or_default().to_owned();
    let number = shared.pools.number();
    let process = client.stream.owner().map_or(0, |(_, process)| process);
    let journal = Journal::client(number, (&database, &role), peer, (process, shared.address.port()));
    let state = upstream.state();
    let settings = shared.pools.settings();
    let attempt = Attempt {
        shared,
        upstream,
        state: &state,
        peer,
        role: &role,
        database: &database,
        journal,
        settings,
    };
    let mut done = patience.limit(attempt.run(client, startup)).await;
    match &mut done {
        Ok(Login::Role(who) | Login::Replication(who)) => {
            who.number = Some(number);
            who.name = Some(role.clone());
            who.journal = Some(Box::new(attempt.journal));
        }
        Ok(Login::Console(admin)) => {
            admin.number = number;
            admin.application_name = application;
            admin.journal = Some(Box::new(attempt.journal));
        }
        Err(End::Refuse(error)) => attempt.journal.refused(&attempt.settings, &error.message),
        Err(_) => {}
    }
    done
}

/// A client was told to go before it had said who it is.
pub(crate) fn never_began(shared: &Shared, peer: SocketAddr) {
    let here = (0, shared.address.port());
    Journal::client(shared.pools.number(), NOBODY, peer, here)
        .refused(&shared.pools.settings(), Farewell::ClientLoginTimeout.message());
}

impl Attempt<'_> {
    async fn run(&self, client: &mut Client, mut startup: Startup) -> Result<Login, End> {
        encrypted_as_demanded(self.state, client)?;
        let has_entry = self.state.plan.ini.databases.iter().any(|entry| entry.name == self.database);
        let is_console = !has_entry && console::asks_for(&Route::Default, self.database);
        if is_console && let Some(login) = self.operator(client)? {
            return Ok(login);
        }
        let replication = startup.params.is_replication();
        let physical = replication && startup.params.replication() != Some("database");
        self.prove(client, is_console, physical).await?;
        if is_console {
            return Ok(self.listed()?);
        }
        let endpoint = self.upstream.entry(self.database)?;
        if self.upstream.is_ending() {
            let text = "pooler is shutting down";
            return Err(ClientError::fatal(SqlState::CANNOT_CONNECT_NOW, text).into());
        }
        // As the file is now: it may have been read again while the client was asked for proof.
        let state = self.upstream.state();
        let ini = &state.plan.ini;
        let forced = ini.database(self.database).and_then(|entry| entry.user.as_deref());
        let role = forced.unwrap_or(self.role);
        let layers = ini.settings_of(self.database, role);
        if replication {
            startup.params.set("user", role).map_err(|e| ClientError::protocol_violation(e.to_string()))?;
        } else {
            let from = || {
                let process = client.stream.owner().map_or(0, |(_, process)| process);
                startup::from(self.peer, (process, self.shared.address.port()))
            };
            prepare(&mut startup.params, &layers, role, from)?;
        }
        client.hold(&AuthenticationOk.encode());
        let who = LoggedIn {
            role_oid: None,
            endpoint,
            startup,
            mode: Some(Pooling::AsSet),
            name: None,
            number: None,
            journal: None,
        };
        Ok(if replication { Login::Replication(who) } else { Login::Role(who) })
    }

    /// The pooler's own account, on this machine, may do everything; and with `auth_type = any` whoever is listed.
    fn operator(&self, client: &Client) -> Result<Option<Login>, ClientError> {
        let own = rustix::process::geteuid().as_raw();
        if self.role == OPERATOR && client.stream.owner().is_some_and(|(uid, _)| uid == own) {
            if self.settings.log_connections {
                self.journal.say("pgbouncer access from unix socket");
            }
            let admin = console::admit_operator(self.shared, self.role, self.peer)?;
            return Ok(Some(Login::Console(admin.on(self.database))));
        }
        if self.state.plan.auth == AuthType::Any {
            return self.listed().map(Some);
        }
        Ok(None)
    }

    /// Who has proved itself, if the file lists it among the operators.
    fn listed(&self) -> Result<Login, ClientError> {
        let admin = console::admit_proved(self.shared, self.role, self.peer)?;
        Ok(Login::Console(admin.on(self.database)))
    }

    async fn prove(&self, client: &mut Client, is_console: bool, physical: bool) -> Result<(), End> {
        let Self { shared, upstream, state, role, .. } = *self;
        if state.plan.auth == AuthType::Any {
            if state.plan.ini.database(self.database).is_some_and(|entry| entry.user.is_none()) {
                self.journal.warn("auth_type=any requires forced user");
                return Err(misconfigured().into());
            }
            return Ok(());
        }
        // Before a server is asked anything.
        let guesses = shared.throttle.who(self.peer.ip(), &EVERYTHING, role);
        may_try(shared, guesses, role)?;
        let (known, looked_up) = self.known(client, is_console).await?;
        let visitor = Visitor {
            from: (self.peer != UNIX_PEER).then(|| self.peer.ip()),
            tls: client.stream.is_tls(),
            // Whichever of its names was said, it is one database: no rule may be passed by under the other one.
            database: if is_console { CONSOLE_NAME } else { self.database },
            user: role,
            replication: physical,
        };
        let Some(method) = method(state, visitor) else {
            let text = "no authentication method is found";
            return Err(ClientError::fatal(SqlState::INVALID_AUTHORIZATION, text).into());
        };
        if self.settings.log_connections {
            let tls = Some(client.stream.tls_words()).filter(|words| !words.is_empty());
            let tls = tls.unwrap_or_else(|| "no".to_owned());
            self.journal.say(format_args!("login attempt: db={} user={role} tls={tls}", self.database));
        }
        let who = Claimant { role, known, guesses, journal: &self.journal };
        let Err(what) = prove(shared, state, client, &method, &who).await? else {
            if let Some(known) = who.known.filter(|_| looked_up && !is_console) {
                upstream.0.users.remember(self.database, role, known);
            }
            return Ok(());
        };
        shared.throttle.charge(guesses, Mono::now());
        shared.metrics.auth_failures.inc();
        let told = ClientError::invalid_password(role);
        let text = if what == "SASL" {
            format!("SASL authentication failed: {}", told.message)
        } else {
            told.message
        };
        Err(ClientError::fatal(SqlState::INVALID_PASSWORD, text)
            .with_hint("The password is the one in auth_file of the pooler, or of its auth_query.")
            .into())
    }

    /// What the role must show, from the list or a server, and whether it is from a server.
    async fn known(&self, client: &mut Client, is_console: bool) -> Result<(Option<Arc<Known>>, bool), End> {
        let users = &self.upstream.0.users;
        let listed = users.listed(self.role);
        if listed.is_some() {
            return Ok((listed, false));
        }
        let database = (!is_console).then_some(self.database);
        if let Some(lookup) = Lookup::of(self.state, database) {
            let found = tokio::select! {
                found = lookup.find(self.shared, self.upstream, self.role, &self.journal) => found?,
                () = client.left(MAX_EARLY) => return Err(End::Quiet("client_left")),
            };
            let found = found.ok_or_else(|| {
                let text = "no such user";
                ClientError::fatal(SqlState::INVALID_AUTHORIZATION, text)
                    .with_hint("Neither auth_file nor auth_query of the pooler knows this role.")
            })?;
            return Ok((Some(users.found(self.database, self.role, found)), true));
        }
        self.journal.say(format_args!("no such user: {}", quoted(self.role).trim_matches('"')));
        Ok((None, false))
    }
}

/// Asked when a login begins, and again right before what it shows is compared: others may have failed meanwhile.
pub(super) fn may_try(shared: &Shared, guesses: Who, role: &str) -> Result<(), ClientError> {
    shared.throttle.check(guesses, Mono::now()).map_err(|wait| {
        let text = format!("too many failed logins for user {} from this address", quoted(role));
        ClientError::fatal(SqlState::INVALID_AUTHORIZATION, text)
            .with_detail(format!("The next try is possible in {} s.", wait.as_secs() + 1))
            .with_hint(help("too-many-failed-logins"))
    })
}

fn encrypted_as_demanded(state: &State, client: &Client) -> Result<(), ClientError> {
    let mode: TlsMode = state.encryption.clients;
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

#[cfg(test)]
mod tests;
