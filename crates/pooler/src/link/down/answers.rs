//! Answers that we give in the backend's place.

use dormouse_pgwire::ClientError;
use dormouse_pgwire::backend::TxStatus;
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pgwire::tag::backend as tag;

use super::{CLOSE_COMPLETE, Down, PARSE_COMPLETE};
use crate::link::client::Client;
use crate::link::expect::{Answer, Expect};
use crate::link::parts;
use crate::link::server::Server;
use crate::link::write::Write;

/// Gives the answers whose turn it is without the backend. Call it when nothing was sent to the backend, or
/// after it: a client that asks for nothing else waits for them.
pub fn answers(client: &mut Client, server: &mut Server, out: &mut Vec<u8>) {
    // As long as the backend will say something, or stopped in the middle of a message, they go along with that.
    let between = server.passing == 0 && server.partial.is_empty();
    if between && server.expect.iter().all(|expect| matches!(expect, Expect::Answer(_) | Expect::CopyEnd)) {
        give_answers(client, server, out);
    }
}

impl Down<'_> {
    /// Ends the names that are ended between what has just ended well, up to `at` of the input, and what comes next.
    pub(super) fn end_between(&mut self, at: usize, write: &mut Write<'_>) {
        let Some(Expect::Query(asked)) = self.server.expect.front_mut() else { return };
        while asked.between.front().is_some_and(|next| next.behind == asked.done) {
            let Some(next) = asked.between.pop_front() else { return };
            let _ended = asked.forgotten.as_mut().and_then(|left| left.put(&next.name, None));
            parts::command_complete(write.put_at(at), "DEALLOCATE");
        }
    }
}

pub(super) fn give_answers(_client: &mut Client, server: &mut Server, out: &mut Vec<u8>) {
    while let Some(Expect::Answer(_) | Expect::CopyEnd) = server.expect.front() {
        let answer = server.pop();
        let Some(Expect::Answer(answer)) = answer else { continue };
        if let Answer::Gone(undo) = &answer {
            undo.old.iter().for_each(|old| server.prepared.remove(old.id()));
            continue;
        }
        if !server.under_way.series.tells(matches!(answer, Answer::Parsed(_) | Answer::Closed(_))) {
            continue;
        }
        match answer {
            Answer::Parsed(_) => parts::empty(out, PARSE_COMPLETE),
            Answer::Closed(_) => parts::empty(out, CLOSE_COMPLETE),
            Answer::Deallocated(_) => parts::command_complete(out, "DEALLOCATE"),
            Answer::Gone(_) => {}
            Answer::Command(command) => {
                if server.status == TxStatus::Failed {
                    out.extend_from_slice(&in_failed_transaction().encode());
                } else {
                    parts::command_complete(out, command);
                }
                out.extend_from_slice(&[tag::READY_FOR_QUERY, 0, 0, 0, 5, server.status.as_byte()]);
            }
        }
    }
}

fn in_failed_transaction() -> ClientError {
    let text = "current transaction is aborted, commands ignored until end of transaction block";
    ClientError::error(SqlState::IN_FAILED_SQL_TRANSACTION, text)
}
