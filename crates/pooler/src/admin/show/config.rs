//! SHOW CONFIG, and the small ones: VERSION, STATE, MEM, and what is always empty.

use super::{Cell, Columns, Show, Table, cell};
use crate::config::{Settings, shown};

pub(super) const CONFIG: Columns =
    Columns { kinds: "ssss", names: &["key", "value", "default", "changeable"] };
pub(super) const VERSION: Columns = Columns { kinds: "s", names: &["version"] };
pub(super) const STATE: Columns = Columns { kinds: "ss", names: &["key", "value"] };
pub(super) const MEM: Columns =
    Columns { kinds: "siiii", names: &["name", "size", "used", "free", "memtotal"] };
pub(super) const DNS_HOSTS: Columns = Columns { kinds: "sqs", names: &["hostname", "ttl", "addrs"] };
pub(super) const DNS_ZONES: Columns = Columns { kinds: "sqi", names: &["zonename", "serial", "count"] };
pub(super) const FDS: Columns = Columns {
    kinds: "issssiqisssssbb",
    names: &[
        "fd",
        "task",
        "user",
        "database",
        "addr",
        "port",
        "cancel",
        "link",
        "client_encoding",
        "std_strings",
        "datestyle",
        "timezone",
        "password",
        "scram_client_key",
        "scram_server_key",
    ],
};

fn yes(is: bool) -> Cell {
    cell(if is { "yes" } else { "no" })
}

/// SHOW CONFIG; with `stands_in` the defaults are PgBouncer's.
#[must_use]
pub fn config(settings: &Settings, stands_in: bool) -> Table {
    let rows = shown(settings, stands_in);
    let row = |(name, value, default, changeable): (&str, String, &str, bool)| {
        vec![cell(name), Some(value), cell(default), yes(changeable)]
    };
    Table::new(CONFIG, rows.into_iter().map(row))
}

/// SHOW STATE. At most one of the two is true.
#[must_use]
pub fn state(paused: bool, suspended: bool) -> Table {
    let rows = [("active", !paused && !suspended), ("paused", paused), ("suspended", suspended)];
    Table::new(STATE, rows.map(|(key, is)| vec![cell(key), yes(is)]))
}

/// SHOW MEM: a kind of thing, the bytes of one, how many are used, how many are free.
#[must_use]
pub fn mem<'a>(kinds: impl IntoIterator<Item = (&'a str, u64, u64, u64)>) -> Table {
    let row = |(name, size, used, free): (&str, u64, u64, u64)| {
        vec![cell(name), cell(size), cell(used), cell(free), cell(size.saturating_mul(used + free))]
    };
    Table::new(MEM, kinds.into_iter().map(row))
}

/// A single cell, for SHOW VERSION.
#[must_use]
pub fn one(show: Show, value: &str) -> Table {
    let columns = show.columns().unwrap_or(VERSION);
    let mut row = vec![cell(value)];
    row.resize(columns.names.len(), None);
    Table::new(columns, [row])
}
