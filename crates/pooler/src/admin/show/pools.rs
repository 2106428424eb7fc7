//! SHOW POOLS.

use super::{Columns, Table, cell};
use crate::config::PoolMode;
use crate::pool::Counts;

pub(super) const COLUMNS: Columns = Columns {
    kinds: "ssiiiiiiiiiiiiiss",
    names: &[
        "database",
        "user",
        "cl_active",
        "cl_waiting",
        "cl_active_cancel_req",
        "cl_waiting_cancel_req",
        "sv_active",
        "sv_active_cancel",
        "sv_being_canceled",
        "sv_idle",
        "sv_used",
        "sv_tested",
        "sv_login",
        "maxwait",
        "maxwait_us",
        "pool_mode",
        "load_balance_hosts",
    ],
};

/// A pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// The database, as clients name it.
    pub database: String,
    /// The role.
    pub user: String,
    /// What its books say.
    pub counts: Counts,
    /// Cancel requests that were sent and have no answer yet.
    pub cancels_active: u32,
    /// Cancel requests that wait to be sent.
    pub cancels_waiting: u32,
    /// Backends with a query that is being cancelled.
    pub being_canceled: u32,
    /// Backends that are being checked or reset.
    pub tested: u32,
    /// When backends go back.
    pub pool_mode: PoolMode,
    /// If several hosts are given.
    pub load_balance_hosts: Option<String>,
}

/// SHOW POOLS. Backends that are being checked are not idle in the books, and are taken off the active ones.
#[must_use]
pub fn pools(rows: &[Pool]) -> Table {
    let row = |it: &Pool| {
        let busy = (it.tested + it.being_canceled) as usize;
        vec![
            cell(&it.database),
            cell(&it.user),
            cell(it.counts.cl_active),
            cell(it.counts.cl_waiting),
            cell(it.cancels_active),
            cell(it.cancels_waiting),
            cell(it.counts.sv_active.saturating_sub(busy)),
            cell(it.cancels_active),
            cell(it.being_canceled),
            cell(it.counts.sv_idle),
            cell(it.counts.sv_used),
            cell(it.tested),
            cell(it.counts.sv_login),
            cell(it.counts.maxwait.as_secs()),
            cell(it.counts.maxwait.subsec_micros()),
            cell(it.pool_mode.as_str()),
            it.load_balance_hosts.clone(),
        ]
    };
    Table::new(COLUMNS, rows.iter().map(row))
}
