//! What the console shows of the pools.
//!
//! A pool is an endpoint's, so a database is shown as `database@endpoint`, which is also a way to connect to it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dormouse_base::{Timestamp, clock};
use dormouse_pooler::admin::show::{self, Buffers, Database, Lists, Side, Socket, User};
use dormouse_pooler::admin::{Show, Table};
use dormouse_pooler::config::Settings;
use dormouse_pooler::config::ini::Database as Entry;
use dormouse_pooler::pool::State;
use dormouse_pooler::stats::{Averages, Counters};

use super::standin;
use crate::bound::UNIX_PEER;
use crate::pooled::{BackendKey, ClientInfo, Doing, Pool, Pools, Resting, Seat};
use crate::session::Shared;
use crate::upstream::Upstream;

/// The answer to SHOW.
pub(super) fn table(shared: &Shared, what: Show) -> Table {
    let pools = shared.pools.list();
    let settings = shared.pools.settings();
    match what {
        Show::Pools => {
            let mut rows: Vec<_> = pools.iter().map(|pool| of_pool(shared, pool)).collect();
            rows.extend(shared.upstream.is_some().then(|| standin::pool(shared)));
            show::pools(&rows)
        }
        Show::Clients => show::clients(&sockets(shared, &pools)),
        Show::Servers => show::servers(&sockets(shared, &pools)),
        Show::Sockets => show::sockets(&sockets(shared, &pools)),
        Show::ActiveSockets => show::active_sockets(&sockets(shared, &pools)),
        Show::Stats => show::stats(&stats(shared, &pools)),
        Show::StatsTotals => show::stats_totals(&stats(shared, &pools)),
        Show::StatsAverages => show::stats_averages(&stats(shared, &pools)),
        Show::Totals => {
            let (mut totals, averages) = sum(&pools);
            if shared.upstream.is_some() {
                totals += &shared.operators.counters();
            }
            show::totals(&totals, &averages)
        }
        Show::Databases => match &shared.upstream {
            Some(upstream) => show::databases(&standin::databases(shared, upstream, &pools, &settings)),
            None => show::databases(&databases(shared, &pools, &settings)),
        },
        Show::Users => match &shared.upstream {
            Some(upstream) => show::users(&standin::users(shared, upstream, &pools, &settings)),
            None => show::users(&users(&shared.pools, &pools, &settings)),
        },
        Show::Lists => match &shared.upstream {
            Some(upstream) => show::lists(&standin::lists(shared, upstream, &pools, &settings)),
            None => show::lists(&lists(&pools, shared)),
        },
        Show::Config => show::config(&settings, shared.upstream.is_some()),
        Show::State => {
            let held = shared.upstream.as_ref();
            let suspended = held.is_some_and(Upstream::is_suspended);
            let paused = shared.pools.all_stopped() || held.is_some_and(Upstream::is_paused);
            show::state(paused && !suspended, suspended)
        }
        Show::Mem => show::mem(memory(&pools)),
        Show::Version => show::one(Show::Version, &super::version()),
        Show::Peers if shared.upstream.is_some() => {
            show::peers(&shared.upstream.as_ref().map(standin::peers).unwrap_or_default())
        }
        Show::Fds | Show::Help | Show::Peers | Show::PeerPools | Show::DnsHosts | Show::DnsZones => {
            Table::empty(what).unwrap_or_else(|| show::one(Show::Version, ""))
        }
    }
}

fn of_pool(shared: &Shared, pool: &Pool) -> show::Pool {
    let entry = shared.upstream.as_ref().and_then(|upstream| upstream.database(&pool.key.database));
    let (clients, resting) = (pool.clients(), pool.resting());
    let linked: BTreeSet<u32> = clients.iter().filter_map(|client| Some(client.linked()?.number)).collect();
    let is_tested =
        |key: &Arc<BackendKey>| !linked.contains(&key.number) && !resting.contains_key(&key.number);
    show::Pool {
        database: pool.place(),
        user: pool.key.role.clone(),
        counts: pool.counts(),
        cancels_active: clients.iter().map(|client| client.cancels()).sum(),
        cancels_waiting: 0,
        being_canceled: 0,
        tested: pool.backends().iter().filter(|key| is_tested(key)).count().try_into().unwrap_or(u32::MAX),
        pool_mode: pool.mode(),
        load_balance_hosts: entry.as_ref().and_then(Entry::balancing).map(str::to_owned),
    }
}

fn sockets(shared: &Shared, pools: &[Arc<Pool>]) -> Vec<Socket> {
    let mut rows = Vec::new();
    if shared.upstream.is_some() {
        rows.extend(standin::clients(shared));
    }
    for pool in pools {
        let clients = pool.clients();
        let linked: BTreeMap<u32, &Arc<ClientInfo>> =
            clients.iter().filter_map(|client| Some((client.linked()?.number, client))).collect();
        rows.extend(clients.iter().map(|client| of_client(shared, pool, client)));
        let resting = pool.resting();
        let of = |key: &Arc<BackendKey>| {
            let user = linked.get(&key.number).map(|client| &***client);
            of_backend(shared, pool, key, user, resting.get(&key.number))
        };
        rows.extend(pool.backends().iter().map(of));
        rows.extend(pool.opening().into_iter().map(|opening| of_opening(shared, pool, opening)));
    }
    rows.sort_by_key(|row| (row.side == Side::Server, row.id));
    rows
}

fn of_client(shared: &Shared, pool: &Pool, client: &ClientInfo) -> Socket {
    let (doing, since, backend) = (client.doing(), client.doing_for(), client.linked());
    // As PgBouncer has it: a Unix socket is named by the port that is part of its file's name.
    let unix = client.peer == UNIX_PEER;
    let end = |address: SocketAddr| {
        if unix { ("unix".to_owned(), shared.address.port()) } else { shown(address) }
    };
    Socket {
        user: Some(client.user.as_deref().unwrap_or(&pool.key.role).to_owned()),
        replication: client.replication.as_str(),
        state: if doing == Doing::Waiting { "waiting" } else { "active" },
        addr: end(client.peer),
        local_addr: end(client.connection.here.unwrap_or(shared.address)),
        connect_time: client.since,
        request_time: clock::now() - since,
        wait: if doing == Doing::Waiting { since } else { Duration::ZERO },
        link: backend.as_ref().map(|key| u64::from(key.number)),
        remote_pid: client.connection.process,
        tls: client.connection.tls.as_deref().unwrap_or_default().to_owned(),
        application_name: client.application.clone(),
        prepared_statements: client.prepared(),
        pinned: backend.map(|key| pins(&key)).unwrap_or_default(),
        ..socket(Side::Client, pool, client.id, client.since)
    }
}

/// A backend with its client, or that rests. One with neither is being checked, reset or asked by us.
fn of_backend(
    shared: &Shared,
    pool: &Pool,
    key: &BackendKey,
    client: Option<&ClientInfo>,
    resting: Option<&Resting>,
) -> Socket {
    let end = |address: Option<SocketAddr>| address.map_or_else(|| unix_server(shared, pool), shown);
    let (state, since, application_name) = match (client, resting) {
        (Some(client), _) => ("active", client.doing_for(), client.application.clone()),
        (None, Some(resting)) => {
            (if resting.used { "used" } else { "idle" }, resting.rested, resting.application.clone())
        }
        (None, None) => ("tested", Duration::ZERO, String::new()),
    };
    Socket {
        replication: key.replication.as_str(),
        state,
        addr: end(key.ends.there),
        local_addr: end(key.ends.here),
        request_time: clock::now() - since,
        close_needed: key.is_doomed(),
        link: client.map(|client| u64::from(client.id)),
        remote_pid: key.pid,
        tls: key.ends.tls.clone(),
        application_name,
        prepared_statements: key.prepared(),
        pinned: pins(key),
        ..socket(Side::Server, pool, key.number, key.since)
    }
}

/// A backend that is being opened: to which address is known when it is there, so the file's host stands for it.
fn of_opening(shared: &Shared, pool: &Pool, (number, since): (u32, Timestamp)) -> Socket {
    let unix = unix_server(shared, pool);
    let entry = shared.upstream.as_ref().and_then(|upstream| upstream.database(&pool.key.database));
    let host = entry.and_then(|entry| entry.host).filter(|host| !host.starts_with('/'));
    let addr = host.map_or_else(|| unix.clone(), |host| (host, unix.1));
    Socket { state: "new", addr, ..socket(Side::Server, pool, number, since) }
}

/// A row of which little is known.
fn socket(side: Side, pool: &Pool, id: u32, since: Timestamp) -> Socket {
    Socket {
        side,
        user: Some(pool.key.role.clone()),
        database: Some(pool.place()),
        replication: "none",
        state: "",
        addr: Default::default(),
        local_addr: Default::default(),
        connect_time: since,
        request_time: since,
        wait: Duration::ZERO,
        close_needed: false,
        link: None,
        remote_pid: 0,
        tls: String::new(),
        application_name: String::new(),
        prepared_statements: 0,
        id: u64::from(id),
        pinned: String::new(),
        buffers: Buffers::default(),
    }
}

fn shown(address: SocketAddr) -> (String, u16) {
    (address.ip().to_string(), address.port())
}

fn unix_server(shared: &Shared, pool: &Pool) -> (String, u16) {
    ("unix".to_owned(), shared.upstream.as_ref().map_or(0, |it| it.port(&pool.key.database)))
}

fn pins(key: &BackendKey) -> String {
    key.pins().collect::<Vec<_>>().join(",")
}

/// Totals and averages of these pools together.
fn sum(pools: &[Arc<Pool>]) -> (Counters, Averages) {
    let (mut totals, mut last, mut length) = (Counters::default(), Counters::default(), Duration::ZERO);
    for pool in pools {
        let stats = pool.stats();
        totals += &stats.counters;
        last += stats.period.last().0;
        length = length.max(stats.period.last().1);
    }
    (totals, Averages::of(&last, length))
}

/// Pools by database.
pub(super) fn by_database(pools: &[Arc<Pool>]) -> BTreeMap<String, Vec<Arc<Pool>>> {
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for pool in pools {
        found.entry(pool.place()).or_default().push(Arc::clone(pool));
    }
    found
}

fn stats(shared: &Shared, pools: &[Arc<Pool>]) -> Vec<show::Stats> {
    let row = |(database, pools): (String, Vec<Arc<Pool>>)| {
        let (totals, averages) = sum(&pools);
        show::Stats { database, totals, averages }
    };
    let mut rows: Vec<_> = by_database(pools).into_iter().map(row).collect();
    if shared.upstream.is_some() {
        rows.push(standin::stats(shared));
    }
    rows
}

fn databases(shared: &Shared, pools: &[Arc<Pool>], settings: &Settings) -> Vec<Database> {
    let row = |(name, pools): (String, Vec<Arc<Pool>>)| {
        let key = &pools[0].key;
        Database {
            name,
            host: Some(key.endpoint.to_string()),
            port: shared.address.port(),
            database: key.database.clone(),
            force_user: None,
            pool_size: settings.default_pool_size,
            min_pool_size: settings.min_pool_size,
            reserve_pool_size: settings.reserve_pool_size,
            server_lifetime: settings.server_lifetime,
            pool_mode: None,
            load_balance_hosts: None,
            max_connections: settings.max_db_connections,
            current_connections: backends(&pools),
            max_client_connections: settings.max_db_client_connections,
            current_client_connections: shared.pools.taken(&key.database_seat()),
            paused: pools.iter().all(|pool| pool.counts().state != State::Running),
            disabled: shared.pools.is_disabled(key),
        }
    };
    by_database(pools).into_iter().map(row).collect()
}

pub(super) fn backends(pools: &[Arc<Pool>]) -> u32 {
    pools.iter().map(|pool| u32::try_from(open(pool)).unwrap_or(u32::MAX)).sum()
}

fn open(pool: &Pool) -> usize {
    let counts = pool.counts();
    counts.sv_active + counts.sv_idle + counts.sv_used
}

/// A role's pools, their endpoints, and its clients.
type OfUser = (Vec<Arc<Pool>>, BTreeSet<String>, u32);

/// Roles by name: the same name at two endpoints is one row.
fn users(all: &Pools, pools: &[Arc<Pool>], settings: &Settings) -> Vec<User> {
    let mut found: BTreeMap<String, OfUser> = BTreeMap::new();
    for pool in pools {
        let (known, endpoints, clients) = found.entry(pool.key.role.clone()).or_default();
        known.push(Arc::clone(pool));
        if endpoints.insert(pool.key.endpoint.to_string()) {
            *clients += all.taken(&pool.key.role_seat());
        }
    }
    let row = |(name, (pools, _, clients)): (String, OfUser)| User {
        name,
        max_user_connections: settings.max_user_connections,
        current_connections: backends(&pools),
        max_user_client_connections: settings.max_user_client_connections,
        current_client_connections: clients,
        ..User::default()
    };
    found.into_iter().map(row).collect()
}

pub(super) fn lists(pools: &[Arc<Pool>], shared: &Shared) -> Lists {
    let roles: BTreeSet<_> = pools.iter().map(|pool| &pool.key.role).collect();
    let login_clients = usize::try_from(shared.metrics.handshakes.get()).unwrap_or_default();
    Lists {
        databases: by_database(pools).len(),
        users: roles.len(),
        pools: pools.len(),
        login_clients,
        used_clients: shared.pools.taken(&Seat::All) as usize + login_clients,
        used_servers: pools.iter().map(|pool| open(pool)).sum(),
        ..Lists::default()
    }
}

fn memory(pools: &[Arc<Pool>]) -> [(&'static str, u64, u64, u64); 3] {
    let clients: usize = pools.iter().map(|pool| pool.clients().len()).sum();
    let servers: usize = pools.iter().map(|pool| open(pool)).sum();
    [
        ("client_cache", size_of::<ClientInfo>() as u64, clients as u64, 0),
        ("server_cache", size_of::<BackendKey>() as u64, servers as u64, 0),
        ("pool_cache", size_of::<Pool>() as u64, pools.len() as u64, 0),
    ]
}
