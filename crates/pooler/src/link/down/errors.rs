//! An error of the backend: the client's, or one of ours that it never hears of.

use dormouse_pgwire::backend::{ErrorResponse, Fields};

use super::{Down, stale};
use crate::link::expect::Expect;
use crate::link::failure;

/// Whether one of the pool's statements is not there any more.
fn is_gone(fields: &Fields) -> bool {
    fields.code() == "26000"
        && fields.message().contains("\"dormouse_")
        && !fields.message().contains("\"dormouse_none\"")
}

impl Down<'_> {
    /// True when the client gets it.
    pub(super) fn error(&mut self, body: &[u8]) -> bool {
        self.roles_changed |= self.server.under_way.roles.failed();
        let error = ErrorResponse::decode(body).ok();
        let fields = error.as_ref().map(|error| &error.fields);
        if fields.is_some_and(|fields| fields.is_fatal()) {
            // The end follows. What the client is told depends on whether its connection can go on.
            self.server.process.last_words = error.map(Box::new);
            return false;
        }
        if self.restores() {
            // Told where it is used.
            return false;
        }
        if self.own() {
            let message = fields.map_or("unreadable", |fields| fields.message()).to_owned();
            if let Some(findings) = &mut self.server.own {
                findings.fail(message);
            }
            return false;
        }
        if matches!(self.server.expect.front(), Some(Expect::Mark)) {
            // A cancel request that came too late.
            return false;
        }
        if matches!(self.server.expect.front(), Some(Expect::Stale)) {
            failure::failed(self.client, self.server);
            self.stale = true;
            return false;
        }
        self.failing();
        if !self.client.verbatim && fields.is_some_and(is_gone) {
            // A function has ended statements, of which no text told. Of its own names a client says what it likes.
            self.server.prepared.outdate_all();
        }
        if fields.is_some_and(stale::is_told) {
            self.common.registry.outdate();
            if self.server.can_say_again(self.client) {
                failure::failed(self.client, self.server);
                self.server.will_say_again();
                return false;
            }
        }
        failure::failed(self.client, self.server);
        true
    }
}
