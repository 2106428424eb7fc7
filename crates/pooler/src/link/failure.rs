//! An error in a pipeline.
//!
//! After an error in a series of extended messages PostgreSQL reads on without doing anything up to the next
//! Sync. What was sent and skipped will not be answered, and what we believed it would bring about did not happen:
//! names and statements go back to what they were, from the last to the first.

use std::sync::Arc;

use super::client::Client;
use super::expect::{Answer, Asked, Expect};
use super::server::Server;
use crate::statement::Statement;

/// The backend has sent an error.
pub(super) fn failed(client: &mut Client, server: &mut Server) {
    server.erred = true;
    server.copy_in = false;
    if !server.expect.front().is_some_and(Expect::is_extended) {
        // A simple query ends with its ReadyForQuery; a Sync may find a constraint violated.
        if matches!(server.expect.front(), Some(Expect::Query(_))) {
            doubt(client, server, server.behind_answers());
        }
        return;
    }
    let skipped = server.expect.iter().position(|expect| matches!(expect, Expect::Sync | Expect::Perhaps));
    // Without a Sync yet: whatever comes before it is not read either.
    server.skipping = skipped.is_none();
    let mut undone: Vec<Expect> = server.expect.drain(..skipped.unwrap_or(server.expect.len())).collect();
    server.definitions -= undone.iter().filter(|expect| expect.definition().is_some()).count();
    let first = undone.first().and_then(|first| match first {
        Expect::Parse(undo) if undo.name.is_none() => Some(()),
        _ => None,
    });
    // Else a session's unnamed one is there as before.
    let unsure = !client.verbatim || undone.iter().any(parses_unnamed);
    while let Some(expect) = undone.pop() {
        undo(client, server, expect);
    }
    if first.is_some() {
        // The Parse that failed ended the unnamed statement before it.
        put_back(client, server, b"", None);
    }
    if unsure {
        server.prepared.set_unnamed(None);
    }
    doubt(client, server, 0);
}

/// Whether it would have made another statement the unnamed one.
fn parses_unnamed(expect: &Expect) -> bool {
    match expect {
        Expect::Parse(undo) => undo.name.is_none(),
        Expect::Inject(statement) => statement.name().is_empty(),
        _ => false,
    }
}

/// The backend is gone, and its client is told that whatever was not answered has failed.
pub(super) fn lost(client: &mut Client, server: &mut Server) {
    let mut undone = std::mem::take(&mut server.expect);
    server.definitions = 0;
    while let Some(expect) = undone.pop_back() {
        undo(client, server, expect);
    }
}

/// A COPY from the client has failed, and the Syncs that came before its data, which are expected from `at` on, were
/// answered if it had not begun to read. What comes is so many ReadyForQuery more or less, and only another answer
/// behind them tells. One for each Sync behind the data comes in any case, so those count as the first.
fn doubt(client: &mut Client, server: &mut Server, at: usize) {
    let perhaps = |expect: &&Expect| matches!(expect, Expect::Perhaps);
    let doubtful = server.expect.iter().skip(at).take_while(perhaps).count();
    if doubtful == 0 {
        return;
    }
    let mut certain = 0;
    loop {
        match server.expect.get(at + doubtful + certain) {
            Some(Expect::Sync) => certain += 1,
            // Nobody reads what it ended.
            Some(Expect::CopyEnd) => drop(server.expect.remove(at + doubtful + certain)),
            _ => break,
        }
    }
    server.expect.make_contiguous()[at..at + doubtful + certain].rotate_left(doubtful);
    // If none of them was answered, it is reading on without doing anything.
    server.skipping = at == 0 && certain == 0;
    (server.under_way.mark, client.stalled) = (true, true);
}

fn undo(client: &mut Client, server: &mut Server, expect: Expect) {
    match expect {
        Expect::Parse(undo)
        | Expect::Answer(
            Answer::Parsed(undo) | Answer::Closed(undo) | Answer::Deallocated(undo) | Answer::Gone(undo),
        ) => {
            if let Some(added) = &undo.added {
                server.prepared.remove(added.id());
            }
            put_back(client, server, undo.name.as_deref().unwrap_or_default(), undo.old);
        }
        Expect::Query(asked) => {
            if let Some(forgotten) = asked.forgotten {
                client.names.remember(forgotten);
            }
            put_back(client, server, b"", asked.unnamed);
        }
        Expect::Execute(_, Some(forgotten)) => client.names.remember(forgotten),
        Expect::Inject(statement) => server.prepared.remove(statement.id()),
        // Asked again when it is used again.
        Expect::Learn(statement) => server.prepared.outdate(&statement),
        // It still has it, as it was.
        Expect::Evict(place) => server.prepared.put_back(place),
        _ => {}
    }
}

/// A name means again what it meant, unless a later series of messages has given it another meaning: then that is
/// what it would go back to.
fn put_back(client: &mut Client, server: &mut Server, name: &[u8], old: Option<Arc<Statement>>) {
    for later in &mut server.expect {
        match later {
            Expect::Parse(undo)
            | Expect::Answer(
                Answer::Parsed(undo) | Answer::Closed(undo) | Answer::Deallocated(undo) | Answer::Gone(undo),
            ) if undo.name() == name => {
                undo.old = old;
                return;
            }
            Expect::Query(asked) if name.is_empty() => {
                asked.unnamed = old;
                return;
            }
            Expect::Query(Asked { forgotten: Some(forgotten), .. }) | Expect::Execute(_, Some(forgotten))
                if !name.is_empty() =>
            {
                let _corrected = forgotten.put(name, old);
                return;
            }
            _ => {}
        }
    }
    client.names.put(name, old);
}
