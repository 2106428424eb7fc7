//! One pool: its books, and what follows from them.
//!
//! ```text
//!   mod.rs       what it is, its clients, its settings     exchange.rs  backends go to clients and come back
//!   opening.rs   backends are opened                       time.rs      what time brings
//!   look.rs      what others see of it
//! ```

mod exchange;
mod look;
mod opening;
mod time;
#[cfg(test)]
mod tests;

pub(in crate::pooled) use exchange::{CLIENT_LEFT, CRASHED, Taken};
pub(crate) use look::Resting;
pub(in crate::pooled) use opening::Unopened;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use dormouse_base::Timestamp;
use dormouse_base::clock::Mono;
use dormouse_base::hash::QuickMap;
use dormouse_pgwire::backend::{NoticeResponse, Severity};
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pgwire::{ClientError, Encode};
use dormouse_pooler::config::{Limits, PoolMode, Settings as Config, Times};
use dormouse_pooler::link::{Common, Greeting};
use dormouse_pooler::pool::{Books, CloseReason, Farewell, MemberId};
use dormouse_pooler::settings::Settings;
use dormouse_runtime::shard::Shard;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::census::Samples;
use crate::pooled::client_info::{ClientInfo, Doing};
use crate::pooled::held::{Held, Key};
use crate::pooled::listeners::Listeners;
use crate::pooled::pools::PoolKey;
use crate::pooled::room::Room;
use crate::pooled::seats::{self, Row};
use crate::pooled::slot::Slot;
use crate::pooled::stats::Stats;
use crate::traffic::Tally;
use crate::wake::{End, Wake, same_run};

/// Startup settings whose greeting is remembered. Drivers of one application send one or two.
const MAX_GREETINGS: usize = 64;

/// A goodbye to a backend.
const TERMINATE: [u8; 5] = [b'X', 0, 0, 0, 4];

/// What `server_check_query` calls an empty query.
const EMPTY_QUERY: &str = "<empty>";

/// One endpoint's backends for one database and role.
pub(crate) struct Pool {
    pub(crate) key: PoolKey,
    /// Where its clients sit.
    pub(in crate::pooled) row: Row,
    pub(in crate::pooled) wake: Arc<Listeners>,
    /// Whether ordinary servers are behind it: then PgBouncer's words and ways are expected.
    pub(in crate::pooled) stands_in: bool,
    /// Whether clients' time is limited.
    timed: AtomicBool,
    /// Whether clients' settings end with their transactions.
    resets: AtomicBool,
    /// PAUSE came, and RESUME has not.
    pub(in crate::pooled) held_up: watch::Sender<bool>,
    home: Shard,
    inner: Mutex<Inner>,
    poke: Arc<Notify>,
    /// Tells those who watch for it that it is forgotten.
    gone: CancellationToken,
    /// What it shares with other pools, and its name there.
    room: Arc<Room>,
    member: MemberId,
    tally: Tally,
}

/// What changes of it.
pub(in crate::pooled) struct Inner {
    pub(in crate::pooled) books: Books<Box<Held>, Arc<Slot>>,
    /// What its links share.
    pub(in crate::pooled) common: Common,
    pub(in crate::pooled) limits: Limits,
    config: Arc<Config>,
    greetings: QuickMap<Settings, Greeting>,
    pub(in crate::pooled) clients: QuickMap<u32, Arc<ClientInfo>>,
    /// The pooler ends: no work begins any more.
    pub(in crate::pooled) drains: bool,
    /// Since when nobody needs it.
    unused: Option<Mono>,
    /// Why the last backend could not be opened.
    refusal: Option<ClientError>,
    /// The runs of the compute that are being watched: one, or one for each server that it stands for.
    runs: Vec<End>,
    /// Every backend that is open, and a few that are not any more.
    pub(in crate::pooled) backends: Vec<Weak<Key>>,
    /// Those that are being opened, and since when.
    opening: Vec<(u32, Timestamp)>,
    /// What it has done.
    pub(in crate::pooled) stats: Stats,
    /// How long clients waited since somebody asked.
    waits: Samples,
    /// The books are looked at then, if not before.
    due: Mono,
}

impl Pool {
    pub(in crate::pooled) fn start(
        key: PoolKey,
        wake: Arc<Listeners>,
        home: Shard,
        room: &Arc<Room>,
        config: &Config,
    ) -> Arc<Self> {
        let stands_in = wake.stands_in();
        let inner = Inner {
            books: Books::default(),
            common: common(config, stands_in),
            limits: limits(&*wake, &key, config),
            config: Arc::new(config.clone()),
            drains: false,
            unused: None,
            greetings: QuickMap::default(),
            clients: QuickMap::default(),
            refusal: None,
            runs: Vec::new(),
            backends: Vec::new(),
            opening: Vec::new(),
            stats: Stats::new(Mono::now()),
            waits: Samples::default(),
            due: Mono::now(),
        };
        let poke = Arc::new(Notify::new());
        let pool = Arc::new_cyclic(|this| Self {
            member: room.join(&key, &poke, this),
            room: Arc::clone(room),
            tally: room.traffic.open(&key.endpoint),
            row: key.row(),
            key,
            wake,
            stands_in,
            timed: AtomicBool::new(Times::from(config).any()),
            resets: AtomicBool::new(config.server_reset_query_always),
            held_up: watch::Sender::new(false),
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
                pool.make_room();
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
    pub(in crate::pooled) fn gone(&self) -> CancellationToken {
        self.gone.clone()
    }

    /// Its shard.
    pub(in crate::pooled) fn home(&self) -> &Shard {
        &self.home
    }

    pub(in crate::pooled) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Whether it has neither clients nor backends, and nobody waits for one.
    pub(in crate::pooled) fn is_unused(&self) -> bool {
        self.inner.lock().books.is_unused()
    }

    /// Takes new settings over.
    pub(in crate::pooled) fn configure(&self, config: &Config) {
        let mut inner = self.inner.lock();
        inner.limits = limits(&*self.wake, &self.key, config);
        // What failed under the old ones may work now.
        inner.refusal = None;
        inner.books.try_again();
        inner.common.max_prepared = config.max_prepared_statements as usize;
        inner.common.no_simple = config.disable_pqexec;
        inner.config = Arc::new(config.clone());
        let own = inner.clients.values().any(|client| has_idle_limit(client));
        self.timed.store(own || Times::from(config).any(), Ordering::Relaxed);
        self.resets.store(config.server_reset_query_always, Ordering::Relaxed);
        for client in inner.clients.values() {
            // Its time limit may be another now.
            client.wake();
        }
        drop(inner);
        self.room.limit(&self.key, config);
        // What was read with it may have replaced backends.
        self.close_fast();
        self.poke.notify_one();
    }

    /// A number for another backend.
    pub(in crate::pooled) fn number(&self) -> u32 {
        self.room.number()
    }

    /// Whether it has been unused for so long.
    pub(in crate::pooled) fn is_unused_for(&self, limit: Duration) -> bool {
        let mut inner = self.inner.lock();
        if !inner.books.is_unused() {
            inner.unused = None;
            return false;
        }
        inner.unused.get_or_insert_with(Mono::now).elapsed() >= limit
    }

    /// How a client is told why it must go.
    pub(in crate::pooled) fn told(&self, why: Farewell) -> ClientError {
        if self.stands_in { why.as_pgbouncer() } else { why.client_error() }
    }

    /// What operators call its database.
    pub(crate) fn place(&self) -> String {
        self.wake.place(&self.key.endpoint, &self.key.database)
    }

    /// The settings it has.
    pub(crate) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.inner.lock().config)
    }

    /// How its clients use backends, unless they say otherwise.
    pub(crate) fn mode(&self) -> PoolMode {
        self.inner.lock().config.pool_mode
    }

    /// How many clients there may be at each seat of its row.
    pub(in crate::pooled) fn client_limits(&self) -> [u32; 3] {
        seats::limits(&self.inner.lock().config)
    }

    /// `login_notify_message` as a message for a new client.
    pub(in crate::pooled) fn notice(&self) -> Option<Vec<u8>> {
        let inner = self.inner.lock();
        let text = &inner.config.login_notify_message;
        let notice = || NoticeResponse::new(Severity::Notice, SqlState::SUCCESSFUL_COMPLETION, text).encode();
        (!text.is_empty()).then(notice)
    }

    /// What a backend that was idle for long is checked with, if it is.
    pub(in crate::pooled) fn check_query(&self) -> Option<String> {
        let query = self.inner.lock().config.server_check_query.clone();
        match query.as_str() {
            "" => None,
            EMPTY_QUERY => Some(String::new()),
            _ => Some(query),
        }
    }

    /// The limits of a client's time, if there are any.
    pub(in crate::pooled) fn times(&self, client: &ClientInfo) -> Option<Times> {
        if !self.timed.load(Ordering::Relaxed) {
            return None;
        }
        let times = Times::from(&*self.inner.lock().config);
        Some(Times { client_idle: client.idle_limit().unwrap_or(times.client_idle), ..times })
    }

    /// Whether this run of the compute is not watched yet; then the caller does.
    pub(in crate::pooled) fn is_first_of(&self, run: &End) -> bool {
        let mut inner = self.inner.lock();
        inner.runs.retain(|known| known.has_changed().is_ok());
        let known = inner.runs.iter().any(|known| same_run(known, run));
        if !known {
            inner.runs.push(run.clone());
        }
        !known
    }

    /// This run of the compute ends: nobody gets its idle backends any more, and who has one learns of it.
    pub(in crate::pooled) fn ends(&self, run: &End) {
        let mut inner = self.inner.lock();
        for held in inner.books.remove_idle(|held| held.is_of(run), &mut self.gate()) {
            farewell(&held, CloseReason::Reconnect.as_str());
        }
        for client in inner.clients.values().filter(|client| client.doing() == Doing::Linked) {
            client.alarm();
        }
    }

    /// What a client with these settings is greeted with, if one came before.
    pub(in crate::pooled) fn greeting(&self, startup: &Settings) -> Option<Greeting> {
        self.inner.lock().greetings.get(startup).cloned()
    }

    /// Remembers it for the next.
    pub(in crate::pooled) fn remember(&self, startup: &Settings, greeting: &Greeting) {
        let mut inner = self.inner.lock();
        if inner.greetings.len() >= MAX_GREETINGS {
            inner.greetings.clear();
        }
        inner.greetings.insert(startup.clone(), greeting.clone());
    }

    pub(in crate::pooled) fn join(&self, client: &Arc<ClientInfo>) {
        let mut inner = self.inner.lock();
        inner.common.counters.client_login_count += 1;
        inner.books.join();
        if has_idle_limit(client) {
            self.timed.store(true, Ordering::Relaxed);
        }
        inner.clients.insert(client.id, Arc::clone(client));
    }

    pub(in crate::pooled) fn part(&self, client: &ClientInfo) {
        let mut inner = self.inner.lock();
        if inner.clients.remove(&client.id).is_some() {
            inner.books.leave();
        }
    }
}

impl Inner {
    /// A client was given a backend after so long a wait.
    fn assigned(&mut self, wait: Duration) {
        self.common.counters.assigned(wait);
        self.stats.waits.record(wait);
        self.waits.note(wait);
    }

    /// One more backend is open.
    pub(in crate::pooled) fn remember(&mut self, backend: &Arc<Key>) {
        self.backends.retain(|known| known.strong_count() > 0);
        self.backends.push(Arc::downgrade(backend));
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.tell_traffic();
        self.gone.cancel();
        self.room.leave(self.member);
    }
}

fn has_idle_limit(client: &ClientInfo) -> bool {
    client.idle_limit().is_some_and(|limit| !limit.is_zero())
}

/// What links share at the beginning.
fn common(config: &Config, stands_in: bool) -> Common {
    let mut common = Common::new(config.max_prepared_statements as usize);
    (common.strict, common.no_simple) = (stands_in, config.disable_pqexec);
    common
}

/// What the books look at.
fn limits(wake: &dyn Wake, key: &PoolKey, config: &Config) -> Limits {
    let keeps_up = config.min_pool_size > 0 && wake.keeps_up(&key.endpoint, &key.database);
    Limits { as_pgbouncer: wake.stands_in(), keeps_up, ..Limits::from(config) }
}

pub(in crate::pooled) fn farewell(backend: &Held, why: &str) {
    if let Some(journal) = &backend.journal {
        journal.closing(why);
    }
    if !backend.half_told && backend.outbox.is_empty() {
        backend.stream.say_if_possible(&TERMINATE);
    }
}
