//! Logins with one thing wrong each, several hundred of them; the same ones every time.

use std::time::Duration;

use dormouse_pgwire::Encode;
use dormouse_pgwire::auth::scram::client::{Exchange, Password};
use dormouse_pgwire::backend::{Authentication, Handshake};
use dormouse_tests::Server;
use dormouse_tests::raw::{PROTOCOL_3_0, Raw, startup};

use super::{Witness, are_given_back, descriptors};

/// How many logins are bent.
const TRIES: u64 = 500;

/// So often a right login comes in between. And after so many, another role is tried: a role that was
/// guessed at ten times is refused without a look at what was sent.
const HONEST_EVERY: u64 = 8;

/// Small and good enough (xorshift64*): the point is that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % sides
    }

    /// Bends a message in one of the ways in which messages get bent.
    fn bend(&mut self, message: &[u8]) -> Vec<u8> {
        let mut bent = message.to_vec();
        let at = self.roll(bent.len());
        match self.roll(8) {
            0 => bent[at] ^= 1 << self.roll(8),
            1 => bent.truncate(at),
            2 => bent.insert(at, u8::try_from(self.roll(256)).unwrap()),
            3 => drop(bent.remove(at)),
            4 => bent[at..].fill(u8::try_from(self.roll(256)).unwrap()),
            5 => bent.extend_from_slice(message),
            6 => {
                let end = bent.len().min(5);
                bent[1..end].copy_from_slice(&[0xff, 0, 0x7f, 0x80][..end - 1]);
            }
            _ => {
                let (from, count) = (at, self.roll(40));
                bent.splice(from..from, std::iter::repeat_n(b",=;\0\"%"[count % 6], count * 60));
            }
        }
        bent
    }
}

/// One login in which message number `which` (0, 1 or 2) is bent. Whatever comes back is fine, as
/// long as it is not an open door; the caller looks after the server.
async fn bent_login(server: &Server, role: &str, dice: &mut Dice, which: usize) {
    let mut raw = Raw::open(server.pg_port()).await;
    let packet = startup(PROTOCOL_3_0, &[("user", role), ("database", "app")]);
    let mut exchange = Exchange::new(Password::plain("right"), None);
    let (mut number, mut sent) = (0, 0);
    let mut say = |bytes: Vec<u8>| {
        let bytes = if number == which { dice.bend(&bytes) } else { bytes };
        number += 1;
        bytes
    };
    let first = say(packet);
    raw.send(&first).await;
    if which == 0 {
        // The half of a packet is waited for; say that no more comes.
        tokio::io::AsyncWriteExt::shutdown(&mut raw.stream).await.unwrap();
    }
    while let Some(frame) = raw.message().await {
        let Ok(reply) = Handshake::decode(frame.tag, &frame.body) else { return };
        let answer = match reply {
            Handshake::AuthRequest(Authentication::Sasl(offered)) => {
                exchange.start(&offered).ok().map(|answer| answer.encode())
            }
            Handshake::AuthRequest(Authentication::SaslContinue(challenge)) => {
                exchange.respond(&challenge).ok().map(|answer| answer.encode())
            }
            _ => return,
        };
        let Some(answer) = answer else { return };
        let bytes = say(answer);
        raw.send(&bytes).await;
        sent += 1;
        if sent == which {
            let _closed = tokio::io::AsyncWriteExt::shutdown(&mut raw.stream).await;
        }
    }
}

#[tokio::test]
async fn bent_logins_harm_nobody() {
    let server = Server::start(&[]);
    let witness = Witness::new(&server).await;
    let before = descriptors(&server);
    let mut dice = Dice(0x00d0_5e5e_ed00_0001);
    for number in 0..TRIES {
        let which = dice.roll(3);
        let role = format!("role{}", number / HONEST_EVERY);
        if number % HONEST_EVERY == 0 {
            let sql = format!("create role {role} login password 'right'");
            witness.session.client.batch_execute(&sql).await.unwrap();
        }
        let one = bent_login(&server, &role, &mut dice, which);
        let done = tokio::time::timeout(Duration::from_secs(10), one).await;
        assert!(done.is_ok(), "login {number}, message {which}: neither answered nor closed");
        if number % HONEST_EVERY == 0 {
            witness.is_well(&server).await;
        }
    }
    witness.is_well(&server).await;
    are_given_back(&server, before + 4);
    server.assert_clean_log(&[]);
}
