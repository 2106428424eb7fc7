//! The two ports, taken before anything else is started: a port that is in use is the most common reason for a start
//! to fail. What is kept here is the socket itself; whoever accepts on it has a handle of its own, so that another
//! can be made for a server that takes over.

use std::io;
use std::net::{SocketAddr, TcpListener as Listener};
use std::os::fd::OwnedFd;

use dormouse_proxy::Bound;
use tokio::net::TcpListener;

use crate::config::ServerConfig;
use crate::error::ServerError;
use crate::takeover::ask::Predecessor;

/// The ports of a server.
pub(crate) struct Ports {
    pg: OwnedFd,
    /// Where PostgreSQL clients connect, with the real port.
    pub(crate) pg_address: SocketAddr,
    http: Listener,
    /// The same for HTTP.
    pub(crate) http_address: SocketAddr,
}

impl Ports {
    /// Takes those that the configuration names.
    pub(crate) fn take(config: &ServerConfig) -> Result<Self, ServerError> {
        let bound = Bound::to(config.pg_listen).map_err(|e| no_clients(config.pg_listen, e))?;
        let pg = bound.share().map_err(|e| no_clients(config.pg_listen, e))?;
        let failed = |source| ServerError::Listen { what: "HTTP", address: config.http_listen, source };
        let http = Listener::bind(config.http_listen).map_err(failed)?;
        http.set_nonblocking(true).map_err(failed)?;
        let http_address = http.local_addr().map_err(failed)?;
        Ok(Self { pg, pg_address: bound.address().unwrap_or(config.pg_listen), http, http_address })
    }

    /// Those of the server that runs. They answer already.
    pub(crate) fn given(from: &Predecessor) -> io::Result<Self> {
        let (pg, http) = (from.pg.try_clone()?, Listener::from(from.http.try_clone()?));
        http.set_nonblocking(true)?;
        let pg_address = Bound::given(pg.try_clone()?)?.address().ok_or(io::ErrorKind::InvalidInput)?;
        let http_address = http.local_addr()?;
        Ok(Self { pg, pg_address, http, http_address })
    }

    /// To accept PostgreSQL clients on.
    pub(crate) fn pg(&self, config: &ServerConfig) -> Result<Bound, ServerError> {
        self.pg.try_clone().and_then(Bound::given).map_err(|e| no_clients(config.pg_listen, e))
    }

    /// To accept HTTP clients on.
    pub(crate) fn http(&self) -> io::Result<TcpListener> {
        self.http.try_clone().and_then(TcpListener::from_std)
    }

    /// For a server that takes over.
    pub(crate) fn share(&self) -> io::Result<(OwnedFd, OwnedFd)> {
        Ok((self.pg.try_clone()?, self.http.try_clone()?.into()))
    }
}

pub(crate) fn no_clients(address: SocketAddr, source: io::Error) -> ServerError {
    ServerError::Listen { what: "PostgreSQL clients", address, source }
}
