//! Backends are opened, and what comes of it.

use std::sync::Arc;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_pgwire::ClientError;
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pooler::pool::{Checkin, Lease, Opening, Receipt};

use super::{Inner, Pool, farewell};
use crate::pooled::held::Held;
use crate::pooled::open;
use crate::pooled::room::Door;
use crate::pooled::slot::Slot;

/// A server that cannot be reached is tried no more often than this, whatever `server_login_retry` says.
const RETRY_AT_MOST_EVERY: Duration = Duration::from_millis(100);

/// Why a backend was not opened.
pub(in crate::pooled) enum Unopened {
    /// Those who wait for it have no hope.
    Refused(ClientError),
    /// Its server cannot be reached. It is tried again for as long as anybody waits.
    Away(ClientError),
    /// Its server is full of connections that another process gives up in a moment. It is tried again soon.
    Full(ClientError),
    /// PAUSE came.
    HeldUp,
}

impl Unopened {
    /// What a client is told that needs this one.
    pub(in crate::pooled) fn into_error(self) -> ClientError {
        match self {
            Self::Refused(error) | Self::Away(error) | Self::Full(error) => error,
            Self::HeldUp => ClientError::connection_lost(),
        }
    }
}

impl From<ClientError> for Unopened {
    fn from(error: ClientError) -> Self {
        Self::Refused(error)
    }
}

impl Pool {
    pub(in crate::pooled) fn open(self: &Arc<Self>, opening: Option<Opening>) {
        if let Some(opening) = opening {
            if self.stands_in && opening.is_of_reserve() {
                tracing::warn!("{}/{} taking connection from reserve_pool", self.key.database, self.key.role);
            }
            self.home.spawn(open::open(Arc::clone(self), opening));
        }
    }

    /// What came of opening a backend.
    pub(in crate::pooled) fn opened(self: &Arc<Self>, opening: Opening, made: Result<Box<Held>, Unopened>) {
        let now = Mono::now();
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let backend = match made {
            Ok(mut backend) => {
                // Until somebody uses it, it is no work.
                backend.leave();
                backend
            }
            Err(why) => {
                inner.not_opened(&opening, now, why, &mut self.gate());
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

impl Inner {
    /// A backend could not be opened.
    fn not_opened(&mut self, opening: &Opening, now: Mono, why: Unopened, gate: &mut Door<'_>) {
        match why {
            Unopened::Refused(error) => self.open_failed(opening, now, &error, gate),
            Unopened::Away(error) => {
                self.refusal = Some(error);
                let pause = self.limits.server_login_retry.max(RETRY_AT_MOST_EVERY);
                self.books.put_off(opening, Some(now.plus(pause)), gate);
            }
            Unopened::Full(error) => {
                self.refusal = Some(error);
                self.books.put_off(opening, Some(now.plus(RETRY_AT_MOST_EVERY)), gate);
            }
            Unopened::HeldUp => self.books.put_off(opening, None, gate),
        }
    }

    /// A backend could not be opened: who has nothing else to wait for is told.
    fn open_failed(&mut self, opening: &Opening, now: Mono, error: &ClientError, gate: &mut Door<'_>) {
        self.refusal = Some(error.clone());
        let failed = self.books.open_failed(opening, now, &self.limits, gate);
        let may_be_otherwise = match error.code {
            // Nothing was tried: a quota is used up. Whoever comes after it was raised is not to wait.
            SqlState::CONFIGURATION_LIMIT_EXCEEDED => true,
            // There is no such database: whoever is told so may make it, and come again.
            SqlState::INVALID_CATALOG_NAME => self.limits.min_pool_size == 0,
            // Nor such a role, or it may not log in: whoever comes next has proved to be one since.
            SqlState::INVALID_AUTHORIZATION => !self.limits.as_pgbouncer && self.limits.min_pool_size == 0,
            _ => false,
        };
        if may_be_otherwise && self.books.counts(now, &self.limits).cl_waiting == 0 {
            self.books.try_again();
        }
        for slot in failed.refuse {
            let _gone = slot.give(Err(error.clone()));
        }
    }
}
