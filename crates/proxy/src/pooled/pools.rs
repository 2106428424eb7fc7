//! Every pool there is, found by what its clients asked for.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use dormouse_base::EndpointId;
use dormouse_pooler::config::Settings;
use dormouse_runtime::shard::Shard;
use parking_lot::{Mutex, RwLock};

use super::pool::Pool;
use crate::wake::Wake;

/// Pools that have neither clients nor backends are forgotten when so many new ones have come.
const SWEEP_AFTER: usize = 256;

/// What makes a pool.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PoolKey {
    pub(crate) endpoint: EndpointId,
    pub(crate) database: String,
    pub(crate) role: String,
}

/// All pools.
pub(crate) struct Pools {
    all: Mutex<HashMap<PoolKey, Arc<Pool>>>,
    shards: Vec<Shard>,
    wake: Arc<dyn Wake>,
    settings: RwLock<Settings>,
}

impl Pools {
    pub(crate) fn new(shards: Vec<Shard>, wake: Arc<dyn Wake>, settings: Settings) -> Self {
        Self { all: Mutex::default(), shards, wake, settings: RwLock::new(settings) }
    }

    /// The pool of a key; made when it is the first client's.
    pub(crate) fn get(&self, key: PoolKey) -> Arc<Pool> {
        let mut all = self.all.lock();
        if let Some(pool) = all.get(&key) {
            return Arc::clone(pool);
        }
        if all.len() % SWEEP_AFTER == SWEEP_AFTER - 1 {
            all.retain(|_, pool| Arc::strong_count(pool) > 1 && !pool.is_unused());
        }
        let home = self.shards[self.home(&key.endpoint)].clone();
        let settings = self.settings_of(&key, &self.settings.read());
        let pool = Pool::start(key.clone(), Arc::clone(&self.wake), home, &settings);
        all.insert(key, Arc::clone(&pool));
        pool
    }

    /// All of them, in order.
    pub(crate) fn list(&self) -> Vec<Arc<Pool>> {
        let mut all: Vec<_> = self.all.lock().values().cloned().collect();
        all.sort_by(|a, b| a.key.cmp(&b.key));
        all
    }

    /// The settings of all pools.
    pub(crate) fn settings(&self) -> Settings {
        self.settings.read().clone()
    }

    /// Changes the settings of all pools, now.
    pub(crate) fn change(&self, settings: Settings) {
        for pool in self.list() {
            pool.configure(&self.settings_of(&pool.key, &settings));
        }
        *self.settings.write() = settings;
    }

    fn settings_of(&self, key: &PoolKey, global: &Settings) -> Settings {
        self.wake.pool_settings(&key.endpoint, &key.database, &key.role, global)
    }

    /// The shard of an endpoint's pools: always the same.
    fn home(&self, endpoint: &EndpointId) -> usize {
        let mut hasher = DefaultHasher::new();
        endpoint.hash(&mut hasher);
        usize::try_from(hasher.finish() % self.shards.len() as u64).unwrap_or(0)
    }
}
