//! Settings that PostgreSQL reports by itself (ParameterStatus): the client believes what it is told, and so do we.
//!
//! Most changes are told by the text of a statement. A function may make some as well (`select set_tenant('a')`): what is
//! reported then, and still so at the end of the transaction, is asked for like whatever else texts do not tell.
//!
//! ```text
//!  select f()   S timezone = x    what was reported before is kept
//!  …            Z idle            something is another than before, and no text told of settings ──► asked
//! ```

use std::mem;

use dormouse_pgwire::backend::TxStatus;

use super::Down;
use crate::link::inspect::SETTINGS;
use crate::link::server::UnderWay;
use crate::link::stateful::Stateful;
use crate::link::{parts, watch};
use crate::settings::MAX_REPORTED;
use crate::sql::{Effect, classify};

/// Texts with one of these tell that settings change.
const EXPLAINS: Stateful = SETTINGS.with(Stateful::RESET).with(Stateful::DISCARD_ALL);

/// What is reported of roles.
const OF_ROLES: [&str; 2] = ["is_superuser", "session_authorization"];

/// Reported, but no setting of a session: it comes and goes with the server's part in replication.
const NOT_SETTINGS: [&str; 1] = ["in_hot_standby"];

/// Changes of settings that are believed as the texts tell them.
#[derive(Debug, Default)]
pub(in crate::link) struct Explained {
    /// There may be any.
    all: bool,
    /// Of these.
    names: Vec<Box<str>>,
}

impl Down<'_> {
    /// A setting changed. True when the client is told.
    pub(super) fn parameter(&mut self, body: &[u8]) -> bool {
        let Some((name, rest)) = parts::cut(body) else { return !self.own() };
        let value = parts::cut(rest).map_or(rest, |(value, _)| value);
        let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        // Where nobody is in a transaction, the server's own configuration has changed.
        let anybodys = self.own() || self.server.expect.is_empty() || NOT_SETTINGS.contains(&&*name);
        if !anybodys {
            let before = &self.server.reported;
            self.server.under_way.reported.get_or_insert_with(|| before.clone());
        }
        let before = self.server.reads_otherwise();
        self.server.reported.note(&name, &value);
        if [watch::STRINGS, watch::ENCODING].contains(&&*name) {
            self.server.watch_settings();
        }
        if self.own() {
            // Told when its next statement goes to the backend, if it is news then.
            return false;
        }
        if before != self.server.reads_otherwise() {
            // Nobody knows by which of the two the texts up to here were read.
            self.server.touched = self.server.touched.with(Stateful::ANYTHING);
        }
        self.client.reported.note(&name, &value);
        true
    }

    /// A text has told what it does to settings, and that is believed.
    pub(super) fn explain(&mut self, stateful: Stateful, text: &[u8]) {
        if !stateful.any(EXPLAINS) {
            return;
        }
        let Explained { all, names } = &mut self.server.under_way.explained;
        let mut resets = false;
        let shape = classify(text, &mut |effect| match effect {
            // No more than there are reported ones: the others do not matter.
            Effect::Set { name, .. } | Effect::Reset(name) | Effect::SetConfig { name: Some(name), .. }
                if names.len() < MAX_REPORTED && !name.contains('.') =>
            {
                names.push(name.as_ref().into());
            }
            Effect::SetRole { .. } | Effect::SetSessionAuthorization { .. } => {
                names.extend(OF_ROLES.map(Box::from));
            }
            Effect::ResetAll | Effect::DiscardAll => resets = true,
            _ => {}
        });
        // Beside another statement it is not known which of the two it was.
        *all |= resets && shape.statements == 1;
    }

    /// A transaction is over. Has a setting changed that no text told?
    pub(super) fn note_unexplained(&mut self) {
        // Nearly every transaction has nothing of the kind.
        let UnderWay { reported, explained, .. } = &self.server.under_way;
        let usual = reported.is_none() && explained.names.is_empty() && !explained.all;
        if !usual && self.is_unexplained() {
            self.server.touched = self.server.touched.with(Stateful::SETTING);
        }
    }

    /// A query of ours is over, which may have been to end the transaction of a client that has left.
    pub(super) fn note_left(&mut self, status: TxStatus) {
        if status == TxStatus::Idle && self.is_unexplained() {
            self.server.ask = self.server.ask.with(Stateful::SETTING);
        }
    }

    fn is_unexplained(&mut self) -> bool {
        let Explained { all, names } = mem::take(&mut self.server.under_way.explained);
        let Some(before) = mem::take(&mut self.server.under_way.reported) else { return false };
        let told = |name: &str| all || names.iter().any(|told| told.eq_ignore_ascii_case(name));
        before.news(&self.server.reported).any(|(name, _)| !told(name))
    }
}
