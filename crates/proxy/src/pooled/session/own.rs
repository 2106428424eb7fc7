//! Queries of our own on a client's backend, and how they and cancel requests keep out of each other's way.
//!
//! ```text
//!             ┌─ question of ours under way: a cancel request waits for the client's statement after it
//!   backend ──┤
//!             └─ cancel request on its way: nothing more is sent, neither a question nor what the client says
//! ```
//!
//! PostgreSQL signals a backend twice for one request (the process, then its group): the statement may have been
//! answered when the second signal comes. The request has arrived when PostgreSQL closes its connection.

use std::task::Context;

use dormouse_pgwire::backend::TxStatus;

use super::{Ended, Phase, Purpose, Session};
use crate::pooled::held::Leased;
use crate::pooled::words;

impl Session {
    /// Sends a question of ours; the client's `input` waits for its answer. The backend is hidden.
    pub(super) fn ask(&mut self, cx: &mut Context<'_>, purpose: Purpose, question: &[u8], input: &[u8]) {
        let Some(Leased { held, .. }) = &mut self.leased else { return };
        self.phase = Phase::Own(purpose);
        if purpose != Purpose::Inspect {
            self.clocks.keep_waiting();
        }
        self.input = input.to_vec();
        held.say(cx, question);
    }

    /// Whether a question of ours would meet no cancel request. If it would, this goes on when that has arrived.
    pub(super) fn may_ask(&mut self) -> bool {
        let idle = self.leased.as_ref().is_some_and(|leased| leased.held.server.is_idle());
        let may = !idle || self.info.hide();
        self.unsettled |= !may;
        may
    }

    /// Whether a cancel request is on its way to the backend: what it means may have been answered already, and many
    /// drivers go on before they have read the end of an answer.
    pub(super) fn must_hold(&self) -> bool {
        self.info.cancels() > 0 && matches!(self.phase, Phase::Linked)
    }

    /// A cancel request may have arrived: goes on with what waited for that.
    pub(super) fn settle_again(&mut self, cx: &mut Context<'_>) -> Result<(), Ended> {
        if std::mem::take(&mut self.unsettled) && matches!(self.phase, Phase::Linked) {
            if self.client.is_stalled() {
                self.resume_stalled(cx)?;
            }
            self.settle(cx);
        }
        Ok(())
    }

    /// A question of ours is answered.
    pub(super) fn own_ended(&mut self) {
        let Phase::Own(purpose) = self.phase else { return };
        let Some(Leased { held, .. }) = &mut self.leased else { return };
        self.phase = Phase::Linked;
        if purpose == Purpose::Fail && held.server.status() == TxStatus::Failed {
            self.failed = false;
            return;
        }
        let Some(why) = held.server.own_error().map(str::to_owned) else {
            if purpose == Purpose::Inspect {
                self.info.show();
            }
            return self.note_listening();
        };
        if purpose == Purpose::Inspect && held.server.has_refused() {
            // It is asked again.
            return self.info.show();
        }
        held.server.spoil();
        match purpose {
            Purpose::Check => self.pass_over(),
            Purpose::Replay | Purpose::Fail => self.end(&words::not_restored(&why).encode()),
            Purpose::Inspect => {
                tracing::warn!(why, pool = ?self.pool.key, "cannot look at what a session left behind");
                self.end(&words::not_restored(&why).encode());
            }
        }
    }

    /// The backend is not as it should be: another one, with the same input.
    pub(super) fn pass_over(&mut self) {
        if let Some(Leased { held, .. }) = &mut self.leased {
            held.server.spoil();
        }
        self.phase = Phase::Idle;
        self.give_up_backend();
    }
}
