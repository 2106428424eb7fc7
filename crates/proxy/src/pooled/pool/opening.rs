//! Backends are opened, and what comes of it.

use std::sync::Arc;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_pgwire::ClientError;
use dormouse_pooler::pool::{Checkin, Lease, Opening, Receipt, State};

use super::{Pool, farewell};
use crate::pooled::held::Held;
use crate::pooled::open;
use crate::pooled::slot::Slot;

/// A server that cannot be reached is tried no more often than this, whatever `server_login_retry` says.
const RETRY_AT_MOST_EVERY: Duration = Duration::from_millis(100);

/// How soon another `server_login_retry`, or that nobody waits any more, is noticed.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

impl Pool {
    pub(in crate::pooled) fn open(self: &Arc<Self>, opening: Option<Opening>) {
        if let Some(opening) = opening {
            if self.stands_in && opening.is_of_reserve() {
                tracing::warn!("{}/{} taking connection from reserve_pool", self.key.database, self.key.role);
            }
            self.home.spawn(open::open(Arc::clone(self), opening));
        }
    }

    /// A backend could not be opened for this reason: waits until it may be tried again, as the settings are by then.
    /// False: no client waits for that, or the pool does not serve.
    pub(in crate::pooled) async fn still_waited_for(&self, error: Option<&ClientError>) -> bool {
        let failed = Mono::now();
        self.inner.lock().refusal = error.cloned();
        loop {
            let left = {
                let inner = self.inner.lock();
                let waiting = inner.books.counts(Mono::now(), &inner.limits).cl_waiting > 0;
                if !waiting || inner.books.state() != State::Running {
                    return false;
                }
                let pause = inner.limits.server_login_retry.max(RETRY_AT_MOST_EVERY);
                pause.saturating_sub(failed.elapsed())
            };
            if left.is_zero() {
                return true;
            }
            tokio::time::sleep(left.min(LOOK_AGAIN_AFTER)).await;
        }
    }

    /// What came of opening a backend.
    pub(in crate::pooled) fn opened(
        self: &Arc<Self>,
        opening: Opening,
        made: Result<Box<Held>, ClientError>,
    ) {
        let now = Mono::now();
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let backend = match made {
            Ok(mut backend) => {
                // Until somebody uses it, it is no work.
                backend.leave();
                backend
            }
            Err(error) => {
                inner.open_failed(&opening, now, &error, &mut self.gate());
                return self.poke.notify_one();
            }
        };
        inner.refusal = None;
        inner.remember(&backend.key);
        match inner.books.opened(opening, backend, now, &inner.limits, &mut self.gate()) {
            Checkin::Handed { waiter, lease, since } => {
                match waiter.give(Ok(lease)) {
                    Some(Ok(lease)) => self.checkin_later(lease),
                    Some(Err(_)) | None => inner.assigned(now.since(since)),
                }
                // After a failure this was the only attempt, and others may wait for more.
                self.poke.notify_one();
            }
            Checkin::Kept => self.poke.notify_one(),
            Checkin::Close { backend, open, reason } => {
                farewell(&backend, reason.as_str());
                self.open(open);
            }
        }
    }

    /// A backend for a client that had one when the compute ended, beyond the pool's size if need be, and before
    /// anybody else has one.
    pub(in crate::pooled) fn reopen(self: &Arc<Self>) -> Arc<Slot> {
        let slot = Slot::new();
        let receipt = self.inner.lock().books.reopen(Mono::now(), &mut self.gate());
        self.home.spawn(open::reopen(Arc::clone(self), receipt, Arc::clone(&slot)));
        slot
    }

    /// What came of that.
    pub(in crate::pooled) fn reopened(
        self: &Arc<Self>,
        receipt: Receipt,
        made: Result<Box<Held>, ClientError>,
        slot: &Slot,
    ) {
        let mut inner = self.inner.lock();
        let given = match made {
            Ok(backend) => {
                inner.refusal = None;
                inner.remember(&backend.key);
                Ok(inner.books.reopened(receipt, backend))
            }
            Err(error) => {
                drop(inner);
                self.put_back(&receipt);
                inner = self.inner.lock();
                Err(error)
            }
        };
        let opened = given.is_ok();
        match slot.give(given) {
            Some(Ok(lease)) => self.checkin_later(lease),
            _ if opened => inner.assigned(Duration::ZERO),
            _ => {}
        }
        self.poke.notify_one();
    }

    /// What was set aside is free again.
    pub(in crate::pooled) fn put_back(self: &Arc<Self>, receipt: &Receipt) {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let opening = inner.books.closed(receipt, Mono::now(), &inner.limits, &mut self.gate());
        self.open(opening);
    }

    /// Takes a backend back that nobody took, once the books are free.
    pub(super) fn checkin_later(self: &Arc<Self>, lease: Lease<Box<Held>>) {
        let (pool, Lease { backend, receipt, .. }) = (Arc::clone(self), lease);
        self.home.spawn(async move { pool.checkin(backend, receipt, Mono::now()) });
    }
}
