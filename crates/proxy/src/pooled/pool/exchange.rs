//! Backends go to clients and come back.

use std::sync::Arc;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_pgwire::ClientError;
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pooler::pool::{Checkin, Checkout, Farewell, Lease, Receipt, WaiterId};

use super::{Inner, Pool, farewell};
use crate::pooled::held::Held;
use crate::pooled::room::Door;
use crate::pooled::slot::Slot;
use crate::session::help;

/// Why a backend is closed that is lost, in PgBouncer's words.
pub(in crate::pooled) const CRASHED: &str = "server conn crashed?";

/// Why one is closed whose client has gone, in the same words.
pub(in crate::pooled) const CLIENT_LEFT: &str = "client disconnect while server was not ready";

/// What a client that needs a backend gets.
pub(in crate::pooled) enum Taken {
    /// This one.
    Now(Lease<Box<Held>>),
    /// One that will be put here.
    Later(WaiterId, Arc<Slot>),
}

impl Pool {
    /// A backend for a client, now or later.
    pub(in crate::pooled) fn checkout(self: &Arc<Self>, now: Mono) -> Result<Taken, ClientError> {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        if inner.drains {
            return Err(self.told(Farewell::ShuttingDown));
        }
        loop {
            match inner.books.checkout(now, &inner.limits, &mut self.gate()) {
                Checkout::Ready(lease) if lease.backend.is_fresh() => {
                    inner.assigned(Duration::ZERO);
                    return Ok(Taken::Now(lease));
                }
                Checkout::Ready(lease) => {
                    farewell(&lease.backend, "idle server got dirty");
                    let opening = inner.books.closed(&lease.receipt, now, &inner.limits, &mut self.gate());
                    self.open(opening);
                }
                Checkout::Open(opening) => {
                    self.open(Some(opening));
                    return Ok(self.wait(inner, now));
                }
                Checkout::Wait => return Ok(self.wait(inner, now)),
                Checkout::Refuse(_) => return Err(inner.refusal.clone().unwrap_or_else(no_backend)),
            }
        }
    }

    /// The caps that it shares with other pools.
    pub(in crate::pooled) fn gate(&self) -> Door<'_> {
        Door { room: &self.room, id: self.member }
    }

    /// Has other pools give up backends that nobody uses there, if caps are what this one waits for.
    pub(super) fn make_room(&self) {
        if !self.room.is_capped() {
            return;
        }
        // One pool's books are never locked under another's.
        let (lacks, holders) = self.room.lacks(self.member);
        let idle = holders.iter().flat_map(|(id, pool)| {
            pool.inner.lock().books.idle_since().map(|since| (*id, since)).collect::<Vec<_>>()
        });
        for chosen in lacks.choose(idle.collect()) {
            if let Some((_, holder)) = holders.iter().find(|(id, _)| *id == chosen) {
                holder.evict();
            }
        }
    }

    /// Gives up the backend that was idle longest, for another pool.
    fn evict(&self) {
        let evicted = self.inner.lock().books.evict(&mut self.gate());
        if let Some(held) = evicted {
            farewell(&held, "evicted");
        }
    }

    pub(super) fn wait(&self, inner: &mut Inner, now: Mono) -> Taken {
        let slot = Slot::new();
        let id = inner.books.wait(Arc::clone(&slot), now);
        self.poke.notify_one();
        Taken::Later(id, slot)
    }

    /// A client does not wait any more.
    pub(in crate::pooled) fn abandon(self: &Arc<Self>, id: WaiterId, slot: &Slot) {
        let _was_in_line = self.inner.lock().books.cancel_wait(id, &mut self.gate());
        if let Some(Ok(lease)) = slot.leave() {
            self.checkin(lease.backend, lease.receipt, Mono::now());
        }
    }

    /// A backend comes back, free for others.
    pub(in crate::pooled) fn checkin(
        self: &Arc<Self>,
        mut backend: Box<Held>,
        mut receipt: Receipt,
        now: Mono,
    ) {
        backend.leave();
        loop {
            let mut inner = self.inner.lock();
            let inner = &mut *inner;
            match inner.books.checkin(backend, receipt, now, &inner.limits, &mut self.gate()) {
                Checkin::Handed { waiter, lease, since } => match waiter.give(Ok(lease)) {
                    None => return inner.assigned(now.since(since)),
                    // Its client has gone in this moment: the next one, please.
                    Some(Ok(lease)) => (backend, receipt) = (lease.backend, lease.receipt),
                    Some(Err(_)) => return,
                },
                Checkin::Kept => {
                    if let Some(due) = inner.books.newest_deadline(&inner.limits).filter(|at| *at < inner.due)
                    {
                        inner.due = due;
                        self.poke.notify_one();
                    }
                    return;
                }
                Checkin::Close { backend, open, reason } => {
                    farewell(&backend, reason.as_str());
                    return self.open(open);
                }
            }
        }
    }

    /// A backend is lost, or no other client may have it.
    pub(in crate::pooled) fn discard(self: &Arc<Self>, backend: Box<Held>, receipt: &Receipt) {
        self.discard_because(backend, receipt, CRASHED);
    }

    /// The same, and the log is to say why.
    pub(in crate::pooled) fn discard_because(
        self: &Arc<Self>,
        backend: Box<Held>,
        receipt: &Receipt,
        why: &str,
    ) {
        farewell(&backend, why);
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        inner.common.closed(&backend.server);
        drop(backend);
        let opening = inner.books.closed(receipt, Mono::now(), &inner.limits, &mut self.gate());
        self.open(opening);
    }
}

fn no_backend() -> ClientError {
    ClientError::fatal(SqlState::CANNOT_CONNECT_NOW, "no backend could be opened just now")
        .with_hint(help("compute-did-not-start"))
}
