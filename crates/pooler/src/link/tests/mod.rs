//! The multiplexer against a model: a client of a pool must get, message by message, what it would get from a
//! backend of its own.

mod abuse;
mod again;
mod asked;
mod backend;
mod behind;
mod copy;
mod lasting;
mod left;
mod memory;
mod pair;
mod reading;
mod roles;
mod session;
mod settings;
mod stale;
mod strict;
mod types;
mod unread;

use backend::{Fake, message};
use dormouse_pgwire::backend::TxStatus;
use proptest::prelude::*;

use super::*;
use crate::settings::{Reported, Settings};

/// One thing that a client sends; numbers choose among a few names and texts.
#[derive(Debug, Clone)]
enum Say {
    Query(u8),
    Parse(u8, u8),
    Bind(u8),
    DescribeStatement(u8),
    DescribePortal,
    Execute,
    CloseStatement(u8),
    Flush,
    Sync,
}

const NAMES: [&str; 3] = ["", "s1", "s2"];

/// Texts by number; `who` makes a row tell whose it is.
fn text(number: u8, who: usize) -> String {
    match number {
        0 => "begin".into(),
        1 => "rollback".into(),
        2 => "deallocate all".into(),
        3 => "err run".into(),
        4 => "errparse".into(),
        5 | 6 => "select of all".into(),
        n => format!("select {n} of {who}"),
    }
}

fn encode(say: &Say, who: usize) -> Vec<u8> {
    encode_as(say, &|n| text(n, who))
}

fn encode_as(say: &Say, text: &dyn Fn(u8) -> String) -> Vec<u8> {
    let name = |n: &u8| NAMES[usize::from(*n) % NAMES.len()];
    match say {
        Say::Query(n) => message(b'Q', format!("{}\0", text(*n)).as_bytes()),
        Say::Parse(s, n) => message(b'P', format!("{}\0{}\0\0\0", name(s), text(*n)).as_bytes()),
        Say::Bind(s) => message(b'B', format!("\0{}\0\0\0\0\0\0\0", name(s)).as_bytes()),
        Say::DescribeStatement(s) => message(b'D', format!("S{}\0", name(s)).as_bytes()),
        Say::DescribePortal => message(b'D', b"P\0"),
        Say::Execute => message(b'E', b"\0\0\0\0\0"),
        Say::CloseStatement(s) => message(b'C', format!("S{}\0", name(s)).as_bytes()),
        Say::Flush => message(b'H', b""),
        Say::Sync => message(b'S', b""),
    }
}

fn says() -> impl Strategy<Value = Say> {
    prop_oneof![
        2 => (0..9_u8).prop_map(Say::Query),
        // Who deallocates everything in the middle of a series that fails gets an error more than without a pool.
        4 => (0..3_u8, 0..9_u8).prop_map(|(s, n)| Say::Parse(s, if n == 2 { 5 } else { n })),
        5 => (0..3_u8).prop_map(Say::Bind),
        2 => (0..3_u8).prop_map(Say::DescribeStatement),
        1 => Just(Say::DescribePortal),
        4 => Just(Say::Execute),
        2 => (0..3_u8).prop_map(Say::CloseStatement),
        1 => Just(Say::Flush),
        4 => Just(Say::Sync),
    ]
}

/// Tags, and the bodies of all but errors, whose words are not compared.
fn replies(bytes: &[u8]) -> Vec<(char, Vec<u8>)> {
    let (mut out, mut rest) = (Vec::new(), bytes);
    while let Some((head, _)) = rest.split_first_chunk::<5>() {
        let whole = 1 + u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        let body = if head[0] == b'E' { Vec::new() } else { rest[5..whole].to_vec() };
        out.push((char::from(head[0]), body));
        rest = &rest[whole..];
    }
    assert!(rest.is_empty(), "a message was cut");
    out
}

struct Backend {
    server: Server,
    fake: Fake,
    /// Answers that have not been read.
    wire: Vec<u8>,
    client: Option<usize>,
}

struct Pooled {
    client: Client,
    to_send: Vec<u8>,
    got: Vec<u8>,
}

/// One pool in small: clients take a backend that is free, or wait.
struct World {
    common: Common,
    backends: Vec<Backend>,
    clients: Vec<Pooled>,
}

impl World {
    /// Lets everybody come to an end: then each client has got what a backend of its own would have said.
    fn must_end_as_alone(mut self, sent: &[Vec<u8>]) -> Result<(), TestCaseError> {
        for _ in 0..60 * sent.len() {
            for who in 0..sent.len() {
                self.up(who, usize::MAX);
                (0..self.backends.len()).for_each(|at| self.down(at, usize::MAX));
            }
        }
        for (who, sent) in sent.iter().enumerate() {
            let alone = Fake::default().answer(sent);
            prop_assert_eq!(replies(&self.clients[who].got), replies(&alone), "client {}", who);
        }
        prop_assert!(self.backends.iter().all(|backend| backend.client.is_none()));
        Ok(())
    }

    fn new(scripts: &[Vec<u8>], backends: usize) -> Self {
        let new = || Backend {
            server: Server::new(TxStatus::Idle, Reported::new()),
            fake: Fake::default(),
            wire: Vec::new(),
            client: None,
        };
        let client = |bytes: &Vec<u8>| Pooled {
            client: Client::new(Settings::default(), Reported::new(), false),
            to_send: bytes.clone(),
            got: Vec::new(),
        };
        Self {
            common: Common::new(3),
            backends: (0..backends).map(|_| new()).collect(),
            clients: scripts.iter().map(client).collect(),
        }
    }

    /// A client sends up to `count` bytes, if it has or gets a backend.
    fn up(&mut self, who: usize, count: usize) {
        let pooled = &mut self.clients[who];
        let count = count.min(pooled.to_send.len());
        let has = self.backends.iter().position(|b| b.client == Some(who));
        let Some(at) = has.or_else(|| self.backends.iter().position(|b| b.client.is_none())) else { return };
        if count == 0 || pooled.client.is_stalled() {
            return;
        }
        let backend = &mut self.backends[at];
        backend.client = Some(who);
        let chunk: Vec<u8> = pooled.to_send.drain(..count).collect();
        let mut out = Vec::new();
        let sent = up(&mut pooled.client, &mut backend.server, &mut self.common, &chunk, &mut out).unwrap();
        let answers_to = if sent == Sent::AsItIs { &chunk } else { &out };
        backend.wire.extend(backend.fake.answer(answers_to));
        answers(&mut pooled.client, &mut backend.server, &mut pooled.got);
        self.release(at);
    }

    /// A backend's answers arrive, up to `count` bytes.
    fn down(&mut self, at: usize, count: usize) {
        let backend = &mut self.backends[at];
        let Some(who) = backend.client else {
            assert!(backend.wire.is_empty(), "an answer for nobody");
            return;
        };
        let count = count.min(backend.wire.len());
        let chunk: Vec<u8> = backend.wire.drain(..count).collect();
        let mut out = Vec::new();
        let pooled = &mut self.clients[who];
        let got = down(&mut pooled.client, &mut backend.server, &mut self.common, &chunk, &mut out).unwrap();
        pooled.got.extend(if got.as_it_is { &chunk } else { &out });
        if pooled.client.is_stalled() {
            let mut out = Vec::new();
            up(&mut pooled.client, &mut backend.server, &mut self.common, &[], &mut out).unwrap();
            backend.wire.extend(backend.fake.answer(&out));
            answers(&mut pooled.client, &mut backend.server, &mut pooled.got);
        }
        self.release(at);
    }

    fn release(&mut self, at: usize) {
        let backend = &mut self.backends[at];
        if let Some(who) = backend.client
            && backend.server.is_free(&self.clients[who].client)
        {
            assert!(backend.wire.is_empty(), "released with answers under way");
            backend.client = None;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn a_pool_looks_like_a_backend_of_ones_own(
        scripts in prop::collection::vec(prop::collection::vec(says(), 1..25), 1..4),
        backends in 1_usize..3,
        turns in prop::collection::vec((any::<bool>(), 0_usize..4, 1_usize..40), 0..200),
    ) {
        let mut scripts = scripts;
        for script in &mut scripts {
            // So that everybody comes to an end and lets the others have their turn.
            script.extend([Say::Sync, Say::Query(1)]);
        }
        let bytes: Vec<Vec<u8>> = scripts
            .iter()
            .enumerate()
            .map(|(who, script)| script.iter().flat_map(|say| encode(say, who)).collect())
            .collect();
        let mut world = World::new(&bytes, backends);
        for (is_up, who, count) in turns {
            if is_up { world.up(who % bytes.len(), count) } else { world.down(who % backends, count) }
        }
        world.must_end_as_alone(&bytes)?;
    }
}
