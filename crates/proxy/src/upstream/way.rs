//! How new connections to a server are made: what may change under the connections that are there, and is of no
//! importance to them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use dormouse_pooler::config::ini::Database;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use super::config::Plan;
use super::encryption::Encryption;
use super::server_tls::ServerTls;
use crate::bound::KEEPALIVE;

/// One way.
#[derive(Clone)]
pub(super) struct Way {
    /// Whose turn it is, and at which it is this one's; when the next is tried only after a failure.
    pub(super) own_turn: Option<(Arc<AtomicUsize>, usize)>,
    keepalive: Option<TcpKeepalive>,
    /// `tcp_user_timeout`; zero: the system's.
    user_timeout: Duration,
    /// `server_connect_timeout`.
    pub(super) within: Duration,
    /// As the files were when they were read last.
    pub(super) tls: ServerTls,
}

impl Way {
    pub(super) fn new(entry: &Database, plan: &Plan, encryption: &Encryption) -> Self {
        Self {
            own_turn: None,
            keepalive: keepalive(plan, TcpKeepalive::new()),
            user_timeout: user_timeout(plan),
            within: plan.ini.settings.with([&entry.layer]).server_connect_timeout,
            tls: encryption.servers.clone(),
        }
    }

    /// Sets a new connection's options.
    pub(super) fn tune(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let socket = SockRef::from(stream);
        if let Some(keepalive) = &self.keepalive {
            socket.set_keepalive(true)?;
            socket.set_tcp_keepalive(keepalive)?;
        }
        if !self.user_timeout.is_zero() {
            socket.set_tcp_user_timeout(Some(self.user_timeout))?;
        }
        Ok(())
    }
}

/// Sets the options of clients' sockets, which each inherits from the one that it comes by. What is not set is as for
/// clients of computes: the system's own times are hours.
pub(super) fn tune_clients(listening: &SockRef<'_>, plan: &Plan) -> io::Result<()> {
    let (idle, interval, retries) = KEEPALIVE;
    let usual = TcpKeepalive::new().with_time(idle).with_interval(interval).with_retries(retries);
    let keepalive = keepalive(plan, usual);
    listening.set_keepalive(keepalive.is_some())?;
    if let Some(keepalive) = keepalive {
        listening.set_tcp_keepalive(&keepalive)?;
    }
    listening.set_tcp_user_timeout(Some(user_timeout(plan)))
}

fn user_timeout(plan: &Plan) -> Duration {
    Duration::from_millis(plan.number("tcp_user_timeout").into())
}

/// As `tcp_keepalive` and what belongs to it say; `made` has what they do not say.
fn keepalive(plan: &Plan, mut made: TcpKeepalive) -> Option<TcpKeepalive> {
    let seconds = |name| Some(plan.number(name)).filter(|n| *n > 0).map(|n| Duration::from_secs(n.into()));
    if let Some(idle) = seconds("tcp_keepidle") {
        made = made.with_time(idle);
    }
    if let Some(interval) = seconds("tcp_keepintvl") {
        made = made.with_interval(interval);
    }
    let count = plan.number("tcp_keepcnt");
    if count > 0 {
        made = made.with_retries(count);
    }
    plan.is_on("tcp_keepalive").then_some(made)
}
