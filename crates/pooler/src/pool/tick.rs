//! What time alone brings: idle and old backends go, the smallest pool is kept up, waits end.

use std::time::Duration;

use dormouse_base::clock::Mono;

use super::books::Books;
use super::gate::Gate;
use super::lease::{CloseReason, Opening};
use super::state::State;
use super::waiters::WaiterId;
use crate::config::Limits;

/// What is to be done now.
#[derive(Debug)]
pub struct Actions<B, W> {
    /// Backends to close. They are no longer counted.
    pub close: Vec<(B, CloseReason)>,
    /// Backends to open.
    pub open: Vec<Opening>,
    /// Clients that have waited for `query_wait_timeout`, to be refused.
    pub refuse: Vec<W>,
    /// Clients that have waited for `query_wait_notify`, to be told so, each once.
    pub notify: Vec<WaiterId>,
    /// When time will bring something again; sooner if anything else happens.
    pub next: Option<Mono>,
}

impl<B, W> Books<B, W> {
    /// Does what is due. Call it at `next`, and when a shared cap pokes this pool; more often does no harm.
    pub fn tick(&mut self, now: Mono, limits: &Limits, gate: &mut impl Gate) -> Actions<B, W> {
        let refuse = self.end_waits(now, limits, gate);
        let notify = match positive(limits.query_wait_notify) {
            Some(after) => self.waiters.notify_after(after, now),
            None => Vec::new(),
        };
        let close = self.close_idle(now, limits, gate);
        let open = self.open_more(now, limits, gate);
        Actions { close, open, refuse, notify, next: self.next_deadline(now, limits) }
    }

    fn end_waits(&mut self, now: Mono, limits: &Limits, gate: &mut impl Gate) -> Vec<W> {
        let mut refuse = Vec::new();
        let Some(longest) = positive(limits.query_wait_timeout) else {
            return refuse;
        };
        while self.waiters.oldest().is_some_and(|since| now.since(since) >= longest) {
            refuse.extend(self.waiters.pop().map(|(waiter, _)| waiter));
        }
        if !refuse.is_empty() {
            gate.waiting(self.waiters.oldest());
        }
        refuse
    }

    fn close_idle(&mut self, now: Mono, limits: &Limits, gate: &mut impl Gate) -> Vec<(B, CloseReason)> {
        let mut close = Vec::new();
        let mut kept = std::mem::take(&mut self.idle);
        // The front was idle longest, so what is too much goes from there.
        for _ in 0..kept.len() {
            let Some(idle) = kept.pop_front() else { break };
            // Counted are those that were kept so far; this one and the rest are not.
            let total = self.total() + kept.len() + 1;
            let idle_over = positive(limits.server_idle_timeout).is_some_and(|longest| {
                now.since(idle.since) >= longest && total > limits.min_pool_size as usize
            });
            let reason = if total > limits.size_with_reserve() as usize {
                Some(CloseReason::Shrunk)
            } else if idle_over {
                Some(CloseReason::Idle)
            } else {
                // A lifetime of zero counts uses, and an idle backend has not been used.
                positive(limits.server_lifetime).and_then(|_| self.too_old(&idle.receipt, now, limits))
            };
            match reason {
                Some(reason) => close.push((idle.backend, reason)),
                None => self.idle.push_back(idle),
            }
        }
        for _ in &close {
            self.gone(gate);
        }
        close
    }

    fn open_more(&mut self, now: Mono, limits: &Limits, gate: &mut impl Gate) -> Vec<Opening> {
        let mut open = Vec::new();
        while let Some(opening) = self.open_for_waiters(now, limits, gate) {
            open.push(opening);
        }
        // The smallest size is for a pool in use: one without backends belongs to an endpoint that may be
        // asleep, and nobody asked for it to be woken.
        let smallest = limits.min_pool_size.min(limits.size()) as usize;
        while self.state == State::Running
            && self.retry_at.is_none_or(|at| limits.keeps_up && now >= at && self.opening == 0)
            && (self.total() > 0 || limits.keeps_up)
            && self.total() < smallest
            && gate.acquire(None)
        {
            open.push(self.start_opening());
        }
        open
    }

    /// When [`Books::tick`] will have something to do, if nothing else happens.
    #[must_use]
    pub fn next_deadline(&self, now: Mono, limits: &Limits) -> Option<Mono> {
        let oldest = self.waiters.oldest();
        let plus = |since: Option<Mono>, span: Duration| Some(since?.plus(positive(span)?));
        let at_size =
            self.total() >= limits.size() as usize && self.total() < limits.size_with_reserve() as usize;
        let idle =
            (self.total() > limits.min_pool_size as usize).then(|| self.idle.front().map(|idle| idle.since));
        let eldest = self.idle.iter().map(|idle| idle.receipt.opened_at).min();
        // Two of these only allow to open; once over, what stands in the way is something else, and not time.
        [
            plus(oldest, limits.query_wait_timeout),
            plus(self.waiters.oldest_unnotified(), limits.query_wait_notify),
            plus(oldest, limits.reserve_pool_timeout).filter(|at| at_size && *at > now),
            plus(idle.flatten(), limits.server_idle_timeout),
            eldest.and_then(|opened_at| self.too_old_at(opened_at, limits)),
            self.retry_at
                .filter(|at| (oldest.is_some() || limits.keeps_up) && self.opening == 0 && *at > now),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// When [`Books::tick`] will have something to do because of the backend that came back last. Cheap: asked
    /// after every transaction, where [`Books::next_deadline`] looks at everything.
    #[must_use]
    pub fn newest_deadline(&self, limits: &Limits) -> Option<Mono> {
        let newest = self.idle.back()?;
        let idle_over = positive(limits.server_idle_timeout).map(|span| newest.since.plus(span));
        [idle_over, self.too_old_at(newest.receipt.opened_at, limits)].into_iter().flatten().min()
    }

    /// When a backend's lifetime is over and it is its turn to go.
    fn too_old_at(&self, opened_at: Mono, limits: &Limits) -> Option<Mono> {
        let at = opened_at.plus(positive(limits.server_lifetime)?);
        Some(self.expired_at.map_or(at, |last| at.max(last.plus(limits.renewal_pace()))))
    }
}

/// A time limit, unless it is zero, which means off.
fn positive(span: Duration) -> Option<Duration> {
    (!span.is_zero()).then_some(span)
}
