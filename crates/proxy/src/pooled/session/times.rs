//! What takes how long: counted for the pool, and ended when a limit is reached.
//!
//! The clock is read when a client's statement goes to its backend and when it is answered. A timer exists only
//! when a limit is set and something is under way; it is not set anew with each statement, but looks when it fires
//! what is under way then.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_pgwire::backend::TxStatus;
use dormouse_pooler::config::UnderWay;
use dormouse_pooler::link::Server;
use dormouse_pooler::pool::Farewell;
use dormouse_pooler::stats::Counters;
use tokio::time::Sleep;

use super::{Phase, Purpose, Session};
use crate::cancel::{DELIVER_WITHIN, deliver};
use crate::stream::ClientStream;

/// A client that does not take its last words within this time goes without them.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(5);

/// A backend that takes longer than this to answer `server_check_query` is closed, and its client gets another one.
const CHECKED_WITHIN: Duration = Duration::from_secs(5);

/// A client that is not listened to is looked at so often: who has gone does not keep its backend. Twice, so that what
/// it said last gets a moment to be done.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(5);

/// Since when a client does what.
pub(super) struct Clocks {
    /// The time, once it was read; until something moves.
    now: Option<Mono>,
    query: Option<Mono>,
    transaction: Option<Mono>,
    /// When it was answered last.
    answered: Mono,
    timer: Option<Pin<Box<Sleep>>>,
    /// Since when its statement has waited for questions of ours.
    kept: Option<Mono>,
    /// When the last one of those was asked.
    question: Mono,
    /// Until an answer to it is late.
    patience: Option<Pin<Box<Sleep>>>,
    /// Until the next look at a client that is not listened to.
    look: Option<Pin<Box<Sleep>>>,
    /// It had gone at the last look.
    gone: bool,
}

impl Clocks {
    pub(super) fn new() -> Self {
        let answered = Mono::now();
        Self {
            now: None,
            query: None,
            transaction: None,
            answered,
            timer: None,
            kept: None,
            question: answered,
            patience: None,
            look: None,
            gone: false,
        }
    }

    /// The time. One reading does for all that follows from one event.
    pub(super) fn now(&mut self) -> Mono {
        *self.now.get_or_insert_with(Mono::now)
    }

    /// Something has happened: it is later now.
    pub(super) fn moved(&mut self) {
        self.now = None;
    }

    /// A question of ours goes to its backend, and what the client says waits for the answer.
    pub(super) fn keep_waiting(&mut self) {
        let now = self.now();
        (self.kept, self.question) = (self.kept.or(Some(now)), now);
    }

    /// The client says something.
    pub(super) fn speaks(&mut self) {
        self.moved();
        self.kept = None;
    }

    /// When an answer to a question of ours is late, and whether that ends the session: a backend that does not
    /// answer a check is passed over, and leaves half of the `limit` for another one.
    fn late(&self, checks: bool, limit: Duration) -> Option<(Mono, bool)> {
        let limit = (!limit.is_zero()).then_some(limit);
        let ends = self.kept.zip(limit).map(|(since, limit)| (since.plus(limit), true));
        let within = limit.map_or(CHECKED_WITHIN, |limit| CHECKED_WITHIN.min(limit / 2));
        let passed = checks.then(|| (self.question.plus(within), false));
        [ends, passed].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Something of the client goes to its backend.
    pub(super) fn asked(&mut self) {
        self.kept = None;
        if self.query.is_none() {
            let now = self.now();
            self.query = Some(now);
            self.transaction = self.transaction.or(Some(now));
        }
    }

    /// `told` bytes came for it, with so many ends of replies.
    pub(super) fn answered(&mut self, counters: &mut Counters, ready: u32, told: usize, server: &Server) {
        counters.sent += told as u64;
        if ready == 0 {
            return;
        }
        let now = self.now();
        self.answered = now;
        if let Some(since) = self.query.take() {
            counters.query(now.since(since));
            counters.query_count += u64::from(ready - 1);
        }
        if server.status() == TxStatus::Idle
            && let Some(since) = self.transaction.take()
        {
            counters.transaction(now.since(since));
        }
        if !server.is_at_rest() {
            self.query = Some(now);
            self.transaction = self.transaction.or(Some(now));
        }
    }

    /// The session says goodbye.
    pub(super) fn over(&mut self) {
        self.timer = None;
    }

    /// Whatever ran does not run any more.
    pub(super) fn stopped(&mut self) {
        (self.query, self.transaction, self.answered) = (None, None, Mono::now());
    }

    /// Whether a client has had its time to take its last words.
    pub(super) fn last_call(&mut self, cx: &mut Context<'_>) -> bool {
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(LAST_WORDS_WITHIN)));
        timer.as_mut().poll(cx).is_ready()
    }

    /// Its client is not listened to at the moment, so that its end would not be heard: whether it has gone. The timer
    /// is kept when the client is listened to again, as most are within a moment.
    pub(super) fn misses(&mut self, stream: &ClientStream, cx: &mut Context<'_>) -> bool {
        let look = self.look.get_or_insert_with(|| Box::pin(tokio::time::sleep(LOOKED_AT_EVERY)));
        while look.as_mut().poll(cx).is_ready() {
            let gone_before = std::mem::replace(&mut self.gone, stream.is_closed());
            if gone_before && self.gone {
                return true;
            }
            look.as_mut().set(tokio::time::sleep(LOOKED_AT_EVERY));
        }
        false
    }

    fn under_way(&self, rests: bool, wait: Option<Mono>) -> UnderWay {
        UnderWay {
            query: self.query,
            transaction: self.transaction,
            wait,
            rest: (rests && self.query.is_none()).then_some(self.answered),
        }
    }
}

impl Session {
    /// Watches the limits of time. True when one was reached, and the session ends.
    pub(super) fn out_of_time(&mut self, cx: &mut Context<'_>) -> bool {
        if self.answer_is_late(cx) {
            return true;
        }
        let Some(times) = self.pool.times(&self.info) else {
            self.clocks.timer = None;
            return false;
        };
        // A listener does nothing by profession. And PgBouncer does not look at who keeps a server.
        let listens = !self.client.channels().is_empty();
        let keeps = self.pool.stands_in && self.client.keeps() && self.leased.is_some();
        let spared = (listens || keeps) && self.clocks.transaction.is_none();
        let rests = matches!(self.phase, Phase::Idle | Phase::Linked)
            && self.input.is_empty()
            && !self.greet
            && !spared;
        let wait = match self.phase {
            Phase::Waiting(..) => Some(self.info.doing_since()),
            Phase::Own(_) => self.clocks.kept,
            _ => None,
        };
        let wait = wait.filter(|_| self.pool.stands_in);
        while let Some((at, why)) = times.next(&self.clocks.under_way(rests, wait)) {
            if Mono::now() >= at {
                self.time_is_up(why);
                return true;
            }
            let at = at.as_instant().into();
            match &mut self.clocks.timer {
                Some(timer) if timer.deadline() <= at && !timer.is_elapsed() => {}
                Some(timer) => timer.as_mut().reset(at),
                none => *none = Some(Box::pin(tokio::time::sleep_until(at))),
            }
            if self.clocks.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_pending()) {
                return false;
            }
        }
        self.clocks.timer = None;
        false
    }

    /// Watches over a question of ours that the client's statement waits for. True when the answer is late; then the
    /// client gets another backend, or ends.
    fn answer_is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let Phase::Own(purpose) = self.phase else {
            self.clocks.patience = None;
            return false;
        };
        if purpose == Purpose::Inspect {
            return false;
        }
        let limit = self.pool.lock().limits.query_wait_timeout;
        let Some((at, ends)) = self.clocks.late(purpose == Purpose::Check, limit) else { return false };
        if Mono::now() < at {
            let at = at.as_instant().into();
            let timer = self.clocks.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
            if timer.deadline() != at {
                timer.as_mut().reset(at);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return false;
            }
        }
        if ends {
            self.time_is_up(Farewell::SilentServerTimeout);
        } else {
            self.pass_over();
        }
        true
    }

    fn time_is_up(&mut self, why: Farewell) {
        tracing::debug!(client = self.info.id, ?why, "time is up");
        self.end(&self.pool.told(why).encode());
        let running = self.leased.as_ref().filter(|leased| !leased.held.server.is_at_rest());
        if let Some(leased) = running {
            // PostgreSQL would notice only when it has something to say.
            let key = Arc::clone(&leased.held.key);
            self.pool.home().spawn(async move {
                deliver(&key.compute, key.ends.there, (key.pid, &key.secret), DELIVER_WITHIN).await;
            });
        }
        self.give_up_backend();
    }
}

#[cfg(test)]
mod tests {
    use dormouse_pooler::settings::Reported;

    use super::*;

    #[test]
    fn statements_and_transactions_are_counted_apart() {
        let mut counters = Counters::default();
        let mut clocks = Clocks::new();
        let (idle, inside) = (
            Server::new(TxStatus::Idle, Reported::new()),
            Server::new(TxStatus::InTransaction, Reported::new()),
        );
        for (server, ready) in [(&inside, 1), (&inside, 0), (&inside, 2), (&idle, 1), (&idle, 1)] {
            clocks.asked();
            clocks.answered(&mut counters, ready, 10, server);
        }
        assert_eq!((counters.query_count, counters.xact_count, counters.sent), (5, 2, 50));
        assert!(counters.query_time <= counters.xact_time);
        assert_eq!(clocks.under_way(true, None).transaction, None);
        clocks.asked();
        assert!(clocks.under_way(true, None).rest.is_none(), "who waits for an answer does not rest");
    }

    #[test]
    fn questions_of_ours_are_a_part_of_one_wait() {
        let (mut clocks, limit) = (Clocks::new(), Duration::from_secs(60));
        clocks.keep_waiting();
        let since = clocks.now();
        assert_eq!(clocks.late(false, limit), Some((since.plus(limit), true)));
        assert_eq!(clocks.late(true, limit), Some((since.plus(CHECKED_WITHIN), false)));
        assert_eq!(clocks.late(true, Duration::from_secs(4)), Some((since.plus(limit / 30), false)));
        assert_eq!(clocks.late(true, Duration::ZERO), Some((since.plus(CHECKED_WITHIN), false)));
        assert_eq!(clocks.late(false, Duration::ZERO), None);
        clocks.moved();
        clocks.keep_waiting();
        assert_eq!(clocks.late(false, limit), Some((since.plus(limit), true)), "from its beginning on");
        clocks.asked();
        clocks.moved();
        clocks.keep_waiting();
        assert!(clocks.late(false, limit).unwrap().0 > since.plus(limit));
    }
}
