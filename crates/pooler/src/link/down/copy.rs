//! COPY from the client: a backend that reads data ignores a Sync that came before it, and one that refuses the COPY
//! answers it.

use dormouse_pgwire::tag::backend as tag;

use super::Down;
use crate::link::expect::Expect;

impl Down<'_> {
    /// Syncs that were not answered before this message were ignored.
    pub(super) fn give_way(&mut self, message: u8) {
        let any_time = matches!(
            message,
            tag::READY_FOR_QUERY | tag::NOTICE_RESPONSE | tag::PARAMETER_STATUS | tag::NOTIFICATION_RESPONSE
        );
        while !any_time && matches!(self.server.expect.front(), Some(Expect::Perhaps)) {
            self.server.pop();
        }
    }

    /// The backend waits for COPY data, unless it has something against the COPY: then an error follows. The Syncs
    /// that were sent before the data's end are ignored in the one case, and answered in the other.
    ///
    /// What only we answer has no place among them: PostgreSQL would end the connection. It counts as said before.
    pub(super) fn copy_in(&mut self) {
        let server = &mut *self.server;
        let extended = matches!(server.expect.front(), Some(Expect::Execute(..)));
        let (mut answers, mut behind) = (1, 1);
        loop {
            match server.expect.get_mut(behind) {
                Some(sync @ Expect::Sync) => {
                    *sync = Expect::Perhaps;
                    server.under_way.data = true;
                }
                Some(Expect::Answer(_)) => {
                    server.expect.make_contiguous()[answers..=behind].rotate_right(1);
                    answers += 1;
                }
                _ => break,
            }
            behind += 1;
        }
        let ended = matches!(server.expect.get(behind), Some(Expect::CopyEnd));
        if ended {
            server.expect.remove(behind);
        }
        server.copy_in = !ended;
        server.unsynced |= extended && !server.expect.range(behind..).any(Expect::is_boundary);
    }

    /// A Sync that might have been ignored was not.
    pub(super) fn was_answered(&mut self) {
        // While it might have been, what followed was not sent.
        if std::mem::take(&mut self.server.skipping) {
            self.server.unsynced = false;
        }
    }
}
