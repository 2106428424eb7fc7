//! Why a server cannot start or go on, in words for whoever started it.

use std::io;
use std::net::SocketAddr;

use dormouse_control::StartError;

use crate::place::PlaceError;
use crate::takeover::TakeoverError;

/// Why a server cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The data directory.
    #[error(transparent)]
    Place(PlaceError),
    /// No PostgreSQL.
    #[error(
        "no PostgreSQL 15 to 18 was found: run `scripts/postgres`, install one with the system's package manager, or name one with --pg-dir"
    )]
    NoPostgres,
    /// No user for computes.
    #[error(transparent)]
    Identity(dormouse_compute::sandbox::identity::IdentityError),
    /// The view of an installation.
    #[error(transparent)]
    View(dormouse_compute::postgres::view::ViewError),
    /// The control plane.
    #[error("the control plane cannot start")]
    Control(#[source] StartError),
    /// The object store.
    #[error("the object store cannot be used")]
    Store(#[source] dormouse_storage::object::OpenError),
    /// The certificate.
    #[error("TLS cannot be offered")]
    Tls(#[source] dormouse_proxy::tls::TlsError),
    /// A price sheet that was named.
    #[error(transparent)]
    Prices(crate::prices::PricesError),
    /// A setting of the pooler.
    #[error("cannot start the pooler: {0}")]
    Pooler(String),
    /// The server that runs.
    #[error("no takeover")]
    Takeover(#[source] TakeoverError),
    /// The data directory is not this server's, although it runs. Never seen.
    #[error("the lock of the data directory is gone")]
    NoLock,
    /// The metadata.
    #[error("cannot read the API keys")]
    Keys(#[source] dormouse_control::db::DbError),
    /// The metadata.
    #[error("cannot read the pooler's settings")]
    PoolSettings(#[source] dormouse_control::db::DbError),
    /// An address.
    #[error("cannot listen on {address} for {what}: choose another port, or stop what uses it")]
    Listen {
        /// For whom.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Something else of the operating system.
    #[error("cannot {what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

pub(crate) fn system(what: &'static str) -> impl FnOnce(io::Error) -> ServerError {
    move |source| ServerError::System { what, source }
}
