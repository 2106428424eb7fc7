//! SHOW USERS.

use super::{Columns, Table, cell};
use crate::config::PoolMode;

pub(super) const COLUMNS: Columns = Columns {
    kinds: "ssssiiii",
    names: &[
        "name",
        "pool_size",
        "reserve_pool_size",
        "pool_mode",
        "max_user_connections",
        "current_connections",
        "max_user_client_connections",
        "current_client_connections",
    ],
};

/// A role.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// If set for the role.
    pub pool_size: Option<u32>,
    /// If set for the role.
    pub reserve_pool_size: Option<u32>,
    /// If set for the role.
    pub pool_mode: Option<PoolMode>,
    /// Its limit of backends.
    pub max_user_connections: u32,
    /// Its backends now.
    pub current_connections: u32,
    /// Its limit of clients.
    pub max_user_client_connections: u32,
    /// Its clients now.
    pub current_client_connections: u32,
}

/// SHOW USERS. Sizes that are not set are empty texts; those that are, are padded, as in PgBouncer.
#[must_use]
pub fn users(rows: &[User]) -> Table {
    let size = |size: Option<u32>| cell(size.map_or_else(String::new, |size| format!("{size:>9}")));
    let row = |it: &User| {
        vec![
            cell(&it.name),
            size(it.pool_size),
            size(it.reserve_pool_size),
            it.pool_mode.map(|mode| mode.as_str().to_owned()),
            cell(it.max_user_connections),
            cell(it.current_connections),
            cell(it.max_user_client_connections),
            cell(it.current_client_connections),
        ]
    };
    Table::new(COLUMNS, rows.iter().map(row))
}
