//! What did a transaction leave behind?
//!
//! Text tells much, but not all: a function may call `set_config`, a savepoint may be rolled back, `DO` may do
//! anything. When the text of a statement says that something *may* outlive it, the backend is asked before it
//! is given to another client. One message answers all:
//!
//! | kind | what | where PostgreSQL has it |
//! |---|---|---|
//! | `r` | the role that is played, and the one without that | `current_setting`, `set_config` up to the end of the question |
//! | `s` | a setting of the session | `pg_settings`, `current_setting` for those that are not listed there |
//! | `p` | a statement prepared by SQL | `pg_prepared_statements` |
//! | `l` | a channel that is listened on | `pg_listening_channels()` |
//! | `h` | a cursor WITH HOLD | `pg_cursors` |
//! | `a` | an advisory lock of the session | `pg_locks` |
//! | `t` | something temporary | what depends on the session's own schema |
//!
//! Every name in it has its schema, operators too: the path is the client's, who may have an `=` of its own.
//!
//! Of what only keeps a client on its backend one row is enough, however much of it there is. Channels, of which there
//! may be many, come last: a limit on rows must not hide anything else.
//!
//! Why no role is played cannot be asked either: see [`super::down`].
//!
//! One thing cannot be asked for: custom settings (`my.name`) under names that nobody told us. After code that may
//! have made some, all settings are reset before another client has the backend ([`super::replay`]).

use std::fmt::Write;

use super::client::Client;
use super::down::role_meant;
use super::server::Server;
use super::stateful::Stateful;
use crate::settings::{
    CAPTURE_ROLE, NO_ROLE, ROLE, SESSION_AUTHORIZATION, Settings, capture_sql, may_be_hidden,
};

/// Rows of an answer that are read. Whoever has more, which can only be channels, keeps its backend.
const MAX_FOUND: usize = 1000;

/// What a backend answered.
#[derive(Debug, Default)]
pub struct Findings {
    /// What it was asked about, if anything.
    asked: Stateful,
    /// Kind, name, value.
    rows: Vec<(u8, String, String)>,
    /// The message of the error, if it was one.
    error: Option<String>,
}

impl Findings {
    /// Of a query that asks about this.
    pub(super) fn about(asked: Stateful) -> Self {
        Self { asked, ..Self::default() }
    }

    /// Whether they are the answer to a question, and not only that another query of ours is over.
    pub(super) fn answer(&self) -> bool {
        self.error.is_none() && !self.asked.is_empty()
    }

    /// The error, if our query failed.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    pub(super) fn fail(&mut self, message: String) {
        self.error = Some(message);
    }

    /// Takes the body of a DataRow.
    pub(super) fn row(&mut self, body: &[u8]) {
        if self.rows.len() >= MAX_FOUND {
            return;
        }
        let mut rest = body.get(2..).unwrap_or_default();
        let mut next = || {
            let (len, tail) = rest.split_first_chunk::<4>()?;
            let len = usize::try_from(i32::from_be_bytes(*len)).unwrap_or(0);
            let (value, tail) = tail.split_at_checked(len)?;
            rest = tail;
            Some(String::from_utf8_lossy(value).into_owned())
        };
        if let (Some(kind), Some(name), Some(value)) = (next(), next(), next()) {
            self.rows.push((kind.bytes().next().unwrap_or(0), name, value));
        }
    }
}

/// What settings are asked for by.
pub(super) const SETTINGS: Stateful = Stateful::SETTING.with(Stateful::UNKNOWN_SETTING);

const PREPARED: &str =
    "SELECT 'p', '', '' WHERE EXISTS (SELECT FROM pg_catalog.pg_prepared_statements WHERE from_sql)";
const CHANNELS: &str = "SELECT 'l', c, '' FROM pg_catalog.pg_listening_channels() c";
const CURSORS: &str = "SELECT 'h', '', '' WHERE EXISTS (SELECT FROM pg_catalog.pg_cursors WHERE is_holdable)";
const LOCKS: &str = "SELECT 'a', '', '' WHERE EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype OPERATOR(pg_catalog.=) 'advisory' AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid())";
/// Whatever is in the session's own schema depends on it: tables, functions, types, statistics.
const TEMPORARY: &str = "SELECT 't', '', '' WHERE EXISTS (SELECT FROM pg_catalog.pg_depend WHERE refclassid OPERATOR(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass AND refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema())";

/// The query for a set of things.
pub(super) fn question(ask: Stateful, known: &Settings) -> String {
    // No time limit is lifted in front of it: that would be what it is asked for.
    let mut sql = String::new();
    if ask.any(SETTINGS) {
        let asked = capture_sql(known, None);
        let _infallible =
            write!(sql, "{CAPTURE_ROLE}SELECT 's', name, setting FROM ({asked}) s (name, setting)");
    }
    let parts = [
        (Stateful::PREPARE, PREPARED),
        (Stateful::HOLD, CURSORS),
        (Stateful::ADVISORY, LOCKS),
        (Stateful::TEMP, TEMPORARY),
        (Stateful::LISTEN, CHANNELS),
    ];
    for (_, part) in parts.into_iter().filter(|(kind, _)| ask.any(*kind)) {
        if !sql.is_empty() {
            sql.push_str(" UNION ALL ");
        }
        sql.push_str(part);
    }
    sql
}

/// Takes what was found over.
pub(super) fn take(client: &mut Client, server: &mut Server, findings: &Findings) {
    let asked = findings.asked;
    server.ask = server.ask.without(asked);
    let found = |kind: u8| findings.rows.iter().any(|row| row.0 == kind);
    let pins = [
        (b'p', Stateful::PREPARE),
        (b'l', Stateful::LISTEN),
        (b'h', Stateful::HOLD),
        (b'a', Stateful::ADVISORY),
        (b't', Stateful::TEMP),
    ];
    let mut pinned = Stateful::default();
    for (kind, pin) in pins {
        let still = if asked.any(pin) { found(kind) } else { server.pinned.any(pin) };
        if still {
            pinned = pinned.with(pin);
        }
    }
    server.pinned = pinned;
    server.process.latent &= pinned.any(Stateful::PREPARE) || client.verbatim;
    if asked.any(Stateful::LISTEN) {
        let channels = findings.rows.iter().filter(|row| row.0 == b'l').map(|row| row.1.as_str());
        client.channels = channels.map(Into::into).collect();
        // They could not be listened on again.
        server.spoiled |= client.channels.iter().any(|channel| is_unsayable(channel));
    }
    if asked.any(SETTINGS) {
        take_settings(client, server, findings);
    }
    if findings.rows.len() >= MAX_FOUND {
        // What was not read is there all the same.
        client.keep(server);
    }
}

/// Takes over what was found of settings.
fn take_settings(client: &mut Client, server: &mut Server, findings: &Findings) {
    let mut settings = Settings::default();
    let rows = findings.rows.iter();
    let found = rows.filter_map(|(kind, name, value)| match kind {
        b's' => Some((name.as_str(), value)),
        // The second is the one that the backend began with.
        b'r' if name != value => Some((ROLE, name)),
        _ => None,
    });
    for (name, value) in found {
        let unsayable = server.reads_as_another(name) || server.reads_as_another(value);
        if settings.set(name, value).is_err() || unsayable {
            client.keep(server);
        }
    }
    // Some are shown to few, perhaps not even to the one that logged in; never to another that it made of itself.
    let hidden = server.applied.iter().any(|(name, _)| may_be_hidden(name) && settings.get(name).is_none());
    let veiled = hidden || settings.get(SESSION_AUTHORIZATION).is_some();
    server.process.unlisted |= veiled && !client.keeps;
    server.applied = settings.clone();
    let here = findings.rows.iter().find(|row| row.0 == b'r').map_or(NO_ROLE, |row| row.1.as_str());
    let followed = server.under_way.role.take();
    // RESET makes a custom setting empty here, which is what the session began with where that was said at the login.
    let resets = std::mem::take(&mut server.under_way.resets);
    let is_reset = |name: &str, client: &Client| {
        resets.has(name) && client.wanted.get(name).is_some_and(|before| !before.is_empty())
    };
    // Whatever is not set goes back to what the session began with, but for a role that the client took itself.
    for (name, value) in client.startup.clone().iter() {
        let found = settings.get(name);
        if found.is_none() || found == Some("") && is_reset(name, client) {
            let authorization = server.applied.get(SESSION_AUTHORIZATION);
            let value = match name {
                ROLE => role_meant(followed.as_deref(), &client.wanted, authorization, value, here),
                _ => value,
            };
            if settings.set(name, value).is_err() {
                client.keep(server);
            }
        }
    }
    client.wanted = settings;
    server.watch_settings();
}

/// Whether a text of the client or of the backend is not UTF-8: in whatever encoding it is, it cannot be said again.
pub(super) fn is_unsayable(text: &str) -> bool {
    text.contains(char::REPLACEMENT_CHARACTER)
}
