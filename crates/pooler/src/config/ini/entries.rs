//! The entries of `[databases]`, `[users]` and `[peers]`.

use std::time::Duration;

use dormouse_base::secret::Secret;

use super::Problem;
use super::pairs::pairs;
use crate::config::{ConfigError, Layer, Value};

/// PostgreSQL's port.
const DEFAULT_PORT: u16 = 5432;

/// How a host is chosen when nothing is said.
const ROUND_ROBIN: &str = "round-robin";

/// Of these a zero in `[databases]` means that the global one holds, as in PgBouncer.
const ZERO_OF_DATABASES: [&str; 1] = ["server_lifetime"];

/// Of these a zero in `[users]` does.
const ZERO_OF_USERS: [&str; 4] =
    ["query_timeout", "transaction_timeout", "idle_transaction_timeout", "client_idle_timeout"];

/// Where a database of `[databases]` is, and what holds for its pools.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Database {
    /// The name that clients ask for; `*` for all that have no entry of their own.
    pub name: String,
    /// Hosts or socket directories, separated by commas; none: a Unix socket.
    pub host: Option<String>,
    /// Ports, one for all hosts or one for each.
    pub ports: Vec<u16>,
    /// The database to connect to, if it has another name than clients use.
    pub dbname: Option<String>,
    /// All clients connect as this role.
    pub user: Option<String>,
    /// That role's password.
    pub password: Option<Secret<String>>,
    /// Who looks up passwords.
    pub auth_user: Option<String>,
    /// How.
    pub auth_query: Option<String>,
    /// Where.
    pub auth_dbname: Option<String>,
    /// What a new backend runs before clients use it.
    pub connect_query: Option<String>,
    /// Startup parameters of backends (`client_encoding`, `datestyle`, `timezone`, `application_name`), in order.
    pub parameters: Vec<(&'static str, String)>,
    /// How a host is chosen among several: `round-robin` or `disable`.
    pub load_balance_hosts: Option<String>,
    /// Settings that differ for its pools.
    pub layer: Layer,
}

impl Database {
    pub(super) fn parse(name: &str, text: &str) -> Result<Self, Problem> {
        if name == "pgbouncer" {
            return Err(Problem::ReservedName);
        }
        let mut out = Self { name: name.to_owned(), ..Self::default() };
        for (key, value) in pairs(text)? {
            out.set(&key, value).map_err(|problem| match problem {
                Problem::UnknownKey(_) if out.password.is_some() => Problem::UnknownBehindPassword,
                other => other,
            })?;
        }
        if out.ports.is_empty() {
            out.ports.push(DEFAULT_PORT);
        }
        Ok(out)
    }

    fn set(&mut self, key: &str, value: String) -> Result<(), Problem> {
        match key {
            "host" => self.host = Some(value),
            "port" => {
                let ports = value.split(',').map(|port| port.trim().parse().ok().filter(|port| *port > 0));
                let ports: Option<Vec<u16>> = ports.collect();
                self.ports = ports.ok_or(Problem::BadValue("port", "a number from 1 to 65535"))?;
            }
            "dbname" => self.dbname = Some(value),
            "user" => self.user = Some(value),
            "password" => self.password = Some(Secret::new(value)),
            "auth_user" => self.auth_user = Some(value),
            "auth_query" => self.auth_query = Some(value),
            "auth_dbname" => self.auth_dbname = Some(value),
            "connect_query" => self.connect_query = Some(value),
            "client_encoding" => self.parameters.push(("client_encoding", value)),
            "datestyle" => self.parameters.push(("datestyle", value)),
            "timezone" => self.parameters.push(("timezone", value)),
            "application_name" => self.parameters.push(("application_name", value)),
            "load_balance_hosts" => {
                let known = [ROUND_ROBIN, "disable"].into_iter().find(|it| it.eq_ignore_ascii_case(&value));
                let known =
                    known.ok_or(Problem::BadValue("load_balance_hosts", "`round-robin` or `disable`"))?;
                self.load_balance_hosts = Some(known.to_owned());
            }
            _ => set(&mut self.layer, key, &value, &ZERO_OF_DATABASES)?,
        }
        Ok(())
    }

    /// Whether one of its hosts is an abstract socket (`@…`).
    #[must_use]
    pub fn has_abstract_host(&self) -> bool {
        self.host.iter().flat_map(|hosts| hosts.split(',')).any(|host| host.trim().starts_with('@'))
    }

    /// How one of its hosts is chosen; none when there is only one.
    #[must_use]
    pub fn balancing(&self) -> Option<&str> {
        let several = self.host.as_deref().is_some_and(|host| host.contains(','));
        several.then(|| self.load_balance_hosts.as_deref().unwrap_or(ROUND_ROBIN))
    }

    /// The database to connect to when a client asks for `requested`.
    #[must_use]
    pub fn target<'a>(&'a self, requested: &'a str) -> &'a str {
        self.dbname.as_deref().unwrap_or(requested)
    }
}

/// What holds for a role of `[users]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// The role.
    pub name: String,
    /// Settings that differ for its pools.
    pub layer: Layer,
}

impl User {
    pub(super) fn parse(name: &str, text: &str) -> Result<Self, Problem> {
        let mut out = Self { name: name.to_owned(), layer: Layer::default() };
        for (key, value) in pairs(text)? {
            set(&mut out.layer, &key, &value, &ZERO_OF_USERS)?;
        }
        Ok(out)
    }
}

/// Another pooler process of `[peers]`, to which cancel requests may belong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its `peer_id`, from 1 to 16383.
    pub id: u16,
    /// Its address or socket directory.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How many cancel requests it is sent at once.
    pub pool_size: Option<u32>,
}

impl Peer {
    pub(super) fn parse(name: &str, text: &str) -> Result<Self, Problem> {
        let id = name.parse().ok().filter(|id| (1..=16_383).contains(id));
        let id = id.ok_or(Problem::BadValue("a peer's name", "a number from 1 to 16383"))?;
        let mut out = Self { id, host: String::new(), port: 6432, pool_size: None };
        for (key, value) in pairs(text)? {
            match key.as_str() {
                "host" => out.host = value,
                "port" => {
                    out.port =
                        value.parse().map_err(|_| Problem::BadValue("port", "a number from 1 to 65535"))?;
                }
                "pool_size" => {
                    let size = value.parse().map_err(|_| Problem::BadValue("pool_size", "a whole number"))?;
                    out.pool_size = Some(size);
                }
                _ => return Err(Problem::UnknownKey(key)),
            }
        }
        if out.host.is_empty() { Err(Problem::BadValue("a peer's host", "given")) } else { Ok(out) }
    }
}

/// `zero`: settings of which a zero says nothing.
fn set(layer: &mut Layer, key: &str, value: &str, zero: &[&str]) -> Result<(), Problem> {
    layer.set(key, value).map_err(|error| match error {
        ConfigError::UnknownName(name) => Problem::UnknownKey(name),
        other => Problem::Setting(other),
    })?;
    if zero.contains(&key) && Duration::read(value).is_some_and(|limit| limit.is_zero()) {
        layer.unset(key);
    }
    Ok(())
}
