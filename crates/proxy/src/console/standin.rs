//! What the console shows where ordinary servers are behind it, and a file says what there is: its databases and roles
//! are shown whether somebody uses them or not, and the console is one of the databases.

use std::sync::Arc;
use std::time::Duration;

use dormouse_pooler::admin::show::{self, Buffers, Database, Side, Socket, User};
use dormouse_pooler::config::ini::Database as Entry;
use dormouse_pooler::config::{Layer, PoolMode, Settings};
use dormouse_pooler::pool::{Counts, State};
use dormouse_pooler::stats::{Averages, Counters};

use super::admit::key;
use super::names::CONSOLE;
use super::rows::{backends, by_database};
use crate::bound::UNIX_PEER;
use crate::pooled::{Pool, Seat};
use crate::session::Shared;
use crate::upstream::{CONSOLE_NAME, Upstream};

/// How many cancel requests a peer is sent at once, if the file does not say.
const PEER_POOL_SIZE: u32 = 1;

/// The console's own pool.
pub(super) fn pool(shared: &Shared) -> show::Pool {
    let counts = Counts {
        cl_active: shared.operators.list().len(),
        cl_waiting: 0,
        sv_active: 0,
        sv_idle: 0,
        sv_used: 0,
        sv_login: 0,
        close_needed: 0,
        maxwait: Duration::ZERO,
        state: State::Running,
    };
    show::Pool {
        database: CONSOLE_NAME.to_owned(),
        user: CONSOLE[1].to_owned(),
        counts,
        cancels_active: 0,
        cancels_waiting: 0,
        being_canceled: 0,
        tested: 0,
        pool_mode: PoolMode::Statement,
        load_balance_hosts: None,
    }
}

/// What operators have done.
pub(super) fn stats(shared: &Shared) -> show::Stats {
    let averages = Averages::of(&Counters::default(), Duration::ZERO);
    show::Stats { database: CONSOLE_NAME.to_owned(), totals: shared.operators.counters(), averages }
}

/// Who uses the console.
pub(super) fn clients(shared: &Shared) -> Vec<Socket> {
    let port = shared.address.port();
    let row = |it: Arc<super::operators::Operator>| {
        let on_socket = it.peer == UNIX_PEER;
        let here = if on_socket { "unix".to_owned() } else { shared.address.ip().to_string() };
        Socket {
            side: Side::Client,
            user: Some(it.name.clone()),
            database: Some(CONSOLE_NAME.to_owned()),
            replication: "none",
            state: "active",
            addr: if on_socket {
                ("unix".to_owned(), port)
            } else {
                (it.peer.ip().to_string(), it.peer.port())
            },
            local_addr: (here, port),
            connect_time: it.since,
            request_time: it.since,
            wait: Duration::ZERO,
            close_needed: false,
            link: None,
            remote_pid: it.process,
            tls: it.tls.clone(),
            application_name: it.application_name.clone(),
            prepared_statements: 0,
            id: u64::from(it.number),
            pinned: String::new(),
            buffers: Buffers::default(),
        }
    };
    shared.operators.list().into_iter().map(row).collect()
}

/// Every database of the file.
pub(super) fn databases(
    shared: &Shared,
    upstream: &Upstream,
    pools: &[Arc<Pool>],
    settings: &Settings,
) -> Vec<Database> {
    let used = by_database(pools);
    let row = |(name, entry): (String, Entry)| {
        let here = used.get(&name).cloned().unwrap_or_default();
        let own = settings.with([&entry.layer]);
        let key = upstream.key(&entry, &name, "");
        let target = crate::pooled::Target::Named(name.clone());
        Database {
            host: entry.host.clone(),
            port: entry.ports.first().copied().unwrap_or_default(),
            database: entry.target(&name).to_owned(),
            force_user: entry.user.clone(),
            pool_mode: entry.layer.get("pool_mode").map(|_| own.pool_mode),
            load_balance_hosts: entry.balancing().map(str::to_owned),
            current_connections: backends(&here),
            current_client_connections: shared.pools.taken(&key.database_seat()),
            paused: shared.pools.all_paused() || shared.pools.is_stopped(&target),
            disabled: shared.pools.is_disabled(&key),
            ..limits(name, &own)
        }
    };
    let mut rows: Vec<_> = upstream.databases().into_iter().map(row).collect();
    let console = key(CONSOLE_NAME);
    rows.push(Database {
        port: shared.address.port(),
        database: CONSOLE_NAME.to_owned(),
        force_user: Some(CONSOLE_NAME.to_owned()),
        pool_mode: Some(PoolMode::Statement),
        current_client_connections: shared.pools.taken(&console.database_seat()),
        ..limits(CONSOLE_NAME.to_owned(), settings)
    });
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    rows
}

fn limits(name: String, settings: &Settings) -> Database {
    Database {
        name,
        pool_size: settings.default_pool_size,
        min_pool_size: settings.min_pool_size,
        reserve_pool_size: settings.reserve_pool_size,
        server_lifetime: settings.server_lifetime,
        max_connections: settings.max_db_connections,
        max_client_connections: settings.max_db_client_connections,
        ..Database::default()
    }
}

/// Every role of the file and its list, and those that were looked up.
pub(super) fn users(
    shared: &Shared,
    upstream: &Upstream,
    pools: &[Arc<Pool>],
    settings: &Settings,
) -> Vec<User> {
    let ini = upstream.ini();
    let mut names = upstream.roles();
    names.extend(shared.operators.list().iter().map(|it| it.name.clone()));
    names.extend(pools.iter().map(|pool| pool.key.role.clone()));
    names.sort();
    names.dedup();
    let row = |name: String| {
        let layer = ini.user(&name).map(|user| user.layer.clone()).unwrap_or_default();
        let own = settings.with([&layer]);
        let number = |layer: &Layer, name: &str| layer.get(name).and_then(|text| text.parse().ok());
        let of_role: Vec<_> = pools.iter().filter(|pool| pool.key.role == name).cloned().collect();
        User {
            pool_size: number(&layer, "default_pool_size"),
            reserve_pool_size: number(&layer, "reserve_pool_size"),
            pool_mode: layer.get("pool_mode").map(|_| own.pool_mode),
            max_user_connections: own.max_user_connections,
            current_connections: backends(&of_role),
            max_user_client_connections: own.max_user_client_connections,
            current_client_connections: shared.pools.taken(&Seat::Role(Upstream::everybody(), name.clone())),
            name,
        }
    };
    names.into_iter().map(row).collect()
}

/// How many there are: what the file names counts whether somebody uses it or not, and so does the console.
pub(super) fn lists(
    shared: &Shared,
    upstream: &Upstream,
    pools: &[Arc<Pool>],
    settings: &Settings,
) -> show::Lists {
    show::Lists {
        databases: databases(shared, upstream, pools, settings).len(),
        users: users(shared, upstream, pools, settings).len(),
        peers: peers(upstream).len(),
        pools: pools.len() + 1,
        ..super::rows::lists(pools, shared)
    }
}

/// The other processes.
pub(super) fn peers(upstream: &Upstream) -> Vec<show::Peer> {
    let of = |peer: dormouse_pooler::config::ini::Peer| show::Peer {
        id: peer.id,
        host: peer.host,
        port: peer.port,
        pool_size: peer.pool_size.unwrap_or(PEER_POOL_SIZE),
    };
    upstream.ini().peers.into_iter().map(of).collect()
}
