//! A client and its backend, where a test says what both say.

use dormouse_pgwire::backend::TxStatus;

use super::super::*;
use super::backend::message;
use crate::settings::{Reported, Settings};

/// Both sides, without a backend: what that says is said by the test.
pub(super) struct Pair {
    pub(super) client: Client,
    pub(super) server: Server,
    pub(super) common: Common,
}

pub(super) fn pair() -> Pair {
    Pair {
        client: Client::new(Settings::default(), Reported::new(), false),
        server: Server::new(TxStatus::Idle, Reported::new()),
        common: Common::new(10),
    }
}

impl Pair {
    /// What the backend gets.
    pub(super) fn up(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Violation> {
        let mut out = Vec::new();
        let sent = up(&mut self.client, &mut self.server, &mut self.common, bytes, &mut out)?;
        Ok(if sent == Sent::AsItIs { bytes.to_vec() } else { out })
    }

    /// What the client gets.
    pub(super) fn down(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let got = down(&mut self.client, &mut self.server, &mut self.common, bytes, &mut out).unwrap();
        if got.as_it_is { bytes.to_vec() } else { out }
    }
}

pub(super) fn query(text: &str) -> Vec<u8> {
    message(b'Q', format!("{text}\0").as_bytes())
}
