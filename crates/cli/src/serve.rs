//! The one place that touches the server crates. A build without the feature `server` is a client
//! only: everything but `up`, `doctor` and `recover` works, and it compiles in a fraction of the time.

#[cfg(feature = "server")]
mod full;
#[cfg(feature = "server")]
mod pool;
#[cfg(feature = "server")]
pub(crate) use full::{examine, installation_directories, psql_of_installation, recover, up};
#[cfg(feature = "server")]
pub(crate) use pool::pool;

#[cfg(not(feature = "server"))]
mod absent;
#[cfg(not(feature = "server"))]
pub(crate) use absent::{examine, installation_directories, pool, psql_of_installation, recover, up};
