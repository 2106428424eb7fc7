//! SHOW CLIENTS, SERVERS, SOCKETS and ACTIVE_SOCKETS: one row type, with or without buffers.

use std::time::Duration;

use dormouse_base::clock::Timestamp;

use super::{Cell, Columns, Table, cell};

/// Columns of CLIENTS and SERVERS, and the first ones of SOCKETS.
const NAMES: [&str; 28] = [
    "type",
    "user",
    "database",
    "replication",
    "state",
    "addr",
    "port",
    "local_addr",
    "local_port",
    "connect_time",
    "request_time",
    "wait",
    "wait_us",
    "close_needed",
    "ptr",
    "link",
    "remote_pid",
    "tls",
    "application_name",
    "prepared_statements",
    "id",
    // SOCKETS and ACTIVE_SOCKETS go on:
    "recv_pos",
    "pkt_pos",
    "pkt_remain",
    "send_pos",
    "send_remain",
    "pkt_avail",
    "send_avail",
];

/// Of CLIENTS and SERVERS, and behind them one of ours.
const STANDARD_NAMES: [&str; 22] = {
    let mut names = ["pinned"; 22];
    let mut place = 0;
    while place < 21 {
        names[place] = NAMES[place];
        place += 1;
    }
    names
};

/// How many of them are ours.
pub(super) const OWN: usize = 1;

pub(super) const STANDARD: Columns = Columns { kinds: "ssssssisiTTiiississiis", names: &STANDARD_NAMES };
pub(super) const WITH_BUFFERS: Columns = Columns { kinds: "ssssssisiTTiiississiiiiiiiii", names: &NAMES };

/// Which side a socket leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// `C`.
    Client,
    /// `S`.
    Server,
}

/// A client or a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    /// Which.
    pub side: Side,
    /// The role; none before it is known.
    pub user: Option<String>,
    /// The database; none before it is known.
    pub database: Option<String>,
    /// `none`, `logical` or `physical`.
    pub replication: &'static str,
    /// `active`, `waiting`, `idle`, `used`, `tested`, `new` …
    pub state: &'static str,
    /// The other end, and its port; zero for a Unix socket.
    pub addr: (String, u16),
    /// Our end, and our port.
    pub local_addr: (String, u16),
    /// When the connection was made.
    pub connect_time: Timestamp,
    /// When the last request came.
    pub request_time: Timestamp,
    /// How long a client has waited for its answer.
    pub wait: Duration,
    /// RECONNECT or the like will close it when it is free.
    pub close_needed: bool,
    /// The number of the other one that this one is linked to.
    pub link: Option<u64>,
    /// The other end's process: a backend's, or a client's on a Unix socket; else zero.
    pub remote_pid: u32,
    /// Version and cipher; empty without TLS.
    pub tls: String,
    /// What the client calls itself.
    pub application_name: String,
    /// Prepared statements that it has.
    pub prepared_statements: usize,
    /// Its number, for KILL_CLIENT. It stands in `ptr` and `link` too, as 16 digits.
    pub id: u64,
    /// What keeps a client on its backend, by commas; empty when nothing does. PgBouncer has no such column.
    pub pinned: String,
    /// What is in its buffers.
    pub buffers: Buffers,
}

/// What is in buffers, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Buffers {
    /// Received and not parsed.
    pub pkt_avail: usize,
    /// Parsed and not sent.
    pub send_avail: usize,
    /// Of the message under way, still to come.
    pub pkt_remain: usize,
}

impl Buffers {
    fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// SHOW CLIENTS.
#[must_use]
pub fn clients(rows: &[Socket]) -> Table {
    Table::new(STANDARD, rows.iter().filter(|it| it.side == Side::Client).map(with_pins))
}

/// SHOW SERVERS.
#[must_use]
pub fn servers(rows: &[Socket]) -> Table {
    Table::new(STANDARD, rows.iter().filter(|it| it.side == Side::Server).map(with_pins))
}

/// SHOW SOCKETS.
#[must_use]
pub fn sockets(rows: &[Socket]) -> Table {
    Table::new(WITH_BUFFERS, rows.iter().map(with_buffers))
}

/// SHOW ACTIVE_SOCKETS.
#[must_use]
pub fn active_sockets(rows: &[Socket]) -> Table {
    Table::new(WITH_BUFFERS, rows.iter().filter(|it| !it.buffers.is_empty()).map(with_buffers))
}

fn time(at: Timestamp) -> Cell {
    cell(at.strftime("%Y-%m-%d %H:%M:%S UTC"))
}

fn standard(it: &Socket) -> Vec<Cell> {
    let number = |id: u64| format!("0x{id:016x}");
    vec![
        cell(match it.side {
            Side::Client => "C",
            Side::Server => "S",
        }),
        cell(it.user.as_deref().unwrap_or("(nouser)")),
        cell(it.database.as_deref().unwrap_or("(nodb)")),
        cell(it.replication),
        cell(if it.link.is_none() && it.state == "active" { "idle" } else { it.state }),
        cell(&it.addr.0),
        cell(it.addr.1),
        cell(&it.local_addr.0),
        cell(it.local_addr.1),
        time(it.connect_time),
        time(it.request_time),
        cell(it.wait.as_secs()),
        cell(it.wait.subsec_micros()),
        cell(u8::from(it.close_needed)),
        cell(number(it.id)),
        cell(it.link.map(number).unwrap_or_default()),
        cell(it.remote_pid),
        cell(&it.tls),
        cell(&it.application_name),
        cell(it.prepared_statements),
        cell(it.id),
    ]
}

fn with_pins(it: &Socket) -> Vec<Cell> {
    let mut row = standard(it);
    row.push(cell(&it.pinned));
    row
}

fn with_buffers(it: &Socket) -> Vec<Cell> {
    let Buffers { pkt_avail, send_avail, pkt_remain } = it.buffers;
    let mut row = standard(it);
    // Positions have no meaning here: buffers are emptied from their start.
    row.extend([pkt_avail, 0, pkt_remain, 0, 0, pkt_avail, send_avail].map(cell));
    row
}
