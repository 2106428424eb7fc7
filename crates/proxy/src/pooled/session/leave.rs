//! The client has no use for its backend at the moment: others get it.

use std::sync::Arc;
use std::task::Context;

use dormouse_pgwire::{ClientError, SqlState};
use dormouse_pooler::link;
use dormouse_pooler::pool::CloseReason;

use super::{Phase, Purpose, Session};
use crate::pooled::held::Leased;
use crate::pooled::pool::{CLIENT_LEFT, CRASHED};
use crate::pooled::retire::retire;

impl Session {
    /// Gives the backend back when it is free; asks it first what was left behind, if need be.
    pub(super) fn settle(&mut self, cx: &mut Context<'_>) {
        // One that has not been greeted yet needs it for that.
        if !matches!(self.phase, Phase::Linked) || !self.input.is_empty() || self.greet {
            return;
        }
        let Some(Leased { held, .. }) = &mut self.leased else { return };
        if !held.outbox.is_empty() {
            return;
        }
        if held.server.must_ask() {
            if self.info.hide() {
                let question = link::inspect(&self.client, &mut held.server);
                self.ask(cx, Purpose::Inspect, &question, &[]);
            } else {
                self.unsettled = true;
            }
        } else if held.server.is_free(&self.client) {
            self.info.rests(self.client.prepared());
            if self.pool.resets() {
                self.client.begin_again();
            }
            // A cancel request that is on its way must find this client's statement or nothing.
            let now = self.clocks.now();
            if !self.info.unlink(now) {
                self.unsettled = true;
            } else if let Some(Leased { held, receipt, .. }) = self.leased.take() {
                self.phase = Phase::Idle;
                if held.server.is_spoiled() {
                    self.pool.discard(held, &receipt);
                } else {
                    self.pool.checkin(held, receipt, now);
                }
            }
        } else if held.server.is_idle() {
            held.leave();
            self.info.rests(self.client.prepared());
            self.leave_if_closing();
            self.make_way();
        }
    }

    /// It rests on a backend that it keeps: does an operator want that?
    pub(super) fn make_way(&mut self) {
        if self.pool.is_held_up() {
            self.let_go(CloseReason::Paused.as_str());
        }
        if self.info.is_hurried() && self.client.keeps() && self.rests() && self.info.take_hurry() {
            let text = CloseReason::Reconnect.as_str();
            self.end(&ClientError::fatal(SqlState::ADMIN_SHUTDOWN, text).encode());
        }
    }

    /// A session of its own on a backend gives that up, if all of it can be had again on another.
    pub(super) fn let_go(&mut self, why: &str) {
        let Some(Leased { held, .. }) = &self.leased else { return };
        let rests = matches!(self.phase, Phase::Linked)
            && self.input.is_empty()
            && self.client.is_between()
            && held.outbox.is_empty()
            && !held.server.must_ask()
            && held.server.can_be_rebuilt();
        // Who listens must not miss what comes in between.
        if rests
            && self.client.channels().is_empty()
            && self.info.unlink(self.clocks.now())
            && let Some(Leased { held, receipt, .. }) = self.leased.take()
        {
            self.phase = Phase::Idle;
            self.pool.discard_because(held, &receipt, why);
        }
    }

    /// Gives the backend up in whatever state it is, because the client goes.
    pub(super) fn give_up_backend(&mut self) {
        let now = self.clocks.now();
        let flying = !self.info.unlink(now);
        let Some(mut leased) = self.leased.take() else { return };
        leased.held.half_told = self.client.is_half_passed();
        let server = &leased.held.server;
        let rests = server.is_at_rest() && leased.held.outbox.is_empty() && !leased.held.half_told;
        if flying || server.is_spoiled() || !rests {
            // PostgreSQL finishes what it was sent, then sees that nobody is there.
            let why = if server.is_spoiled() { CRASHED } else { CLIENT_LEFT };
            self.pool.discard_because(leased.held, &leased.receipt, why);
        } else if server.is_free(&self.client) && self.client.is_between() {
            self.pool.checkin(leased.held, leased.receipt, now);
        } else {
            let whole = (self.client.keeps() || server.is_tainted())
                .then(|| self.pool.config().server_reset_query.clone());
            self.pool.home().spawn(retire(Arc::clone(&self.pool), leased, whole));
        }
    }
}
