//! Who may use the console.
//!
//! A role of a database must never get here: it could stop everybody else's work. So the password is not a
//! role's but an API key, which the operator has anyway, and which opens nothing that the API does not open. A
//! key is not known as a verifier, so it is asked for in the clear, and therefore only over TLS or on this
//! machine. Names are PgBouncer's: `admin_users` may do everything, `stats_users` may look. Whether a name is one
//! of them is not told before the key is right.

use std::net::SocketAddr;

use dormouse_base::Secret;
use dormouse_base::clock::Mono;
use dormouse_pgwire::ClientError;
use dormouse_pgwire::client_error::quoted;
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pooler::admin::Width;
use dormouse_pooler::config::{self, Settings};

use super::names::{self, CONSOLE};
use crate::pooled::Seated;
use crate::pooled::pools::PoolKey;
use crate::route::Route;
use crate::session::io::Client;
use crate::session::{End, Shared, help, login};
use crate::upstream::journal::Journal;
use crate::upstream::{CONSOLE_NAME, Upstream};

/// Where the console would be if it were a server.
const CONSOLE_ENDPOINT: &str = "ep-console";

/// An operator who has proved to be one.
#[derive(Debug)]
pub(crate) struct Admin {
    pub(super) name: String,
    pub(super) peer: SocketAddr,
    /// Whether it may run every command, or only SHOW.
    pub(super) may_change: bool,
    /// What its tables have.
    pub(super) width: Width,
    /// What it calls itself.
    pub(crate) application_name: String,
    /// Where it is logged.
    pub(crate) journal: Option<Box<Journal>>,
    /// Its number, if it has one already; else zero.
    pub(crate) number: u32,
    /// Its places among the clients.
    pub(super) seated: Option<Seated>,
}

impl Admin {
    fn new(name: &str, peer: SocketAddr, may_change: bool) -> Self {
        let (name, application_name) = (name.to_owned(), String::new());
        let width = Width::Ours;
        Self { name, peer, may_change, width, application_name, journal: None, number: 0, seated: None }
    }

    /// Who came to this one of the console's databases.
    pub(crate) fn on(self, database: &str) -> Self {
        Self { width: names::width(database), ..self }
    }
}

/// Whether a login is meant for the console. A database of that name is reached by naming its branch or endpoint.
pub(crate) fn asks_for(route: &Route, database: &str) -> bool {
    *route == Route::Default && CONSOLE.contains(&database)
}

/// Asks for an API key.
pub(crate) async fn admit(
    shared: &Shared,
    client: &mut Client,
    name: &str,
    peer: SocketAddr,
) -> Result<Admin, End> {
    if !client.stream.is_tls() && !peer.ip().to_canonical().is_loopback() {
        let text = "the console is reached over TLS, or from the server's own machine";
        let error = ClientError::fatal(SqlState::INVALID_AUTHORIZATION, text);
        return Err(error
            .with_hint(format!("Connect with sslmode=require. {}", help("console-login")))
            .into());
    }
    let who = shared.throttle.console(peer.ip());
    let may_try = || {
        shared.throttle.check(who, Mono::now()).map_err(|wait| {
            ClientError::fatal(SqlState::INVALID_AUTHORIZATION, "too many failed logins from this address")
                .with_detail(format!("The next try is possible in {} s.", wait.as_secs() + 1))
                .with_hint(help("too-many-failed-logins"))
        })
    };
    may_try()?;
    let key = login::ask_in_the_clear(client).await?;
    may_try()?;
    let may_change = may(&shared.pools.settings(), name);
    match may_change.filter(|_| knows(shared, &key)) {
        Some(may_change) => Ok(Admin::new(name, peer, may_change)),
        None => {
            shared.throttle.charge(who, Mono::now());
            shared.metrics.auth_failures.inc();
            tracing::info!(user = name, %peer, "login to the console failed");
            let text = format!("password authentication failed for user {}", quoted(name));
            Err(ClientError::fatal(SqlState::INVALID_PASSWORD, text).with_hint(help("console-login")).into())
        }
    }
}

/// Lets a role in that has proved itself to the pooler of ordinary servers: there the file lists the operators.
pub(crate) fn admit_proved(shared: &Shared, name: &str, peer: SocketAddr) -> Result<Admin, ClientError> {
    let settings = shared.pools.settings();
    let listed = |list: &str| config::names(list).any(|known| known == name);
    let may_change = listed(&settings.admin_users);
    if !may_change && !listed(&settings.stats_users) {
        tracing::info!(user = name, %peer, "login to the console failed");
        let text = format!("user {} may not use the console", quoted(name));
        return Err(ClientError::fatal(SqlState::INVALID_AUTHORIZATION, text)
            .with_hint("List it in admin_users or stats_users of the pooler's configuration."));
    }
    seat(shared, name, peer, may_change)
}

/// Lets the pooler's own account in, which may do everything.
pub(crate) fn admit_operator(shared: &Shared, name: &str, peer: SocketAddr) -> Result<Admin, ClientError> {
    seat(shared, name, peer, true)
}

fn seat(shared: &Shared, name: &str, peer: SocketAddr, may_change: bool) -> Result<Admin, ClientError> {
    let take = || shared.pools.seat_operator(&key(name), may_change);
    // Whoever has left may not have been noticed yet.
    let seated = take().or_else(|full| if shared.operators.free_seats() { take() } else { Err(full) })?;
    Ok(Admin { seated: Some(seated), ..Admin::new(name, peer, may_change) })
}

/// The console's own pool, which has no backends.
pub(super) fn key(name: &str) -> PoolKey {
    PoolKey {
        endpoint: CONSOLE_ENDPOINT.parse().expect("it is an ID"),
        database: CONSOLE_NAME.to_owned(),
        role: name.to_owned(),
        people: Upstream::everybody(),
    }
}

fn knows(shared: &Shared, key: &Secret<Vec<u8>>) -> bool {
    std::str::from_utf8(key.expose()).is_ok_and(|key| shared.wake.knows_key(key))
}

/// Whether a user may do everything (true) or only look; `None`: neither.
fn may(settings: &Settings, name: &str) -> Option<bool> {
    let listed = |list: &str| config::names(list).any(|known| known == name);
    let is_admin = if config::names(&settings.admin_users).next().is_none() {
        CONSOLE.contains(&name)
    } else {
        listed(&settings.admin_users)
    };
    (is_admin || listed(&settings.stats_users)).then_some(is_admin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_has_no_route() {
        assert!(asks_for(&Route::Default, "pgbouncer") && asks_for(&Route::Default, "dormouse"));
        assert!(!asks_for(&Route::Default, "app"));
        assert!(!asks_for(&Route::Endpoint("ep-x".to_owned()), "dormouse"));
    }

    #[test]
    fn who_may_what() {
        let mut settings = Settings::default();
        assert_eq!(may(&settings, "dormouse"), Some(true));
        assert_eq!((may(&settings, "anna"), may(&settings, "")), (None, None));
        settings.set("admin_users", "anna, ben").unwrap();
        settings.set("stats_users", "exporter").unwrap();
        assert_eq!((may(&settings, "ben"), may(&settings, "exporter")), (Some(true), Some(false)));
        assert_eq!(may(&settings, "dormouse"), None, "a list of admins replaces the usual names");
    }
}
