//! The text that makes a backend's settings those of a client.
//!
//! ```text
//!  RESET ROLE; RESET "a"; SELECT pg_catalog.set_config('b','1',false),pg_catalog.set_config(…); SET ROLE 'r'
//!  └───┬────┘  └───┬───┘  └──────────────────────────┬───────────────────────────────────────┘  └────┬─────┘
//!  back to the one that logged in, who could         one plan for all of them                  last, so that it
//!  set and reset all of this; also from and                                                    cannot forbid the rest
//!  to a session authorization
//! ```
//!
//! It is one simple Query without transaction control, so PostgreSQL does all or nothing. It is ASCII whatever
//! the values are: the backend's `client_encoding` may be anything when it arrives, and something else after it.
//!
//! Until it comes to the new ones, the settings of whoever had the backend before hold: of these a time limit must not
//! count.
//!
//! A role beside a session authorization may be one that PostgreSQL would not give to that: `RESET ROLE` goes back to
//! the role that a session began with without asking whether it may. So it is set by the one that logged in, who is
//! the session's authorization up to the end of the text once more (`SET LOCAL`).

use super::map::Settings;
use super::reported::Reported;
use super::style::is_whole_style;
use super::{DATE_STYLE, NO_ROLE, ROLE, SESSION_AUTHORIZATION};

/// From so many settings to reset, and none to set, `RESET ALL` is the shorter way.
const RESET_ALL_FROM: usize = 2;

/// The setting that limits this text as any other.
const TIMEOUT: &str = "statement_timeout";

/// The bytes of a name in quotes that PostgreSQL keeps (NAMEDATALEN - 1). Settings with a dot may have more.
const MAX_NAME: usize = 63;

/// Before these of their major versions a role ends with a session authorization that is `LOCAL`.
const ROLES_STAY_SINCE: [(u32, u32); 3] = [(15, 10), (16, 6), (17, 2)];

/// The text that brings a backend with the settings `from` to `to`; `None` when they are equal. What it has reported
/// tells its version.
#[must_use]
pub fn replay(from: &Settings, to: &Settings, backend: &Reported) -> Option<String> {
    (from != to).then(|| text(from, to, backend, false))
}

/// The same for a backend that may have more settings than those in `from`: it is rid of all first.
#[must_use]
pub fn replay_afresh(from: &Settings, to: &Settings, backend: &Reported) -> String {
    text(from, to, backend, true)
}

fn text(from: &Settings, to: &Settings, backend: &Reported, afresh: bool) -> String {
    let same = |name: &str| from.get(name) == to.get(name);
    let ordinary_differ = !from
        .iter()
        .filter(|(name, _)| is_ordinary(name))
        .eq(to.iter().filter(|(name, _)| is_ordinary(name)));
    // Whoever logged in could set all of it once; another role may not.
    let authorization = afresh || ordinary_differ || !same(SESSION_AUTHORIZATION);
    let role = authorization || !same(ROLE);
    let mut out = String::with_capacity(128);
    // There no number means a character, so bytes are said as they came.
    let raw = backend.get("server_encoding") == Some("SQL_ASCII");
    if from.get(TIMEOUT).is_some_and(|timeout| timeout != "0") {
        // The one who had the backend before may have left this itself hardly any time.
        statement(&mut out, "SET LOCAL statement_timeout=0");
    }
    if from.get(DEFERRABLE).is_some_and(|value| value != "off") {
        // Nor shall what it left make this wait for others' transactions.
        statement(&mut out, "SET LOCAL transaction_deferrable=off");
    }
    if role && from.get(ROLE).is_some() {
        statement(&mut out, "RESET ROLE");
    }
    if authorization && from.get(SESSION_AUTHORIZATION).is_some() {
        statement(&mut out, "RESET SESSION AUTHORIZATION");
    }
    let others = |settings: &Settings| settings.iter().filter(|(name, _)| is_ordinary(name)).count();
    if afresh || (others(to) == 0 && others(from) >= RESET_ALL_FROM) {
        statement(&mut out, "RESET ALL");
        ordinary(&mut out, (&Settings::new(), to), raw);
    } else {
        ordinary(&mut out, (from, to), raw);
    }
    if let Some(to) = to.get(SESSION_AUTHORIZATION).filter(|_| authorization) {
        statement(&mut out, "SET SESSION AUTHORIZATION ");
        literal(&mut out, to, raw);
    }
    if let Some(played) = to.get(ROLE).filter(|_| role) {
        if played != NO_ROLE && to.get(SESSION_AUTHORIZATION).is_some() && roles_stay(backend) {
            statement(&mut out, "SET LOCAL SESSION AUTHORIZATION DEFAULT");
        }
        statement(&mut out, "SET ROLE ");
        literal(&mut out, played, raw);
    }
    out
}

/// Whether a role is not ended by a session authorization that ends with its transaction.
fn roles_stay(backend: &Reported) -> bool {
    let version = backend.get("server_version").unwrap_or_default();
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(|digits| digits.parse().unwrap_or(0));
    let (major, minor): (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let since = ROLES_STAY_SINCE.iter().find(|(of, _)| *of == major).map(|(_, since)| *since);
    since.map_or(major > ROLES_STAY_SINCE[2].0, |since| minor >= since)
}

/// A transaction that reads only waits, with this and at the highest level, until nothing can disturb it.
const DEFERRABLE: &str = "default_transaction_deferrable";

/// All but the two that are roles.
fn ordinary(out: &mut String, (from, to): (&Settings, &Settings), raw: bool) {
    let gone = from.iter().filter(|(name, _)| is_ordinary(name) && to.get(name).is_none());
    let (plain, strange): (Vec<_>, Vec<_>) =
        gone.map(|(name, _)| name).partition(|name| name.is_ascii() && name.len() <= MAX_NAME);
    for name in plain {
        statement(out, "RESET \"");
        out.push_str(&name.replace('"', "\"\""));
        out.push('"');
    }
    let (before, style) = (from.get(DATE_STYLE), to.get(DATE_STYLE));
    if before.is_some() && before != style && style.is_some_and(|style| !is_whole_style(style)) {
        // Half a style leaves the other half as it is, which is another client's.
        statement(out, "RESET \"datestyle\"");
    }
    let changed = to.iter().filter(|(name, value)| is_ordinary(name) && from.get(name) != Some(value));
    let calls =
        strange.into_iter().map(|name| (name, None)).chain(changed.map(|(name, value)| (name, Some(value))));
    for (at, (name, value)) in calls.enumerate() {
        if at == 0 {
            statement(out, "SELECT ");
        } else {
            out.push(',');
        }
        out.push_str("pg_catalog.set_config(");
        literal(out, name, raw);
        out.push(',');
        match value {
            Some(value) => literal(out, value, raw),
            None => out.push_str("NULL"),
        }
        out.push_str(",false)");
    }
}

fn is_ordinary(name: &str) -> bool {
    name != ROLE && name != SESSION_AUTHORIZATION
}

fn statement(out: &mut String, begin: &str) {
    if !out.is_empty() {
        out.push_str("; ");
    }
    out.push_str(begin);
}

/// A text literal that means the same whatever `standard_conforming_strings` and `client_encoding` are; `raw` on a server
/// that has no encoding.
pub(super) fn literal(out: &mut String, text: &str, raw: bool) {
    if !text.contains('\\') && text.is_ascii() {
        out.push('\'');
        out.push_str(&text.replace('\'', "''"));
        out.push('\'');
        return;
    }
    out.push_str("E'");
    for c in text.chars() {
        match c {
            '\'' => out.push_str("''"),
            '\\' => out.push_str("\\\\"),
            c if c.is_ascii() => out.push(c),
            c if raw => {
                let mut bytes = [0; 4];
                out.extend(c.encode_utf8(&mut bytes).bytes().map(|byte| format!("\\x{byte:02x}")));
            }
            c => out.push_str(&format!("\\U{:08x}", u32::from(c))),
        }
    }
    out.push('\'');
}
