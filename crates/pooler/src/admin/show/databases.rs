//! SHOW DATABASES.

use std::time::Duration;

use super::{Columns, Table, cell};
use crate::config::PoolMode;

pub(super) const COLUMNS: Columns = Columns {
    kinds: "ssissiiiissiiiiii",
    names: &[
        "name",
        "host",
        "port",
        "database",
        "force_user",
        "pool_size",
        "min_pool_size",
        "reserve_pool_size",
        "server_lifetime",
        "pool_mode",
        "load_balance_hosts",
        "max_connections",
        "current_connections",
        "max_client_connections",
        "current_client_connections",
        "paused",
        "disabled",
    ],
};

/// A database that clients can ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Database {
    /// What clients ask for.
    pub name: String,
    /// Where it is; for a compute, its endpoint.
    pub host: Option<String>,
    /// Its port.
    pub port: u16,
    /// What it is called there.
    pub database: String,
    /// The role that all clients get.
    pub force_user: Option<String>,
    /// Backends of one pool.
    pub pool_size: u32,
    /// Backends that are kept open.
    pub min_pool_size: u32,
    /// Backends beyond.
    pub reserve_pool_size: u32,
    /// How old backends get.
    pub server_lifetime: Duration,
    /// If it differs from the global one.
    pub pool_mode: Option<PoolMode>,
    /// If several hosts are given.
    pub load_balance_hosts: Option<String>,
    /// `max_db_connections`.
    pub max_connections: u32,
    /// Backends now.
    pub current_connections: u32,
    /// `max_db_client_connections`.
    pub max_client_connections: u32,
    /// Clients now.
    pub current_client_connections: u32,
    /// PAUSE came.
    pub paused: bool,
    /// DISABLE came.
    pub disabled: bool,
}

/// SHOW DATABASES.
#[must_use]
pub fn databases(rows: &[Database]) -> Table {
    let row = |it: &Database| {
        vec![
            cell(&it.name),
            it.host.clone(),
            cell(it.port),
            cell(&it.database),
            it.force_user.clone(),
            cell(it.pool_size),
            cell(it.min_pool_size),
            cell(it.reserve_pool_size),
            cell(it.server_lifetime.as_secs()),
            it.pool_mode.map(|mode| mode.as_str().to_owned()),
            it.load_balance_hosts.clone(),
            cell(it.max_connections),
            cell(it.current_connections),
            cell(it.max_client_connections),
            cell(it.current_client_connections),
            cell(u8::from(it.paused)),
            cell(u8::from(it.disabled)),
        ]
    };
    Table::new(COLUMNS, rows.iter().map(row))
}
