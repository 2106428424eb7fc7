//! SHOW PEERS and SHOW PEER_POOLS.

use super::{Columns, Table, cell};

pub(super) const PEERS: Columns = Columns { kinds: "isii", names: &["peer_id", "host", "port", "pool_size"] };
pub(super) const PEER_POOLS: Columns = Columns {
    kinds: "iiiii",
    names: &["peer_id", "cl_active_cancel_req", "cl_waiting_cancel_req", "sv_active_cancel", "sv_login"],
};

/// Another process that shares cancel requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its number.
    pub id: u16,
    /// Where it is.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How many cancel requests it is sent at once.
    pub pool_size: u32,
}

/// What is going on with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerPool {
    /// Its number.
    pub id: u16,
    /// Cancel requests that were forwarded and have no answer yet.
    pub active: u32,
    /// Cancel requests that wait to be forwarded.
    pub waiting: u32,
    /// Connections that carry one.
    pub servers: u32,
    /// Connections that are being opened.
    pub login: u32,
}

/// SHOW PEERS.
#[must_use]
pub fn peers(rows: &[Peer]) -> Table {
    let row = |it: &Peer| vec![cell(it.id), cell(&it.host), cell(it.port), cell(it.pool_size)];
    Table::new(PEERS, rows.iter().map(row))
}

/// SHOW PEER_POOLS.
#[must_use]
pub fn peer_pools(rows: &[PeerPool]) -> Table {
    let row = |it: &PeerPool| {
        vec![cell(it.id), cell(it.active), cell(it.waiting), cell(it.servers), cell(it.login)]
    };
    Table::new(PEER_POOLS, rows.iter().map(row))
}
