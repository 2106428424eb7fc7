//! SHOW STATS, STATS_TOTALS, STATS_AVERAGES and TOTALS.
//!
//! Their names differ from each other (`total_received`, `bytes_received`, `client_bytes`; `avg_` in front of
//! only some columns) because PgBouncer's do.

use super::{Cell, Columns, Table, cell};
use crate::stats::{Averages, Counters};

pub(super) const STATS: Columns = Columns {
    kinds: "sNNNNNNNNNNNNNNNNNNNNNNNN",
    names: &[
        "database",
        "total_server_assignment_count",
        "total_xact_count",
        "total_query_count",
        "total_received",
        "total_sent",
        "total_xact_time",
        "total_query_time",
        "total_wait_time",
        "total_client_parse_count",
        "total_server_parse_count",
        "total_bind_count",
        "total_client_login_count",
        "avg_server_assignment_count",
        "avg_xact_count",
        "avg_query_count",
        "avg_recv",
        "avg_sent",
        "avg_xact_time",
        "avg_query_time",
        "avg_wait_time",
        "avg_client_parse_count",
        "avg_server_parse_count",
        "avg_bind_count",
        "avg_client_login_count",
    ],
};

pub(super) const TOTALS_BY_DATABASE: Columns = Columns {
    kinds: "sNNNNNNNNNNNN",
    names: &[
        "database",
        "server_assignment_count",
        "xact_count",
        "query_count",
        "bytes_received",
        "bytes_sent",
        "xact_time",
        "query_time",
        "wait_time",
        "client_parse_count",
        "server_parse_count",
        "bind_count",
        "client_login_count",
    ],
};

pub(super) const AVERAGES_BY_DATABASE: Columns = Columns {
    kinds: "sNNNNNNNNNNNN",
    names: &[
        "database",
        "server_assignment_count",
        "xact_count",
        "query_count",
        "bytes_received",
        "bytes_sent",
        "xact_time",
        "query_time",
        "wait_time",
        "avg_client_parse_count",
        "avg_server_parse_count",
        "avg_bind_count",
        "avg_client_login_count",
    ],
};

pub(super) const TOTALS: Columns = Columns { kinds: "sN", names: &["name", "value"] };

/// The rows of TOTALS, behind `total_` and `avg_`.
const NAMES: [&str; 12] = [
    "server_assignment_count",
    "xact_count",
    "query_count",
    "client_bytes",
    "server_bytes",
    "xact_time",
    "query_time",
    "wait_time",
    "ps_client_parse_count",
    "ps_server_parse_count",
    "ps_bind_count",
    "client_login_count",
];

/// One database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Its name.
    pub database: String,
    /// What its pools have done.
    pub totals: Counters,
    /// In the last full period.
    pub averages: Averages,
}

/// The counters in the order of the columns.
const fn ordered(it: &Counters) -> [u64; 12] {
    [
        it.server_assignment_count,
        it.xact_count,
        it.query_count,
        it.received,
        it.sent,
        it.xact_time,
        it.query_time,
        it.wait_time,
        it.client_parse_count,
        it.server_parse_count,
        it.bind_count,
        it.client_login_count,
    ]
}

fn cells(it: &Counters) -> impl Iterator<Item = Cell> {
    ordered(it).into_iter().map(cell)
}

/// SHOW STATS.
#[must_use]
pub fn stats(rows: &[Stats]) -> Table {
    let row = |it: &Stats| {
        let numbers = cells(&it.totals).chain(cells(&it.averages.0));
        [cell(&it.database)].into_iter().chain(numbers).collect()
    };
    Table::new(STATS, rows.iter().map(row))
}

/// SHOW STATS_TOTALS.
#[must_use]
pub fn stats_totals(rows: &[Stats]) -> Table {
    let row = |it: &Stats| [cell(&it.database)].into_iter().chain(cells(&it.totals)).collect();
    Table::new(TOTALS_BY_DATABASE, rows.iter().map(row))
}

/// SHOW STATS_AVERAGES.
#[must_use]
pub fn stats_averages(rows: &[Stats]) -> Table {
    let row = |it: &Stats| [cell(&it.database)].into_iter().chain(cells(&it.averages.0)).collect();
    Table::new(AVERAGES_BY_DATABASE, rows.iter().map(row))
}

/// SHOW TOTALS, of all databases together.
#[must_use]
pub fn totals(totals: &Counters, averages: &Averages) -> Table {
    let rows = |prefix: &'static str, numbers: [u64; 12]| {
        NAMES
            .into_iter()
            .zip(numbers)
            .map(move |(name, value)| vec![cell(format!("{prefix}_{name}")), cell(value)])
    };
    Table::new(TOTALS, rows("total", ordered(totals)).chain(rows("avg", ordered(&averages.0))))
}
