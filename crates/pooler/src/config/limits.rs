//! The settings that a pool's books look at on every checkout: a small copy of them, without texts.

use std::time::Duration;

use super::settings::Settings;

/// What a pool may do. Zero means what it means in PgBouncer, told at each field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many backends the pool may have; zero: as many as it has clients.
    pub pool_size: u32,
    /// How many backends a pool in use keeps open; never more than `pool_size`.
    pub min_pool_size: u32,
    /// How many more it may have when a client has waited for `reserve_pool_timeout`.
    pub reserve_pool_size: u32,
    /// How long a client waits before the reserve is used; zero: never.
    pub reserve_pool_timeout: Duration,
    /// How long a client may wait; zero: for ever.
    pub query_wait_timeout: Duration,
    /// When a waiting client is told that it waits; zero: never.
    pub query_wait_notify: Duration,
    /// How long a backend may be idle; zero: for ever.
    pub server_idle_timeout: Duration,
    /// How old a backend may get; zero: it serves once.
    pub server_lifetime: Duration,
    /// A backend that was idle for longer is checked before it is used.
    pub server_check_delay: Duration,
    /// How long after a failure the next backend is opened.
    pub server_login_retry: Duration,
    /// Hand out the backend that was idle longest, instead of the one used last.
    pub server_round_robin: bool,
    /// Ordinary servers are behind it. The first backend is opened alone, as with PgBouncer: a server that refuses
    /// that one would refuse all.
    pub as_pgbouncer: bool,
    /// `min_pool_size` holds without clients, too.
    pub keeps_up: bool,
}

impl Limits {
    /// The same with PgBouncer's zero read as "no limit".
    pub(crate) fn size(&self) -> u32 {
        if self.pool_size == 0 { u32::MAX } else { self.pool_size }
    }

    /// The size with the reserve.
    pub(crate) fn size_with_reserve(&self) -> u32 {
        self.size().saturating_add(self.reserve_pool_size)
    }

    /// The least time between two backends that are closed for their age. A pool without a limit has no pace.
    pub(crate) fn renewal_pace(&self) -> Duration {
        self.server_lifetime / self.size_with_reserve().max(1)
    }
}

impl From<&Settings> for Limits {
    fn from(settings: &Settings) -> Self {
        Self {
            pool_size: settings.default_pool_size,
            min_pool_size: settings.min_pool_size,
            reserve_pool_size: settings.reserve_pool_size,
            reserve_pool_timeout: settings.reserve_pool_timeout,
            query_wait_timeout: settings.query_wait_timeout,
            query_wait_notify: settings.query_wait_notify,
            server_idle_timeout: settings.server_idle_timeout,
            server_lifetime: settings.server_lifetime,
            server_check_delay: settings.server_check_delay,
            server_login_retry: settings.server_login_retry,
            server_round_robin: settings.server_round_robin,
            as_pgbouncer: false,
            keeps_up: false,
        }
    }
}

impl Default for Limits {
    /// Dormouse's defaults.
    fn default() -> Self {
        Self::from(&Settings::default())
    }
}
