//! What a new client is told before its first statement. Most are greeted from memory, without a backend.

use std::task::Context;

use dormouse_pooler::link::{self, Greeting};

use super::{Ended, Session};
use crate::pooled::held::Leased;

impl Session {
    /// Greets with what earlier clients with the same settings were told; false: nobody was.
    pub(super) fn greet_from_memory(&mut self, cx: &mut Context<'_>) -> Result<bool, Ended> {
        let Some(greeting) = self.pool.greeting(self.client.wanted()) else { return Ok(false) };
        let greeting = self.greeting(&greeting);
        self.send(cx, &greeting)?;
        Ok(true)
    }

    pub(super) fn greet_from_backend(&mut self) {
        let Some(Leased { held, .. }) = &self.leased else { return };
        let greeting = Greeting::of(held.server.reported());
        self.pool.remember(self.client.wanted(), &greeting);
        let greeting = self.greeting(&greeting);
        self.outbox.add(&greeting);
    }

    fn greeting(&mut self, parameters: &Greeting) -> Vec<u8> {
        self.greet = false;
        let mut out = self.pool.notice().unwrap_or_default();
        link::greet(&mut self.client, parameters, &mut out);
        out.extend(self.info.key_data());
        out.extend_from_slice(&[b'Z', 0, 0, 0, 5, b'I']);
        out
    }
}
