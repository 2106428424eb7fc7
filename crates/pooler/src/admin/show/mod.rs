//! What SHOW shows: columns, and rows from plain structs, one file each.
//!
//! Columns and their types are PgBouncer 1.25's, in its order: exporters read some of them by place, and views over
//! `dblink` list them all. So what is ours stands behind them, and only who asked for [`Width::Ours`] sees it. The types
//! are written as one letter per column, so that a table can be compared with PgBouncer's at a glance.

mod config;
mod databases;
mod lists;
mod peers;
mod pools;
mod sockets;
mod stats;
mod users;

pub use config::{config, mem, one, state};
pub use databases::{Database, databases};
pub use lists::{Lists, lists};
pub use peers::{Peer, PeerPool, peer_pools, peers};
pub use pools::{Pool, pools};
pub use sockets::{Buffers, Side, Socket, active_sockets, clients, servers, sockets};
pub use stats::{Stats, stats, stats_averages, stats_totals, totals};
pub use users::{User, users};

/// The columns of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Columns {
    /// One letter each: `s` text, `i` int4, `q` int8, `N` numeric, `T` a time as text, `b` bytea.
    pub kinds: &'static str,
    /// Their names.
    pub names: &'static [&'static str],
}

/// How many columns an operator sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Width {
    /// PgBouncer's: the database `pgbouncer`.
    Theirs,
    /// Those that only Dormouse has, too: the database `dormouse`.
    Ours,
}

/// A cell as text; `None` is null.
pub type Cell = Option<String>;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// What the cells are.
    pub columns: Columns,
    /// A cell for each column.
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(super) fn new(columns: Columns, rows: impl IntoIterator<Item = Vec<Cell>>) -> Self {
        Self { columns, rows: rows.into_iter().collect() }
    }

    /// The columns of this SHOW without a row: for what Dormouse does not have, such as a cache of DNS.
    #[must_use]
    pub fn empty(show: Show) -> Option<Self> {
        show.columns().map(|columns| Self { columns, rows: Vec::new() })
    }
}

/// A cell with anything that can be printed.
#[expect(clippy::needless_pass_by_value, reason = "callers have numbers and references, and read better so")]
fn cell(value: impl ToString) -> Cell {
    Some(value.to_string())
}

macro_rules! shows {
    ($($(#[doc = $doc:literal])+ $variant:ident = $word:literal,)+) => {
        /// What can be shown.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Show {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Show {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word after SHOW.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    };
}

shows! {
    /// Clients, one a row.
    Clients = "clients",
    /// Settings.
    Config = "config",
    /// Databases, with their limits and what is used of them.
    Databases = "databases",
    /// File descriptors: for PgBouncer's take-over, which Dormouse does not have. Empty.
    Fds = "fds",
    /// What can be typed: a notice, no table.
    Help = "help",
    /// How many there are of what.
    Lists = "lists",
    /// Other processes that share cancel requests.
    Peers = "peers",
    /// Their pools.
    PeerPools = "peer_pools",
    /// Pools, one a row.
    Pools = "pools",
    /// Backends, one a row.
    Servers = "servers",
    /// Clients and backends, with their buffers.
    Sockets = "sockets",
    /// Those of them that have something in their buffers.
    ActiveSockets = "active_sockets",
    /// Counters and averages by database.
    Stats = "stats",
    /// Counters by database.
    StatsTotals = "stats_totals",
    /// Averages by database.
    StatsAverages = "stats_averages",
    /// Roles, with their limits and what is used of them.
    Users = "users",
    /// The version.
    Version = "version",
    /// Counters and averages of all databases together.
    Totals = "totals",
    /// Memory by kind.
    Mem = "mem",
    /// A cache that Dormouse does not need. Empty.
    DnsHosts = "dns_hosts",
    /// Another. Empty.
    DnsZones = "dns_zones",
    /// Whether the pooler is active, paused or suspended.
    State = "state",
}

impl Show {
    /// How many of its last columns are not PgBouncer's.
    const fn own(self) -> usize {
        if matches!(self, Self::Clients | Self::Servers) { sockets::OWN } else { 0 }
    }

    /// Its columns as names and letters of [`Columns::kinds`]; none for HELP.
    pub(super) fn seen(self, width: Width) -> Vec<(&'static str, u8)> {
        let Some(columns) = self.columns() else { return Vec::new() };
        let own = if width == Width::Ours { 0 } else { self.own() };
        let seen = columns.names.len() - own;
        columns.names.iter().copied().zip(columns.kinds.bytes()).take(seen).collect()
    }

    /// The one of this name, in any case.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|show| show.word().eq_ignore_ascii_case(word))
    }

    /// Its columns; `None` for HELP, which has no table.
    #[must_use]
    pub const fn columns(self) -> Option<Columns> {
        Some(match self {
            Self::Clients | Self::Servers => sockets::STANDARD,
            Self::Sockets | Self::ActiveSockets => sockets::WITH_BUFFERS,
            Self::Config => config::CONFIG,
            Self::Databases => databases::COLUMNS,
            Self::Fds => config::FDS,
            Self::Help => return None,
            Self::Lists => lists::COLUMNS,
            Self::Peers => peers::PEERS,
            Self::PeerPools => peers::PEER_POOLS,
            Self::Pools => pools::COLUMNS,
            Self::Stats => stats::STATS,
            Self::StatsTotals => stats::TOTALS_BY_DATABASE,
            Self::StatsAverages => stats::AVERAGES_BY_DATABASE,
            Self::Users => users::COLUMNS,
            Self::Version => config::VERSION,
            Self::Totals => stats::TOTALS,
            Self::Mem => config::MEM,
            Self::DnsHosts => config::DNS_HOSTS,
            Self::DnsZones => config::DNS_ZONES,
            Self::State => config::STATE,
        })
    }
}
