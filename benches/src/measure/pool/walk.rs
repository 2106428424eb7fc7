//! A recorded exchange that goes through the pooler again and again, without sockets.
//!
//! Under Valgrind this is the whole program: what it does beside the pooler is the same however many rounds
//! there are, so the difference of two runs is the pooler's.

use std::hint::black_box;
use std::str::FromStr;

use dormouse_pgwire::backend::TxStatus;
use dormouse_pooler::link::{self, Client, Common, Sent, Server};
use dormouse_pooler::settings::{Reported, Settings};

use crate::error::Error;

/// What pgbench -S asks.
const QUERY: &[u8] = b"SELECT abalance FROM pgbench_accounts WHERE aid = ";

/// As many as a pool has by default.
const MAX_PREPARED: usize = 200;

/// The exchanges that can be walked.
pub(super) const EXCHANGES: [&str; 3] = ["simple", "extended", "prepared"];

/// What one client sends and a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Exchange {
    /// Once, before the rounds.
    first: (Vec<u8>, Vec<u8>),
    /// In each round.
    round: (Vec<u8>, Vec<u8>),
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Walk {
    exchange: Exchange,
    rounds: u32,
}

impl FromStr for Walk {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, rounds) = text.split_once(':').ok_or("not EXCHANGE:ROUNDS")?;
        let exchange = Exchange::named(name).ok_or_else(|| format!("no exchange is called {name}"))?;
        Ok(Self { exchange, rounds: rounds.parse().map_err(|_| format!("{rounds} is no number"))? })
    }
}

impl Walk {
    /// Walks.
    ///
    /// # Errors
    /// When the pooler does not do with the exchange what it must.
    pub(crate) fn run(&self) -> Result<(), Error> {
        let mut path = Path::new();
        let (up, down) = &self.exchange.first;
        path.pass(up, down)?;
        let (up, down) = &self.exchange.round;
        for _ in 0..self.rounds {
            path.pass(black_box(up), black_box(down))?;
        }
        Ok(())
    }
}

/// The code that is counted: a client's bytes on their way up, the server's on their way down, as a session
/// passes them on between two sockets, from the moment when it has got a backend until it gives it back.
#[derive(Debug)]
struct Path {
    client: Client,
    server: Server,
    common: Common,
    up: Vec<u8>,
    down: Vec<u8>,
}

impl Path {
    fn new() -> Self {
        Self {
            client: Client::new(Settings::default(), Reported::default(), false),
            server: Server::new(TxStatus::Idle, Reported::default()),
            common: Common::new(MAX_PREPARED),
            up: Vec::new(),
            down: Vec::new(),
        }
    }

    fn pass(&mut self, up: &[u8], down: &[u8]) -> Result<(), Error> {
        let Self { client, server, common, up: changed, down: got } = self;
        changed.clear();
        got.clear();
        if link::replay(client, server).is_some() {
            return Err(Error::unexpected("there is no setting to replay"));
        }
        link::catch_up(client, server, got);
        let broke = |what: &dyn std::fmt::Display| Error::unexpected(format!("the pooler refused: {what}"));
        let sent = link::up(client, server, common, up, changed).map_err(|error| broke(&error))?;
        let sent = if sent == Sent::AsItIs { up } else { changed.as_slice() };
        link::answers(client, server, got);
        // A statement that the backend has is not parsed again, and it does not say that it did.
        let down = match down.split_at_checked(PARSED.len()) {
            Some((PARSED, rest)) if sent.first() != Some(&b'P') => rest,
            _ => down,
        };
        link::down(client, server, common, down, got).map_err(|error| broke(&error))?;
        black_box((sent, &got));
        if server.is_free(client) {
            Ok(())
        } else {
            Err(Error::unexpected("the backend did not become free"))
        }
    }
}

/// ParseComplete.
const PARSED: &[u8] = b"1\0\0\0\x04";

fn message(tag: u8, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let length = u32::try_from(body.len() + 4).expect("an exchange is short");
    [&[tag], length.to_be_bytes().as_slice(), &body].concat()
}

impl Exchange {
    fn named(name: &str) -> Option<Self> {
        let nothing = (Vec::new(), Vec::new());
        match name {
            "simple" => {
                let query = message(b'Q', &[QUERY, b"12345;\0"]);
                Some(Self { first: nothing, round: (query, answer(&[])) })
            }
            "extended" => {
                let parse = message(b'P', &[b"\0", QUERY, b"$1\0\0\0"]);
                let up = [parse, run("")].concat();
                Some(Self { first: nothing, round: (up, answer(b"12")) })
            }
            "prepared" => {
                let parse = message(b'P', &[b"P_0\0", QUERY, b"$1\0\0\0"]);
                let up = [parse, message(b'S', &[])].concat();
                let down = [message(b'1', &[]), message(b'Z', &[b"I"])].concat();
                Some(Self { first: (up, down), round: (run("P_0"), answer(b"2")) })
            }
            _ => None,
        }
    }
}

/// Bind, Describe, Execute, Sync, as libpq sends them.
fn run(statement: &str) -> Vec<u8> {
    let name = [statement.as_bytes(), b"\0"].concat();
    [
        // The unnamed portal; no formats; one parameter; one result format, text.
        message(b'B', &[b"\0", &name, b"\0\0\0\x01\0\0\0\x0512345\0\x01\0\0"]),
        message(b'D', &[b"P\0"]),
        message(b'E', &[b"\0\0\0\0\0"]),
        message(b'S', &[]),
    ]
    .concat()
}

/// One row of one number, after empty messages with these tags.
fn answer(before: &[u8]) -> Vec<u8> {
    let mut down: Vec<u8> = before.iter().flat_map(|tag| message(*tag, &[])).collect();
    let column = [0, 0, 0x40, 0, 0, 3, 0, 0, 0, 23, 0, 4, 0xff, 0xff, 0xff, 0xff, 0, 0];
    down.extend(message(b'T', &[b"\0\x01abalance\0", &column]));
    down.extend(message(b'D', &[b"\0\x01\0\0\0\x010"]));
    down.extend(message(b'C', &[b"SELECT 1\0"]));
    down.extend(message(b'Z', &[b"I"]));
    down
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exchange_comes_through() {
        for name in EXCHANGES {
            let walk: Walk = format!("{name}:3").parse().unwrap();
            walk.run().unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        assert!("simple".parse::<Walk>().is_err() && "other:1".parse::<Walk>().is_err());
    }

    #[test]
    fn an_answer_that_nobody_asked_for_is_an_error() {
        assert!(Path::new().pass(&message(b'S', &[]), &answer(b"2")).is_err());
    }
}
