//! Queries of our own, which the client does not see: settings that are replayed, questions about what a
//! transaction left behind, and the reset of a session.
//!
//! They are only sent to a backend that is idle, and nothing of the client follows before they are answered: a
//! statement must not run with another client's settings because a replay failed.

use std::fmt::Write;
use std::sync::Arc;

use super::client::Client;
use super::expect::Expect;
use super::inspect::{Findings, question};
use super::naming::{self, NamedBy};
use super::parts;
use super::server::Server;
use super::stateful::Stateful;
use crate::settings::{self, Reported, Settings};

/// Ends all statements that have a name.
const FORGET: &str = "DEALLOCATE ALL";

/// Room for the key and the rest of what a new client is told, behind the parameters: bytes.
const REST_OF_GREETING: usize = 64;

/// What a session may have left that nobody has noticed.
const LEFT: Stateful = Stateful::PINS.with(Stateful::SETTING);

/// What to send so that the backend has the settings that the client wants, listens on its channels, and in session mode
/// has its statements; `None` when that is so. To be asked again when that was answered.
#[must_use]
pub fn replay(client: &Client, server: &mut Server) -> Option<Vec<u8>> {
    // Whoever prepared something there without using it may be another.
    server.prepared.say(None);
    // Who is pinned has made them itself, and keeps them.
    let others = match client.verbatim {
        true => server.named_by(client),
        false => {
            server.process.naming.by = NamedBy::Pool;
            false
        }
    };
    let hasty = server.restores().then(|| naming::hasty(&client.wanted));
    let wanted = hasty.as_ref().unwrap_or(&client.wanted);
    let afresh = server.process.unlisted && server.pinned.is_empty();
    let settings = match afresh {
        true => Some(settings::replay_afresh(&server.applied, wanted, &server.reported)),
        false => settings::replay(&server.applied, wanted, &server.reported),
    };
    let deaf = !client.channels.is_empty() && !server.pinned.any(Stateful::LISTEN);
    if settings.is_none() && !deaf && !others {
        return restore(server);
    }
    let mut sql = settings.unwrap_or_default();
    server.applied = wanted.clone();
    server.process.unlisted &= !afresh;
    server.watch_settings();
    if others {
        let before = if sql.is_empty() { "" } else { "; " };
        let _infallible = write!(sql, "{before}{FORGET}");
    }
    if deaf {
        for channel in &client.channels {
            let before = if sql.is_empty() { "" } else { "; " };
            let _infallible = write!(sql, "{before}LISTEN \"{}\"", channel.replace('"', "\"\""));
        }
        server.pinned = server.pinned.with(Stateful::LISTEN);
    }
    Some(own(server, &sql))
}

/// The next of a client's statements, when all else is as it should be.
fn restore(server: &mut Server) -> Option<Vec<u8>> {
    let out = server.restore()?;
    debug_assert!(!server.is_at_rest(), "each of them is answered");
    server.own = Some(Findings::default());
    Some(out)
}

/// What to send so that nothing is left of statements under a client's own names, whatever the reset query was, or if there
/// is none. What else the session has left is asked for, and its settings are reset for the next client.
pub fn forget(server: &mut Server) -> Vec<u8> {
    server.forget();
    server.ask = server.ask.with(LEFT);
    server.process.unlisted = true;
    own(server, FORGET)
}

/// What to send to see whether the backend answers: `server_check_query`.
pub fn check(server: &mut Server, sql: &str) -> Vec<u8> {
    own(server, sql)
}

/// What to send so that the backend is in a failed transaction, as the client is that lost one with its backend.
pub fn fail(server: &mut Server) -> Vec<u8> {
    // The text of the error tells whoever reads PostgreSQL's log what it is about.
    own(server, "BEGIN; SELECT 'the transaction was lost together with its backend'::pg_catalog.int4")
}

/// What to send to learn what the last transaction left behind.
pub fn inspect(client: &Client, server: &mut Server) -> Vec<u8> {
    let (asked, sql) = (server.ask, question(server.ask, &client.wanted));
    let out = own(server, &sql);
    server.own = Some(Findings::about(asked));
    out
}

/// What to send so that no transaction is open.
pub fn roll_back(server: &mut Server) -> Vec<u8> {
    server.under_way.role = None;
    server.under_way.portals.clear();
    server.under_way.fetched.clear();
    own(server, "ROLLBACK")
}

/// What to send so that nothing of the session that had the backend is left. Only `DISCARD ALL` takes everything away;
/// after another text statements are parsed anew, settings are reset for the next client, and the rest is asked for.
pub fn reset(server: &mut Server, sql: &str) -> Vec<u8> {
    server.under_way.portals.clear();
    server.under_way.role = None;
    (server.pinned, server.ask, server.touched) = Default::default();
    let all = Stateful::of(sql.as_bytes()).any(Stateful::DISCARD_ALL);
    if all {
        server.forget();
        server.applied = Settings::default();
        server.watch_settings();
    } else {
        server.prepared.outdate_all();
        server.ask = LEFT;
    }
    server.process.unlisted = !all;
    own(server, sql)
}

/// The parameters that a client believes wrongly on this backend, as messages for it.
pub fn catch_up(client: &mut Client, server: &mut Server, out: &mut Vec<u8>) {
    if client.reported == server.reported {
        // One list for all that believe the same: then the next comparison looks at nothing but its address.
        server.reported = client.reported.clone();
        return;
    }
    for (name, value) in client.reported.news(&server.reported) {
        parts::parameter_status(out, name, value);
    }
    client.reported = server.reported.clone();
}

/// What new clients are told in front of their keys: every parameter, and the same for thousands of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    reported: Reported,
    messages: Arc<[u8]>,
}

impl Greeting {
    /// Tells what a server has reported.
    #[must_use]
    pub fn of(reported: &Reported) -> Self {
        let mut messages = Vec::new();
        for (name, value) in reported.iter() {
            parts::parameter_status(&mut messages, name, value);
        }
        Self { reported: reported.clone(), messages: messages.into() }
    }
}

/// Greets a client.
pub fn greet(client: &mut Client, greeting: &Greeting, out: &mut Vec<u8>) {
    out.reserve(greeting.messages.len() + REST_OF_GREETING);
    out.extend_from_slice(&greeting.messages);
    client.reported = greeting.reported.clone();
}

fn own(server: &mut Server, sql: &str) -> Vec<u8> {
    debug_assert!(server.is_at_rest(), "our own queries go to backends at rest only");
    let mut out = Vec::new();
    parts::query(&mut out, sql);
    // A simple query ends the unnamed statement.
    server.prepared.set_unnamed(None);
    server.own = Some(Findings::default());
    server.push(Expect::Own);
    out
}
