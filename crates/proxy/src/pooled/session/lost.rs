//! The backend, or the compute under it, ends.
//!
//! ```text
//!                    │ rests, all can be rebuilt  │ listens               │ has what cannot be rebuilt
//!   compute drains   │ gives its backend up       │ stays up to the end   │ is told, and ends
//!   backend is gone  │ notices nothing            │ is away until wanted  │ is told, and ends
//! ```
//!
//! Settings, prepared statements and channels can be had again on another backend. Temporary tables, cursors WITH
//! HOLD, advisory locks and statements of SQL's PREPARE cannot. Who was in the middle of a transaction loses it,
//! and is told so. A listener stays as long as it can, because transactions that end in the last moment may NOTIFY.

use dormouse_pooler::link::{self, Loss};
use dormouse_runtime::gate::Closing;

use super::{Phase, Purpose, Session};
use crate::pooled::held::Leased;
use crate::pooled::words;

impl Session {
    /// The compute of its backend begins to end, or goes further in ending.
    pub(super) fn compute_ends(&mut self) {
        if matches!(self.phase, Phase::Linked)
            && self.input.is_empty()
            && self.leased.as_ref().is_some_and(|l| l.held.server.is_idle())
        {
            self.leave_if_closing();
        }
    }

    /// A session that rests leaves its backend when the compute ends: for a while if it can go on with another,
    /// else for good.
    pub(super) fn leave_if_closing(&mut self) {
        let Some(Leased { held, .. }) = &self.leased else { return };
        let closing = *held.key.end.borrow();
        let ends = matches!(closing, Some(Closing::Draining | Closing::Now));
        if !ends || !self.client.is_between() || held.server.must_ask() {
            return;
        }
        if !held.server.can_be_rebuilt() {
            let told = words::of_connection(None, closing, held.server.unrebuildable());
            return self.end(&told);
        }
        if self.client.channels().is_empty()
            && let Some(Leased { held, receipt, .. }) = self.leased.take()
        {
            self.info.lose(self.clocks.now());
            self.phase = Phase::Idle;
            self.pool.discard(held, &receipt);
        }
    }

    /// Keeps its place among those who listen as the backend has it.
    pub(super) fn note_listening(&mut self) {
        if self.client.channels().is_empty() {
            self.listening = None;
            return;
        }
        let Some(Leased { held, .. }) = &self.leased else { return };
        if !held.key.compute.is_ours_alone() {
            return;
        }
        match &self.listening {
            Some(listening) => listening.on(&held.key.compute),
            None => {
                let listening = self.pool.wake.add(&self.pool.key.endpoint, &self.info, &held.key.compute);
                self.listening = Some(listening);
            }
        }
    }

    /// The backend is gone. What its client is told depends on what it loses.
    pub(super) fn backend_lost(&mut self) {
        let Some(Leased { mut held, receipt, .. }) = self.leased.take() else { return };
        // Before what it was doing is given up.
        held.note_loss();
        self.info.lose(self.clocks.now());
        let closing = *held.key.end.borrow();
        // What it rests on is known, and its statement, if there is one, has not been sent: another backend will do.
        let ours = matches!(self.phase, Phase::Own(Purpose::Replay | Purpose::Check));
        let untouched = ours || (!self.input.is_empty() && held.server.can_be_rebuilt());
        let deaf = !held.key.compute.is_ours_alone() && !self.client.channels().is_empty();
        let loss = if deaf {
            Loss::Ends
        } else if untouched && held.server.unrebuildable().is_empty() {
            Loss::Unnoticed
        } else {
            let told = words::of_statement(held.server.last_words(), closing);
            link::after_loss(&mut self.client, &mut held.server, &told)
        };
        self.phase = Phase::Idle;
        self.clocks.stopped();
        if let Some(listening) = &self.listening {
            listening.away();
        }
        match loss {
            Loss::Unnoticed => {
                let unsent = self.client.take_back();
                self.input.splice(..0, unsent);
            }
            Loss::GoesOn { told, lost, failed } => {
                self.outbox.add(&told);
                self.lost = lost.map(Box::new);
                self.failed |= failed;
            }
            // Whatever follows half a message would be taken for its rest.
            Loss::Ends if !held.server.is_between() => self.end(&[]),
            Loss::Ends => {
                let server = &held.server;
                let told = words::of_connection(server.last_words(), closing, server.unrebuildable());
                self.end(&told);
            }
        }
        self.pool.discard(held, &receipt);
        // Another run may have begun before this one's end was noticed.
        self.return_if_wanted();
    }
}
