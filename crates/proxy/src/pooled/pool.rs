//! One pool: its books, and what follows from them.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_pgwire::ClientError;
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pooler::config::{Limits, Settings as Config};
use dormouse_pooler::link::Common;
use dormouse_pooler::pool::{Books, Checkin, Checkout, Counts, Lease, NoCap, Opening, Receipt, WaiterId};
use dormouse_pooler::settings::{Reported, Settings};
use dormouse_runtime::shard::Shard;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::client_info::{ClientInfo, Doing};
use super::held::Held;
use super::open;
use super::pools::PoolKey;
use super::slot::Slot;
use crate::session::help;
use crate::wake::{Compute, Wake};

/// Startup settings whose greeting is remembered. Drivers of one application send one or two.
const MAX_GREETINGS: usize = 64;

/// A goodbye to a backend.
const TERMINATE: [u8; 5] = [b'X', 0, 0, 0, 4];

/// A server that cannot be reached is tried no more often than this, whatever `server_login_retry` says.
const RETRY_AT_MOST_EVERY: Duration = Duration::from_millis(100);

/// Looks at its books at least so often while anybody waits or anything is open.
const LOOK_AT_LEAST: Duration = Duration::from_secs(3600);

/// One endpoint's backends for one database and role.
pub(crate) struct Pool {
    pub(crate) key: PoolKey,
    pub(super) wake: Arc<dyn Wake>,
    home: Shard,
    inner: Mutex<Inner>,
    poke: Arc<Notify>,
}

/// What changes of it.
pub(super) struct Inner {
    books: Books<Box<Held>, Arc<Slot>>,
    /// What its links share.
    pub(super) common: Common,
    limits: Limits,
    config: Config,
    greetings: HashMap<Settings, Reported>,
    clients: HashMap<u32, Arc<ClientInfo>>,
    /// Why the last backend could not be opened.
    refusal: Option<ClientError>,
    /// The runs of the compute that are being watched: one, or one for each server that it stands for.
    runs: Vec<Weak<dyn Compute>>,
}

/// What a client that needs a backend gets.
pub(super) enum Taken {
    /// This one.
    Now(Lease<Box<Held>>),
    /// One that will be put here.
    Later(WaiterId, Arc<Slot>),
}

impl Pool {
    pub(super) fn start(key: PoolKey, wake: Arc<dyn Wake>, home: Shard, config: &Config) -> Arc<Self> {
        let inner = Inner {
            books: Books::default(),
            common: Common::new(config.max_prepared_statements as usize),
            limits: Limits::from(config),
            config: config.clone(),
            greetings: HashMap::new(),
            clients: HashMap::new(),
            refusal: None,
            runs: Vec::new(),
        };
        let poke = Arc::new(Notify::new());
        let pool = Arc::new(Self { key, wake, home, inner: Mutex::new(inner), poke: Arc::clone(&poke) });
        let weak = Arc::downgrade(&pool);
        pool.home.spawn(async move {
            while let Some(pool) = weak.upgrade() {
                let next = pool.tick().unwrap_or_else(|| Mono::now().plus(LOOK_AT_LEAST));
                drop(pool);
                tokio::select! {
                    () = tokio::time::sleep_until(next.as_instant().into()) => {}
                    () = poke.notified() => {}
                }
            }
        });
        pool
    }

    /// Its shard.
    pub(super) fn home(&self) -> &Shard {
        &self.home
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Whether it has neither clients nor backends.
    pub(super) fn is_unused(&self) -> bool {
        let inner = self.inner.lock();
        inner.clients.is_empty() && inner.books.total() == 0
    }

    /// Takes new settings over.
    pub(super) fn configure(&self, config: &Config) {
        let mut inner = self.inner.lock();
        inner.limits = Limits::from(config);
        inner.common.max_prepared = config.max_prepared_statements as usize;
        inner.config = config.clone();
        drop(inner);
        self.poke.notify_one();
    }

    /// The settings it has.
    pub(crate) fn config(&self) -> Config {
        self.inner.lock().config.clone()
    }

    /// A backend for a client, now or later.
    pub(super) fn checkout(self: &Arc<Self>) -> Result<Taken, ClientError> {
        let now = Mono::now();
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        loop {
            match inner.books.checkout(now, &inner.limits, &mut NoCap) {
                Checkout::Ready(lease) if lease.backend.is_fresh() => return Ok(Taken::Now(lease)),
                Checkout::Ready(lease) => {
                    let opening = inner.books.closed(&lease.receipt, now, &inner.limits, &mut NoCap);
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

    fn wait(&self, inner: &mut Inner, now: Mono) -> Taken {
        let slot = Slot::new();
        let id = inner.books.wait(Arc::clone(&slot), now);
        self.poke.notify_one();
        Taken::Later(id, slot)
    }

    /// A client does not wait any more.
    pub(super) fn abandon(self: &Arc<Self>, id: WaiterId, slot: &Slot) {
        let _was_in_line = self.inner.lock().books.cancel_wait(id, &mut NoCap);
        if let Some(Ok(lease)) = slot.leave() {
            self.checkin(lease.backend, lease.receipt);
        }
    }

    /// A backend comes back, free for others.
    pub(super) fn checkin(self: &Arc<Self>, mut backend: Box<Held>, mut receipt: Receipt) {
        backend.leave();
        let now = Mono::now();
        loop {
            let mut inner = self.inner.lock();
            let inner = &mut *inner;
            match inner.books.checkin(backend, receipt, now, &inner.limits, &mut NoCap) {
                Checkin::Handed { waiter, lease, .. } => match waiter.give(Ok(lease)) {
                    None => return,
                    // Its client has gone in this moment: the next one, please.
                    Some(Ok(lease)) => (backend, receipt) = (lease.backend, lease.receipt),
                    Some(Err(_)) => return,
                },
                Checkin::Kept => return self.poke.notify_one(),
                Checkin::Close { backend, open, .. } => {
                    farewell(&backend);
                    return self.open(open);
                }
            }
        }
    }

    /// A backend is lost, or no other client may have it.
    pub(super) fn discard(self: &Arc<Self>, backend: Box<Held>, receipt: &Receipt) {
        farewell(&backend);
        drop(backend);
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let opening = inner.books.closed(receipt, Mono::now(), &inner.limits, &mut NoCap);
        self.open(opening);
    }

    fn open(self: &Arc<Self>, opening: Option<Opening>) {
        if let Some(opening) = opening {
            self.home.spawn(open::open(Arc::clone(self), opening));
        }
    }

    /// A backend could not be opened for this reason: how long to wait before the next try, if a client waits.
    pub(super) fn still_waited_for(&self, error: Option<&ClientError>) -> Option<Duration> {
        let mut inner = self.inner.lock();
        inner.refusal = error.cloned();
        let counts = inner.books.counts(Mono::now(), &inner.limits);
        (counts.cl_waiting > 0).then_some(inner.limits.server_login_retry.max(RETRY_AT_MOST_EVERY))
    }

    /// What came of opening a backend.
    pub(super) fn opened(self: &Arc<Self>, opening: Opening, made: Result<Box<Held>, ClientError>) {
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
                inner.refusal = Some(error.clone());
                let failed = inner.books.open_failed(&opening, now, &inner.limits, &mut NoCap);
                for slot in failed.refuse {
                    let _gone = slot.give(Err(error.clone()));
                }
                return self.poke.notify_one();
            }
        };
        inner.refusal = None;
        match inner.books.opened(opening, backend, now, &inner.limits, &mut NoCap) {
            Checkin::Handed { waiter, lease, .. } => {
                if let Some(Ok(lease)) = waiter.give(Ok(lease)) {
                    let (pool, Lease { backend, receipt, .. }) = (Arc::clone(self), lease);
                    self.home.spawn(async move { pool.checkin(backend, receipt) });
                }
            }
            Checkin::Kept => self.poke.notify_one(),
            Checkin::Close { backend, open, .. } => {
                farewell(&backend);
                self.open(open);
            }
        }
    }

    /// Does what time brings. Tells when to look again.
    fn tick(self: &Arc<Self>) -> Option<Mono> {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let actions = inner.books.tick(Mono::now(), &inner.limits, &mut NoCap);
        for (backend, reason) in actions.close {
            tracing::debug!(pool = ?self.key, reason = reason.as_str(), "backend closed");
            farewell(&backend);
        }
        for opening in actions.open {
            self.open(Some(opening));
        }
        let waited = inner.limits.query_wait_timeout;
        for slot in actions.refuse {
            // Who waited for a server that cannot be reached is told that.
            let error = inner.refusal.clone().unwrap_or_else(|| waited_too_long(waited));
            let _gone = slot.give(Err(error));
        }
        actions.next
    }

    /// Whether this run of the compute is not watched yet; then the caller does.
    pub(super) fn is_first_of(&self, compute: &Arc<dyn Compute>) -> bool {
        let run = Arc::downgrade(compute);
        let mut inner = self.inner.lock();
        inner.runs.retain(|known| known.strong_count() > 0);
        let known = inner.runs.iter().any(|known| Weak::ptr_eq(known, &run));
        if !known {
            inner.runs.push(run);
        }
        !known
    }

    /// The compute ends: nobody gets its idle backends any more, and who has one learns of it.
    pub(super) fn ends(&self, compute: &Arc<dyn Compute>) {
        let mut inner = self.inner.lock();
        drop(inner.books.remove_idle(|held| held.is_of(compute), &mut NoCap));
        for client in inner.clients.values().filter(|client| client.doing() == Doing::Linked) {
            client.alarm();
        }
    }

    /// What a client with these settings is greeted with, if one came before.
    pub(super) fn greeting(&self, startup: &Settings) -> Option<Reported> {
        self.inner.lock().greetings.get(startup).cloned()
    }

    /// Remembers it for the next.
    pub(super) fn remember(&self, startup: &Settings, reported: &Reported) {
        let mut inner = self.inner.lock();
        if inner.greetings.len() >= MAX_GREETINGS {
            inner.greetings.clear();
        }
        inner.greetings.insert(startup.clone(), reported.clone());
    }

    pub(super) fn join(&self, client: &Arc<ClientInfo>) {
        let mut inner = self.inner.lock();
        inner.books.join();
        inner.clients.insert(client.id, Arc::clone(client));
    }

    pub(super) fn part(&self, client: &ClientInfo) {
        let mut inner = self.inner.lock();
        if inner.clients.remove(&client.id).is_some() {
            inner.books.leave();
        }
    }

    /// Its clients.
    pub(crate) fn clients(&self) -> Vec<Arc<ClientInfo>> {
        self.inner.lock().clients.values().cloned().collect()
    }

    /// Its numbers.
    pub(crate) fn counts(&self) -> Counts {
        let inner = self.inner.lock();
        inner.books.counts(Mono::now(), &inner.limits)
    }
}

fn farewell(backend: &Held) {
    backend.stream.say_if_possible(&TERMINATE);
}

fn no_backend() -> ClientError {
    ClientError::fatal(SqlState::CANNOT_CONNECT_NOW, "no backend could be opened just now")
        .with_hint(help("compute-did-not-start"))
}

fn waited_too_long(limit: Duration) -> ClientError {
    ClientError::fatal(SqlState::TOO_MANY_CONNECTIONS, "no backend became free in time")
        .with_detail(format!(
            "All backends of this pool were busy for {} s (query_wait_timeout).",
            limit.as_secs()
        ))
        .with_hint(help("query-wait-timeout"))
}
