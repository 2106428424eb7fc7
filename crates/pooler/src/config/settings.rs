//! The settings that Dormouse uses, each once: type, PgBouncer's default, ours, and where and when it can change.
//!
//! The macro makes of each entry a field of [`Settings`] and a row of the table, so that a name, its type and its
//! documentation cannot part. Where our default differs from PgBouncer's, the entry's text says why.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::ConfigError;
use super::table::{Scope, Setting, find};
use super::value::{PoolMode, Value};

/// Longest piece of a bad value that an error repeats, in characters.
const MAX_SHOWN_VALUE: usize = 40;

macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $pgbouncer:literal, $ours:literal, $scope:ident $change:ident;)+) => {
        /// All settings that Dormouse uses, with PgBouncer's names. Zero means what it means there.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Settings {
            $($(#[doc = $doc])+ pub $name: $type,)+
            /// Values of settings that are only accepted, by name.
            pub(super) accepted: BTreeMap<&'static str, String>,
        }

        /// The rows of the used settings.
        pub(super) const USED: &[Setting] = &[$(Setting {
            name: stringify!($name),
            kind: <$type as Value>::KIND,
            pgbouncer: $pgbouncer,
            default: $ours,
            changeable: settings!(@change $change),
            scope: Scope::$scope,
            used: true,
            note: concat!($($doc),+).trim_ascii(),
        }),+];

        impl Default for Settings {
            fn default() -> Self {
                let read = "the table's defaults are tested to be readable";
                Self {
                    $($name: <$type as Value>::read($ours).expect(read),)+
                    accepted: BTreeMap::new(),
                }
            }
        }

        impl Settings {
            /// What PgBouncer does when its file says nothing: the ground on which a `pgbouncer.ini` stands.
            #[must_use]
            pub fn of_pgbouncer() -> Self {
                let read = "the table's defaults are tested to be readable";
                Self {
                    $($name: <$type as Value>::read($pgbouncer).expect(read),)+
                    accepted: BTreeMap::new(),
                }
            }

            /// Puts a used setting; `None` when the value does not fit.
            fn put(&mut self, name: &str, value: &str) -> Option<()> {
                match name {
                    $(stringify!($name) => self.$name = <$type as Value>::read(value)?,)+
                    _ => return None,
                }
                Some(())
            }

            /// The text of a setting as SHOW CONFIG has it; `None` when there is no such setting.
            #[must_use]
            pub fn get(&self, name: &str) -> Option<String> {
                let setting = find(name)?;
                match setting.name {
                    $(stringify!($name) => Some(Value::show(&self.$name)),)+
                    other => Some(self.accepted.get(other).cloned().unwrap_or_else(|| setting.default.to_owned())),
                }
            }
        }
    };
    (@change now) => { true };
    (@change restart) => { false };
}

settings! {
    /// When a backend goes back to the pool, for clients that log in from now on. Session names get `session` from the proxy.
    pool_mode: PoolMode = "session", "transaction", Pool now;
    /// Backends of one pool. PostgreSQL's default of 100 connections then holds four busy pools.
    default_pool_size: u32 = "20", "25", Pool now;
    /// Backends that a pool in use keeps open. It never wakes an endpoint.
    min_pool_size: u32 = "0", "0", Pool now;
    /// Backends beyond the pool's size for clients that have waited for `reserve_pool_timeout`.
    reserve_pool_size: u32 = "0", "0", Pool now;
    /// How long a client waits before the reserve is used; 0: never.
    reserve_pool_timeout: Duration = "5", "5", Pool now;
    /// Clients of the whole pooler; an idle one costs so little that 100 would be a pity.
    max_client_conn: u32 = "100", "10000", Global now;
    /// Backends of one database, all its pools together; 0: no limit.
    max_db_connections: u32 = "0", "0", Pool now;
    /// Clients of one database; 0: no limit.
    max_db_client_connections: u32 = "0", "0", Pool now;
    /// Backends of one role, all its pools together; 0: no limit.
    max_user_connections: u32 = "0", "0", Pool now;
    /// Clients of one role; 0: no limit.
    max_user_client_connections: u32 = "0", "0", Pool now;
    /// How long a client may wait for a backend before it is refused; 0: for ever.
    query_wait_timeout: Duration = "120", "120", Pool now;
    /// When a client that waits is told so by a notice; 0: never.
    query_wait_notify: Duration = "5", "5", Pool now;
    /// How long one query may run before it is cancelled; 0: for ever.
    query_timeout: Duration = "0", "0", Pool now;
    /// How long a transaction may be open; 0: for ever.
    transaction_timeout: Duration = "0", "0", Pool now;
    /// How long a client may be idle inside a transaction; 0: for ever.
    idle_transaction_timeout: Duration = "0", "0", Pool now;
    /// How long a client may be idle outside transactions, unless it listens on channels; 0: for ever.
    client_idle_timeout: Duration = "0", "0", Pool now;
    /// How long a client may take to log in; 0: for ever.
    client_login_timeout: Duration = "60", "60", Global now;
    /// How long a backend may be idle before it is closed; 0: for ever.
    server_idle_timeout: Duration = "600", "600", Pool now;
    /// How old a backend may get; an older one is closed when it is free; 0: it serves once.
    server_lifetime: Duration = "3600", "3600", Pool now;
    /// How long opening a backend may take.
    server_connect_timeout: Duration = "15", "15", Pool now;
    /// How long after a failure the next backend is opened, and clients are told of that failure. Waking has its own retries, so we wait less. A database that does not exist is asked for again by each client, in front of computes a role as well.
    server_login_retry: Duration = "15", "1", Pool now;
    /// A backend that was idle for longer is checked before it is used.
    server_check_delay: Duration = "30", "30", Pool now;
    /// What it is checked with; empty: nothing; `<empty>`: an empty query.
    server_check_query: String = "<empty>", "<empty>", Pool now;
    /// What a backend runs when a client of session mode leaves it.
    server_reset_query: String = "DISCARD ALL", "DISCARD ALL", Pool now;
    /// In the other modes, too, a client's settings end with its transaction. What keeps it on its backend does not.
    server_reset_query_always: bool = "0", "0", Pool now;
    /// Hand out the backend that was idle longest, instead of the one used last.
    server_round_robin: bool = "0", "0", Pool now;
    /// After RECONNECT, or when a reload or a name leads elsewhere, close backends of session mode without waiting for their clients.
    server_fast_close: bool = "0", "0", Pool now;
    /// Prepared statements kept on one backend; at least one is. Session mode has no such limit.
    max_prepared_statements: u32 = "200", "200", Pool now;
    /// Refuse the simple query protocol.
    disable_pqexec: bool = "0", "0", Pool now;
    /// Append the client's address to `application_name`.
    application_name_add_host: bool = "0", "0", Pool now;
    /// Startup parameters that are dropped without an error, separated by commas.
    ignore_startup_parameters: String = "", "", Pool now;
    /// Parameters followed beyond PgBouncer's five. We follow all that are reported or SET.
    track_extra_parameters: String = "IntervalStyle", "IntervalStyle", Pool now;
    /// How long a cancel request may wait for a connection to the server; 0: for ever.
    cancel_wait_timeout: Duration = "10", "10", Global now;
    /// When a pool that nobody configured and nobody uses is forgotten.
    autodb_idle_timeout: Duration = "3600", "3600", Global now;
    /// When a pool without clients and backends is forgotten; 0: never.
    pool_idle_timeout: Duration = "0", "0", Global now;
    /// How long SUSPEND waits for buffers to drain.
    suspend_timeout: Duration = "10", "10", Global now;
    /// Over how long averages are taken, in seconds.
    stats_period: u32 = "60", "60", Global now;
    /// Roles that may run every command on the console, separated by commas.
    admin_users: String = "", "", Global now;
    /// Roles that may run SHOW on the console, separated by commas.
    stats_users: String = "", "", Global now;
    /// Log each client that connects.
    log_connections: bool = "1", "1", Global now;
    /// Log each client that leaves, with the reason.
    log_disconnections: bool = "1", "1", Global now;
    /// Log errors that the pooler sends to clients.
    log_pooler_errors: bool = "1", "1", Global now;
    /// Log the counters every `stats_period`.
    log_stats: bool = "1", "1", Global now;
    /// How much more to log, 0 to 3.
    verbose: u32 = "0", "0", Global now;
    /// A notice for each client that logs in.
    login_notify_message: String = "", "", Global now;
}

impl Settings {
    /// Sets one, as configuration files do. Settings that are only accepted are kept as SHOW CONFIG has them.
    ///
    /// # Errors
    /// When there is no such setting, or the value does not fit.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        let setting = find(name).ok_or_else(|| ConfigError::UnknownName(name.to_owned()))?;
        let value = value.trim();
        let bad = || ConfigError::BadValue {
            name: setting.name,
            value: value.chars().take(MAX_SHOWN_VALUE).collect(),
            kind: setting.kind,
        };
        if setting.used {
            return self.put(setting.name, value).ok_or_else(bad);
        }
        self.accepted.insert(setting.name, setting.kind.read(value).ok_or_else(bad)?);
        Ok(())
    }

    /// Sets one while the pooler runs, as `SET name = value` on the console does.
    ///
    /// # Errors
    /// As [`Settings::set`], and when it takes a restart.
    pub fn change(&mut self, name: &str, value: &str) -> Result<(), ConfigError> {
        match find(name) {
            Some(setting) if !setting.changeable => Err(ConfigError::NeedsRestart(setting.name)),
            _ => self.set(name, value),
        }
    }
}

/// The names of a list that is separated by commas, as `admin_users` is.
pub fn names(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|name| !name.is_empty())
}
