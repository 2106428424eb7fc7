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

use super::Down;
use crate::link::inspect::SETTINGS;
use crate::link::stateful::Stateful;
use crate::link::{parts, watch};

/// Texts with one of these tell that settings change.
const EXPLAINS: Stateful = SETTINGS.with(Stateful::RESET).with(Stateful::DISCARD_ALL);

/// Reported, but no setting of a session: it comes and goes with the server's part in replication.
const NOT_SETTINGS: [&str; 1] = ["in_hot_standby"];

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

    /// A statement may have done this.
    pub(super) fn explain(&mut self, stateful: Stateful) {
        self.server.under_way.explained |= stateful.any(EXPLAINS);
    }

    /// A transaction is over. Has a setting changed that no text told?
    pub(super) fn note_unexplained(&mut self) {
        let explained = mem::take(&mut self.server.under_way.explained);
        if let Some(before) = mem::take(&mut self.server.under_way.reported)
            && !explained
            && before != self.server.reported
        {
            self.server.touched = self.server.touched.with(Stateful::SETTING);
        }
    }
}
