//! Every pool there is, found by what its clients asked for.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use dormouse_base::EndpointId;
use dormouse_base::clock::Mono;
use dormouse_base::hash::QuickMap;
use dormouse_pgwire::ClientError;
use dormouse_pgwire::client_error::quoted;
use dormouse_pgwire::sqlstate::SqlState;
use dormouse_pooler::config::Settings;
use dormouse_pooler::stats::{Averages, Counters};
use dormouse_runtime::shard::Shard;
use parking_lot::{Mutex, RwLock};

use super::client_info::ClientInfo;
use super::listeners::Listeners;
use super::orders::{Order, Orders, Target};
use super::pool::Pool;
use super::room::Room;
use super::seats::{Hall, Seat, Seated, limits};
use crate::traffic::{self, Traffic};
use crate::wake::Wake;

/// Pools that have neither clients nor backends are forgotten when so many new ones have come,
const SWEEP_AFTER: usize = 256;

/// in PgBouncer's place only beyond so many: there a pool, and with it what was counted, is kept until
/// `pool_idle_timeout`, which may be never.
const MAX_UNUSED: usize = 10_000;

/// How often it is looked for pools that nobody needs.
const SWEEP_EVERY: Duration = Duration::from_millis(333);

/// What makes a pool.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PoolKey {
    pub(crate) endpoint: EndpointId,
    pub(crate) database: String,
    pub(crate) role: String,
    /// With whose the limits of its role are counted: the endpoint's, or those of all databases.
    pub(crate) people: EndpointId,
}

impl PoolKey {
    /// Its database as operators (and clients) can write it: `database@endpoint`.
    pub(crate) fn place(&self) -> String {
        format!("{}@{}", self.database, self.endpoint)
    }
}

/// One line about the last period. In PgBouncer's place it is PgBouncer's, and there is always one.
fn log(pools: &[Arc<Pool>], stands_in: bool) {
    let (mut last, mut length) = (Counters::default(), Duration::ZERO);
    for pool in pools {
        let stats = pool.stats();
        last += stats.period.last().0;
        length = length.max(stats.period.last().1);
    }
    let averages = Averages::of(&last, length);
    if stands_in {
        tracing::info!("stats: {averages}");
    } else if last.server_assignment_count > 0 {
        let Averages(rate) = averages;
        tracing::info!(
            pools = pools.len(),
            assignments = last.server_assignment_count,
            transactions_per_second = rate.xact_count,
            queries_per_second = rate.query_count,
            wait_us = rate.wait_time,
            "pools"
        );
    }
}

/// Whether pools that are not used are forgotten before one is added to so many.
fn is_time_to_sweep(pools: usize, stands_in: bool) -> bool {
    pools % SWEEP_AFTER == SWEEP_AFTER - 1 && (!stands_in || pools >= MAX_UNUSED)
}

/// Whether somebody else has it in hand: a client that comes in, or a question that is asked. All are found in [`Pools`],
/// so no client gets it while that is locked.
fn is_held(pool: &Arc<Pool>) -> bool {
    Arc::strong_count(pool) > 1
}

/// All pools.
pub(crate) struct Pools {
    all: Mutex<QuickMap<PoolKey, Arc<Pool>>>,
    shards: Vec<Shard>,
    wake: Arc<Listeners>,
    settings: RwLock<Arc<Settings>>,
    orders: Mutex<Orders>,
    hall: Hall,
    room: Arc<Room>,
    /// One change of settings at a time.
    pub(crate) changing: tokio::sync::Mutex<()>,
}

impl Pools {
    pub(crate) fn new(shards: Vec<Shard>, wake: Arc<Listeners>, settings: Settings) -> Self {
        Self {
            all: Mutex::default(),
            shards,
            wake,
            settings: RwLock::new(Arc::new(settings)),
            orders: Mutex::default(),
            hall: Hall::default(),
            room: Arc::default(),
            changing: tokio::sync::Mutex::default(),
        }
    }

    /// The pool of a key; made when it is the first client's.
    pub(crate) fn get(&self, key: PoolKey) -> Arc<Pool> {
        let mut all = self.all.lock();
        if let Some(pool) = all.get(&key) {
            return Arc::clone(pool);
        }
        if is_time_to_sweep(all.len(), self.wake.stands_in()) {
            all.retain(|_, pool| is_held(pool) || !pool.is_unused());
        }
        let home = self.shards[self.home(&key.endpoint)].clone();
        let settings = self.settings_of(&key, &self.settings.read());
        let pool = Pool::start(key.clone(), Arc::clone(&self.wake), home, &self.room, &settings);
        pool.obey(self.orders.lock().of(&key));
        all.insert(key, Arc::clone(&pool));
        pool
    }

    /// All of them, in order.
    pub(crate) fn list(&self) -> Vec<Arc<Pool>> {
        let mut all: Vec<_> = self.all.lock().values().cloned().collect();
        all.sort_by(|a, b| a.key.cmp(&b.key));
        all
    }

    /// How many clients of each of these endpoints wait for a backend.
    pub(crate) fn waiting(&self, endpoints: &[EndpointId]) -> Vec<u32> {
        let index: HashMap<&EndpointId, usize> = endpoints.iter().zip(0..).collect();
        let mut waiting = vec![0_u32; endpoints.len()];
        let all = self.all.lock();
        for (key, pool) in &*all {
            if let Some(at) = index.get(&key.endpoint) {
                waiting[*at] = waiting[*at].saturating_add(pool.waiting());
            }
        }
        waiting
    }

    /// How many backends the pools of an endpoint have.
    pub(crate) fn backends(&self, endpoint: &EndpointId) -> usize {
        let all = self.all.lock();
        let counts = all.iter().filter(|(key, _)| key.endpoint == *endpoint).map(|(_, pool)| pool.counts());
        counts.map(|it| it.sv_active + it.sv_idle + it.sv_used).sum()
    }

    /// Forgets pools that nobody has needed for long.
    fn sweep(&self) {
        let settings = self.settings();
        let mut forgotten = Vec::new();
        self.all.lock().retain(|key, pool| {
            let auto = self.wake.is_auto(&key.endpoint);
            let limits = [(true, settings.pool_idle_timeout), (auto, settings.autodb_idle_timeout)];
            let limit = limits.into_iter().filter(|(holds, limit)| *holds && !limit.is_zero());
            let Some(limit) = limit.map(|(_, limit)| limit).min() else { return true };
            let keep = pool.config().min_pool_size > 0 || is_held(pool) || !pool.is_unused_for(limit);
            if !keep {
                forgotten.push(key.clone());
            }
            keep
        });
        for key in forgotten {
            tracing::info!("cleaning up idle pool: db={} user={}", key.database, key.role);
            self.wake.forgotten(&key.endpoint, &key.database);
        }
    }

    /// Sweeps for ever.
    pub(crate) async fn keep_clean(&self) {
        loop {
            tokio::time::sleep(SWEEP_EVERY).await;
            self.sweep();
        }
    }

    /// The number of another client or backend.
    pub(crate) fn number(&self) -> u32 {
        self.room.number()
    }

    /// The settings of all pools.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read())
    }

    /// How many clients there may be.
    pub(crate) fn max_client_conn(&self) -> usize {
        self.settings.read().max_client_conn as usize
    }

    /// Changes the settings of all pools, now.
    pub(crate) fn change(&self, settings: &Settings) {
        // First for pools to come, or one that is made in this moment would be left out.
        *self.settings.write() = Arc::new(settings.clone());
        for pool in self.list() {
            pool.clients().iter().for_each(|client| self.limit(&pool.key, client));
            pool.configure(&self.settings_of(&pool.key, settings));
        }
    }

    /// How long a client that logged in as somebody else than its pool's role may be idle is its own role's to say.
    pub(super) fn limit(&self, key: &PoolKey, client: &ClientInfo) {
        if let Some(user) = client.user.as_deref() {
            let who = PoolKey { role: user.to_owned(), ..key.clone() };
            let settings = self.settings_of(&who, &self.settings.read());
            client.limit_idle(settings.client_idle_timeout);
        }
    }

    /// Takes a client of another process into its pool: it is no new one, so there is room for it and its database takes it.
    pub(super) fn take_in(&self, key: PoolKey, name: Option<&str>) -> (Arc<Pool>, Seated) {
        let who = PoolKey { role: name.unwrap_or(&key.role).to_owned(), ..key.clone() };
        let seated = Seated::take_another(&self.hall, &who.row());
        (self.get(key), seated)
    }

    /// Takes a client into its pool, if there is room and its database takes new ones. With a `name` it logged in
    /// as somebody else than the pool's role, and is counted as that.
    pub(super) fn enter(&self, key: PoolKey, name: Option<&str>) -> Result<(Arc<Pool>, Seated), ClientError> {
        if self.orders.lock().is_disabled(&key) {
            let text = format!("database {} is disabled", quoted(&key.database));
            return Err(ClientError::fatal(SqlState::CANNOT_CONNECT_NOW, text)
                .with_hint("The operator takes clients again with ENABLE on the console."));
        }
        let known = self.all.lock().get(&key).cloned();
        if let (Some(pool), None) = (&known, name) {
            let seated = Seated::take(&self.hall, &pool.row, pool.client_limits())?;
            return Ok((Arc::clone(pool), seated));
        }
        // No pool is made for a client that may not come in.
        let who = PoolKey { role: name.unwrap_or(&key.role).to_owned(), ..key.clone() };
        let settings = self.settings_of(&who, &self.settings.read());
        let seated = Seated::take(&self.hall, &who.row(), limits(&settings))?;
        Ok((known.unwrap_or_else(|| self.get(key)), seated))
    }

    /// Takes an operator in; whoever may change nothing has to find room.
    pub(crate) fn seat_operator(&self, key: &PoolKey, is_admin: bool) -> Result<Seated, ClientError> {
        let mut settings = self.settings_of(key, &self.settings.read());
        if is_admin {
            (settings.max_client_conn, settings.max_db_client_connections) = (0, 0);
            settings.max_user_client_connections = 0;
        }
        Seated::take(&self.hall, &key.row(), limits(&settings))
    }

    /// Who sits where.
    pub(crate) fn taken(&self, seat: &Seat) -> u32 {
        self.hall.lock().taken(seat)
    }

    /// Passes an order on to all pools that it means, now and later, as far as no other one keeps them from it.
    pub(crate) fn order(&self, target: &Target, order: Order) {
        self.orders.lock().give(target, order);
        for pool in self.list().iter().filter(|pool| target.means(&pool.key)) {
            pool.obey(self.orders.lock().of(&pool.key));
        }
    }

    /// RESUME: false when nothing of the kind holds.
    pub(crate) fn resume(&self, target: &Target) -> bool {
        let pools = self.list();
        let mut meant = pools.iter().filter(|pool| target.means(&pool.key));
        let stopped = {
            let orders = self.orders.lock();
            match target {
                Target::All => orders.all_stopped(),
                Target::Named(_) => {
                    orders.stopped(target) || meant.any(|pool| orders.given_to(&pool.key) != Order::Resume)
                }
            }
        };
        if stopped {
            self.order(target, Order::Resume);
        }
        stopped
    }

    /// DISABLE or ENABLE.
    pub(crate) fn disable(&self, target: &Target, disabled: bool) {
        self.orders.lock().disable(target, disabled);
    }

    /// Whether a pool takes no new clients.
    pub(crate) fn is_disabled(&self, key: &PoolKey) -> bool {
        self.orders.lock().is_disabled(key)
    }

    /// Lets what runs come to its end, and refuses all other work, for good.
    pub(crate) fn drain(&self) {
        self.order(&Target::All, Order::Drain);
    }

    /// Whether PAUSE or KILL of just this holds, or KILL of all.
    pub(crate) fn is_stopped(&self, target: &Target) -> bool {
        self.orders.lock().stopped(target)
    }

    /// Whether PAUSE without a name holds, or the end has begun.
    pub(crate) fn all_paused(&self) -> bool {
        self.orders.lock().all_paused()
    }

    /// Whether any database is stopped by itself: by its name, or by KILL of all.
    pub(crate) fn any_stopped(&self) -> bool {
        self.orders.lock().any_given()
    }

    /// Whether PAUSE or KILL of all of them holds.
    pub(crate) fn all_stopped(&self) -> bool {
        self.orders.lock().all_stopped()
    }

    /// Ends periods of averages as they are over, for ever.
    pub(crate) async fn keep_averages(&self) {
        loop {
            let period = Duration::from_secs(u64::from(self.settings.read().stats_period.max(1)));
            tokio::time::sleep(period).await;
            let now = Mono::now();
            let pools = self.list();
            pools.iter().for_each(|pool| pool.roll(now, period / 2));
            if self.settings.read().log_stats {
                log(&pools, self.wake.stands_in());
            }
        }
    }

    fn settings_of(&self, key: &PoolKey, global: &Settings) -> Settings {
        self.wake.pool_settings(&key.endpoint, &key.database, &key.role, global)
    }

    /// Where sessions without a pool count what they do.
    pub(crate) fn traffic(&self) -> &Arc<traffic::Ledger> {
        &self.room.traffic
    }

    /// What clients did since this was last asked, by endpoint.
    pub(crate) fn take_traffic(&self) -> Vec<(EndpointId, Traffic)> {
        let pools: Vec<_> = self.all.lock().values().cloned().collect();
        pools.iter().for_each(|pool| pool.tell_traffic());
        self.room.traffic.take()
    }

    /// The shards that pools live on.
    pub(crate) fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// A client came that is no reason to serve the next one where the last ones went.
    pub(crate) fn spread(&self) {
        self.shards[0].prefer_none();
    }

    /// The shard whose turn it is, for a client that stays there.
    pub(crate) fn by_turn(&self) -> &Shard {
        &self.shards[self.shards[0].turn()]
    }

    /// The shard of an endpoint's pools: always the same.
    fn home(&self, endpoint: &EndpointId) -> usize {
        let mut hasher = DefaultHasher::new();
        endpoint.hash(&mut hasher);
        usize::try_from(hasher.finish() % self.shards.len() as u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use dormouse_pooler::config::ini;
    use dormouse_runtime::shard::Shards;

    use super::*;
    use crate::upstream::{Encryption, Lists, Plan, Upstream};

    fn pools(settings: &str) -> (Pools, Upstream, Shards) {
        let text = format!("[databases]\n* =\n[pgbouncer]\n{settings}\n");
        let ini = ini::parse(&text, "test", &mut |_| Err(std::io::ErrorKind::NotFound.into()));
        let plan = Plan::new(ini.unwrap(), Lists::default()).unwrap();
        let encryption = Encryption::load(&plan).unwrap();
        let upstream = Upstream::new(plan, encryption).0;
        let settings = upstream.settings();
        let shards = Shards::start(1).unwrap();
        let pools = Pools::new(shards.all(), Arc::new(Listeners::new(Arc::new(upstream.clone()))), settings);
        (pools, upstream, shards)
    }

    #[tokio::test]
    async fn a_pool_that_nobody_uses_any_more_is_kept_with_what_was_counted() {
        let (pools, upstream, _shards) = pools("");
        let entry = upstream.database("x").unwrap();
        for n in 0..2 * SWEEP_AFTER {
            let _made = pools.get(upstream.key(&entry, &n.to_string(), "anna"));
        }
        assert_eq!(pools.list().len(), 2 * SWEEP_AFTER);
    }

    #[tokio::test]
    async fn a_pool_that_somebody_has_in_hand_is_not_forgotten() {
        let (pools, upstream, _shards) = pools("pool_idle_timeout = 0.01");
        let entry = upstream.database("x").unwrap();
        let held = pools.get(upstream.key(&entry, "x", "anna"));
        // From the first look on it counts as unused.
        let later = async || {
            pools.sweep();
            tokio::time::sleep(Duration::from_millis(20)).await;
            pools.sweep();
            pools.list().len()
        };
        assert_eq!(later().await, 1);
        drop(held);
        assert_eq!(later().await, 0);
    }

    #[test]
    fn in_pgbouncers_place_pools_are_kept_up_to_a_limit() {
        let first = |stands_in| (0..).find(|pools| is_time_to_sweep(*pools, stands_in)).unwrap();
        assert_eq!(first(false), SWEEP_AFTER - 1);
        assert!((MAX_UNUSED..MAX_UNUSED + SWEEP_AFTER).contains(&first(true)));
    }
}
