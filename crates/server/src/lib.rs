//! The composition root: from configuration to running roles, and the only place that joins the
//! proxy to the control plane.
//!
//! * [`config`]: what a server is told. [`error`]: why it does not start. [`place`]: what it needs of directories and limits.
//! * `ports`, `prepared`: what a start takes and finds before anything runs.
//! * [`prices`]: the user's own price sheets.
//! * [`run`]: start everything in order, wait for a signal, stop everything in the opposite order.
//! * [`wake`]: how the proxy's questions are answered by control and computes.
//! * [`pooler`]: the API's way to the proxy's pooler.
//! * `traffic`: the ledger's way to the proxy's counters.
//! * `systemd`: what the service manager is told, and has opened.
//! * [`http`]: the HTTP port: the API, `/healthz`, `/metrics`. [`console`]: the pages for people, embedded.
//! * [`takeover`]: from one server to the next, without a client noticing.
//! * [`recover`]: a new data directory from nothing but a store.
//! * [`standalone`]: the pooler in front of ordinary servers, in PgBouncer's place.
//! * [`doctor`]: what this machine has and lacks, without starting anything.

pub mod config;
pub mod error;
pub mod place;
pub mod wake;
pub mod pooler;
mod traffic;
mod systemd;
pub mod http;
pub mod console;
pub mod limited;
mod ports;
mod prepared;
pub mod prices;
pub mod run;
pub mod takeover;
pub mod recover;
pub mod doctor;
pub mod standalone;

pub use config::{
    CgroupChoice, ClientCerts, DEFAULT_CONN_RATE, LocalClone, OidcSettings, Ready, ReadyProject,
    ServerConfig, WalSource, Wanted, Ways,
};
pub use error::ServerError;
pub use run::run;
