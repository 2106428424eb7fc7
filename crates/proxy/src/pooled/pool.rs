//! One pool: its books, and what follows from them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_pgwire::backend::{NoticeResponse, Severity};
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pgwire::{ClientError, Encode};
use dormouse_pooler::config::{Limits, PoolMode, Settings as Config, Times};
use dormouse_pooler::link::Common;
use dormouse_pooler::pool::{
    Books, Checkin, Checkout, CloseReason, Counts, Farewell, Lease, MemberId, Opening, Receipt, WaiterId,
};
use dormouse_pooler::settings::{Reported, Settings};
use dormouse_runtime::shard::Shard;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::client_info::{ClientInfo, Doing};
use super::held::{Held, Key};
use super::listeners::Listeners;
use super::open;
use super::pools::PoolKey;
use super::room::{Door, Room};
use super::seats::{self, Row};
use super::slot::Slot;
use super::stats::Stats;
use crate::session::help;
use crate::wake::{Compute, End, Wake, same_run};

/// Startup settings whose greeting is remembered. Drivers of one application send one or two.
const MAX_GREETINGS: usize = 64;

/// A goodbye to a backend.
const TERMINATE: [u8; 5] = [b'X', 0, 0, 0, 4];

/// What `server_check_query` calls an empty query.
const EMPTY_QUERY: &str = "<empty>";

/// A server that cannot be reached is tried no more often than this, whatever `server_login_retry` says.
const RETRY_AT_MOST_EVERY: Duration = Duration::from_millis(100);

/// Looks at its books at least so often while anybody waits or anything is open.
const LOOK_AT_LEAST: Duration = Duration::from_secs(3600);

/// One endpoint's backends for one database and role.
pub(crate) struct Pool {
    pub(crate) key: PoolKey,
    /// Where its clients sit.
    pub(super) row: Row,
    pub(super) wake: Arc<Listeners>,
    /// Whether ordinary servers are behind it: then PgBouncer's words and ways are expected.
    pub(super) stands_in: bool,
    /// Whether clients' time is limited.
    timed: AtomicBool,
    home: Shard,
    inner: Mutex<Inner>,
    poke: Arc<Notify>,
    /// Tells those who watch for it that it is forgotten.
    gone: CancellationToken,
    /// What it shares with other pools, and its name there.
    room: Arc<Room>,
    member: MemberId,
}

/// What changes of it.
pub(super) struct Inner {
    pub(super) books: Books<Box<Held>, Arc<Slot>>,
    /// What its links share.
    pub(super) common: Common,
    pub(super) limits: Limits,
    config: Config,
    greetings: HashMap<Settings, Reported>,
    pub(super) clients: HashMap<u32, Arc<ClientInfo>>,
    /// The pooler ends: no work begins any more.
    pub(super) drains: bool,
    /// Since when nobody needs it.
    unused: Option<Mono>,
    /// Why the last backend could not be opened.
    refusal: Option<ClientError>,
    /// The runs of the compute that are being watched: one, or one for each server that it stands for.
    runs: Vec<End>,
    /// Every backend that is open, and a few that are not any more.
    backends: Vec<Weak<Key>>,
    /// What it has done.
    pub(super) stats: Stats,
    /// The books are looked at then, if not before.
    due: Mono,
}

/// What a client that needs a backend gets.
pub(super) enum Taken {
    /// This one.
    Now(Lease<Box<Held>>),
    /// One that will be put here.
    Later(WaiterId, Arc<Slot>),
}

impl Pool {
    pub(super) fn start(
        key: PoolKey,
        wake: Arc<Listeners>,
        home: Shard,
        room: &Arc<Room>,
        config: &Config,
    ) -> Arc<Self> {
        let stands_in = wake.stands_in();
        let inner = Inner {
            books: Books::default(),
            common: Common { strict: stands_in, ..Common::new(config.max_prepared_statements as usize) },
            limits: limits(&*wake, &key, config),
            config: config.clone(),
            drains: false,
            unused: None,
            greetings: HashMap::new(),
            clients: HashMap::new(),
            refusal: None,
            runs: Vec::new(),
            backends: Vec::new(),
            stats: Stats::new(Mono::now()),
            due: Mono::now(),
        };
        let poke = Arc::new(Notify::new());
        let pool = Arc::new_cyclic(|this| Self {
            member: room.join(&key, &poke, this),
            room: Arc::clone(room),
            row: key.row(),
            key,
            wake,
            stands_in,
            timed: AtomicBool::new(Times::from(config).any()),
            home,
            inner: Mutex::new(inner),
            poke: Arc::clone(&poke),
            gone: CancellationToken::new(),
        });
        room.limit(&pool.key, config);
        let (weak, gone) = (Arc::downgrade(&pool), pool.gone());
        pool.home.spawn(async move {
            while let Some(pool) = weak.upgrade() {
                let next = pool.tick();
                drop(pool);
                tokio::select! {
                    () = tokio::time::sleep_until(next.as_instant().into()) => {}
                    () = poke.notified() => {}
                    () = gone.cancelled() => return,
                }
            }
        });
        pool
    }

    /// Ends with it.
    pub(super) fn gone(&self) -> CancellationToken {
        self.gone.clone()
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
        inner.limits = limits(&*self.wake, &self.key, config);
        // What failed under the old ones may work now.
        inner.refusal = None;
        inner.books.try_again();
        inner.common.max_prepared = config.max_prepared_statements as usize;
        inner.config = config.clone();
        self.timed.store(Times::from(config).any(), Ordering::Relaxed);
        for client in inner.clients.values() {
            // Its time limit may be another now.
            client.wake();
        }
        drop(inner);
        self.room.limit(&self.key, config);
        self.poke.notify_one();
    }

    /// A number for another backend.
    pub(super) fn number(&self) -> u32 {
        self.room.number()
    }

    /// Whether it has been unused for so long.
    pub(super) fn is_unused_for(&self, limit: Duration) -> bool {
        let mut inner = self.inner.lock();
        let used = !inner.clients.is_empty() || inner.books.total() > 0;
        if used {
            inner.unused = None;
            return false;
        }
        inner.unused.get_or_insert_with(Mono::now).elapsed() >= limit
    }

    /// How a client is told why it must go.
    pub(super) fn told(&self, why: Farewell) -> ClientError {
        if self.stands_in { why.as_pgbouncer() } else { why.client_error() }
    }

    /// What operators call its database.
    pub(crate) fn place(&self) -> String {
        self.wake.place(&self.key.endpoint, &self.key.database)
    }

    /// The settings it has.
    pub(crate) fn config(&self) -> Config {
        self.inner.lock().config.clone()
    }

    /// How its clients use backends, unless they say otherwise.
    pub(crate) fn mode(&self) -> PoolMode {
        self.inner.lock().config.pool_mode
    }

    /// How many clients there may be at each seat of its row.
    pub(super) fn client_limits(&self) -> [u32; 3] {
        seats::limits(&self.inner.lock().config)
    }

    /// `login_notify_message` as a message for a new client.
    pub(super) fn notice(&self) -> Option<Vec<u8>> {
        let inner = self.inner.lock();
        let text = &inner.config.login_notify_message;
        let notice = || NoticeResponse::new(Severity::Notice, SqlState::SUCCESSFUL_COMPLETION, text).encode();
        (!text.is_empty()).then(notice)
    }

    /// What a backend that was idle for long is checked with, if it is.
    pub(super) fn check_query(&self) -> Option<String> {
        let query = self.inner.lock().config.server_check_query.clone();
        match query.as_str() {
            "" => None,
            EMPTY_QUERY => Some(String::new()),
            _ => Some(query),
        }
    }

    /// The limits of its clients' time, if there are any.
    pub(super) fn times(&self) -> Option<Times> {
        self.timed.load(Ordering::Relaxed).then(|| Times::from(&self.inner.lock().config))
    }

    /// A backend for a client, now or later.
    pub(super) fn checkout(self: &Arc<Self>) -> Result<Taken, ClientError> {
        let now = Mono::now();
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
                Checkout::Wait => {
                    self.ask_for_room();
                    return Ok(self.wait(inner, now));
                }
                Checkout::Refuse(_) => return Err(inner.refusal.clone().unwrap_or_else(no_backend)),
            }
        }
    }

    /// The caps that it shares with other pools.
    pub(super) fn gate(&self) -> Door<'_> {
        Door { room: &self.room, id: self.member }
    }

    /// Gives up the backend that was idle longest, for another pool.
    fn evict(&self) -> bool {
        let evicted = self.inner.lock().books.evict(&mut self.gate());
        evicted.as_deref().map(|held| farewell(held, "evicted")).is_some()
    }

    /// Has another pool give up a backend that nobody uses there, if a cap is what this one waits for.
    fn ask_for_room(self: &Arc<Self>) {
        if !self.room.is_capped() {
            return;
        }
        // Not here: one pool's books are never locked under another's.
        let pool = Arc::clone(self);
        self.home.spawn(async move {
            let _one_is_enough = pool.room.holders(pool.member).iter().any(|holder| holder.evict());
        });
    }

    fn wait(&self, inner: &mut Inner, now: Mono) -> Taken {
        let slot = Slot::new();
        let id = inner.books.wait(Arc::clone(&slot), now);
        self.poke.notify_one();
        Taken::Later(id, slot)
    }

    /// A client does not wait any more.
    pub(super) fn abandon(self: &Arc<Self>, id: WaiterId, slot: &Slot) {
        let _was_in_line = self.inner.lock().books.cancel_wait(id, &mut self.gate());
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
    pub(super) fn discard(self: &Arc<Self>, backend: Box<Held>, receipt: &Receipt) {
        self.discard_because(backend, receipt, "server conn crashed?");
    }

    /// The same, and the log is to say why.
    pub(super) fn discard_because(self: &Arc<Self>, backend: Box<Held>, receipt: &Receipt, why: &str) {
        farewell(&backend, why);
        drop(backend);
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let opening = inner.books.closed(receipt, Mono::now(), &inner.limits, &mut self.gate());
        self.open(opening);
    }

    pub(super) fn open(self: &Arc<Self>, opening: Option<Opening>) {
        if let Some(opening) = opening {
            if self.stands_in && opening.is_of_reserve() {
                tracing::warn!("{}/{} taking connection from reserve_pool", self.key.database, self.key.role);
            }
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
                inner.open_failed(&opening, now, &error, &mut self.gate());
                return self.poke.notify_one();
            }
        };
        inner.refusal = None;
        inner.remember(&backend);
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
    pub(super) fn reopen(self: &Arc<Self>) -> Arc<Slot> {
        let slot = Slot::new();
        let opening = self.inner.lock().books.reopen();
        self.home.spawn(open::reopen(Arc::clone(self), opening, Arc::clone(&slot)));
        slot
    }

    /// What came of that.
    pub(super) fn reopened(
        self: &Arc<Self>,
        opening: Opening,
        made: Result<Box<Held>, ClientError>,
        slot: &Slot,
    ) {
        let now = Mono::now();
        let mut inner = self.inner.lock();
        let given = match made {
            Ok(backend) => {
                inner.remember(&backend);
                Ok(inner.books.reopened(opening, backend, now))
            }
            Err(error) => {
                inner.open_failed(&opening, now, &error, &mut self.gate());
                self.poke.notify_one();
                Err(error)
            }
        };
        match slot.give(given) {
            Some(Ok(lease)) => self.checkin_later(lease),
            _ => inner.assigned(Duration::ZERO),
        }
    }

    /// What was set aside is free again.
    pub(super) fn put_back(self: &Arc<Self>, opening: Opening) {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let opening = inner.books.put_back(opening, Mono::now(), &inner.limits, &mut self.gate());
        self.open(opening);
    }

    /// Takes a backend back that nobody took, once the books are free.
    fn checkin_later(self: &Arc<Self>, lease: Lease<Box<Held>>) {
        let (pool, Lease { backend, receipt, .. }) = (Arc::clone(self), lease);
        self.home.spawn(async move { pool.checkin(backend, receipt) });
    }

    /// Does what time brings. Tells when to look again.
    fn tick(self: &Arc<Self>) -> Mono {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let now = Mono::now();
        let actions = inner.books.tick(now, &inner.limits, &mut self.gate());
        for (backend, reason) in actions.close {
            tracing::trace!(pool = ?self.key, reason = reason.as_str(), "backend closed");
            farewell(&backend, reason.as_str());
        }
        for opening in actions.open {
            self.open(Some(opening));
        }
        for id in actions.notify {
            if let Some(slot) = inner.books.waiter_mut(id) {
                slot.remind();
            }
        }
        let waited = inner.limits.query_wait_timeout;
        for slot in actions.refuse {
            // Who waited for a server that cannot be reached is told that.
            let late = || match self.stands_in {
                true => Farewell::QueryWaitTimeout.as_pgbouncer(),
                false => waited_too_long(waited),
            };
            let error = inner.refusal.clone().unwrap_or_else(late);
            let _gone = slot.give(Err(error));
        }
        // A backend that is in use now will be idle again by then, without anybody saying so.
        let before = Some(inner.due).filter(|due| *due > now);
        let next = [actions.next, before].into_iter().flatten().min();
        inner.due = next.unwrap_or_else(|| now.plus(LOOK_AT_LEAST));
        inner.due
    }

    /// Whether this run of the compute is not watched yet; then the caller does.
    pub(super) fn is_first_of(&self, compute: &Arc<dyn Compute>) -> bool {
        let run = compute.closing();
        let mut inner = self.inner.lock();
        inner.runs.retain(|known| known.has_changed().is_ok());
        let known = inner.runs.iter().any(|known| same_run(known, &run));
        if !known {
            inner.runs.push(run);
        }
        !known
    }

    /// The compute ends: nobody gets its idle backends any more, and who has one learns of it.
    pub(super) fn ends(&self, compute: &Arc<dyn Compute>) {
        let run = compute.closing();
        let mut inner = self.inner.lock();
        for held in inner.books.remove_idle(|held| held.is_of(&run), &mut self.gate()) {
            farewell(&held, CloseReason::Reconnect.as_str());
        }
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
        inner.common.counters.client_login_count += 1;
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

    /// Its backends.
    pub(crate) fn backends(&self) -> Vec<Arc<Key>> {
        self.inner.lock().backends.iter().filter_map(Weak::upgrade).collect()
    }

    /// What it has done.
    pub(crate) fn stats(&self) -> Stats {
        let inner = self.inner.lock();
        Stats { counters: inner.common.counters, ..inner.stats.clone() }
    }

    /// Ends the period of its averages, if it is over.
    pub(super) fn roll(&self, now: Mono, period: Duration) {
        let mut inner = self.inner.lock();
        let counters = inner.common.counters;
        inner.stats.roll(now, period, &counters);
    }

    /// Its numbers.
    pub(crate) fn counts(&self) -> Counts {
        let inner = self.inner.lock();
        inner.books.counts(Mono::now(), &inner.limits)
    }
}

impl Inner {
    /// A client was given a backend after so long a wait.
    fn assigned(&mut self, wait: Duration) {
        self.common.counters.assigned(wait);
        self.stats.waits.record(wait);
    }

    /// One more backend is open.
    fn remember(&mut self, backend: &Held) {
        self.backends.retain(|known| known.strong_count() > 0);
        self.backends.push(Arc::downgrade(&backend.key));
    }

    /// A backend could not be opened: who has nothing else to wait for is told.
    fn open_failed(&mut self, opening: &Opening, now: Mono, error: &ClientError, gate: &mut Door<'_>) {
        self.refusal = Some(error.clone());
        let failed = self.books.open_failed(opening, now, &self.limits, gate);
        for slot in failed.refuse {
            let _gone = slot.give(Err(error.clone()));
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.gone.cancel();
        self.room.leave(self.member);
    }
}

/// What the books look at.
fn limits(wake: &dyn Wake, key: &PoolKey, config: &Config) -> Limits {
    let keeps_up = config.min_pool_size > 0 && wake.keeps_up(&key.endpoint, &key.database);
    Limits { as_pgbouncer: wake.stands_in(), keeps_up, ..Limits::from(config) }
}

pub(super) fn farewell(backend: &Held, why: &str) {
    if let Some(journal) = &backend.journal {
        journal.closing(why);
    }
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
