//! SHOW LISTS.

use super::{Columns, Table, cell};

pub(super) const COLUMNS: Columns = Columns { kinds: "si", names: &["list", "items"] };

/// How many there are of what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lists {
    /// Databases.
    pub databases: usize,
    /// Roles.
    pub users: usize,
    /// Peers.
    pub peers: usize,
    /// Pools.
    pub pools: usize,
    /// Pools of peers.
    pub peer_pools: usize,
    /// Clients.
    pub used_clients: usize,
    /// Clients that are logging in.
    pub login_clients: usize,
    /// Backends.
    pub used_servers: usize,
}

/// SHOW LISTS. Dormouse keeps no free clients and servers, and no names of hosts: those are zero.
#[must_use]
pub fn lists(it: &Lists) -> Table {
    let rows = [
        ("databases", it.databases),
        ("users", it.users),
        ("peers", it.peers),
        ("pools", it.pools),
        ("peer_pools", it.peer_pools),
        ("free_clients", 0),
        ("used_clients", it.used_clients),
        ("login_clients", it.login_clients),
        ("free_servers", 0),
        ("used_servers", it.used_servers),
        ("dns_names", 0),
        ("dns_zones", 0),
        ("dns_queries", 0),
        ("dns_pending", 0),
    ];
    Table::new(COLUMNS, rows.map(|(list, items)| vec![cell(list), cell(items)]))
}
