//! Every byte a client sends passes through here.
//!
//! In reading order: [`listen`] accepts and limits; [`session`] is the life of one connection:
//! negotiation, login, backend, relay; [`route`] (pure) finds which endpoint is meant; [`tls`] and
//! [`stream`] are the two kinds of transport, `wire` is a socket whose small messages go out with
//! those of others; [`throttle`] slows down guessing, [`arrivals`] floods; [`peer`] knows whose
//! certificate a client showed; [`cancel`] finds the backend a cancel request means; `pooled` shares
//! backends among clients, and [`console`] is where the operator looks at them. Everything the proxy
//! needs from the rest of the product goes through one trait, [`wake::Wake`], so that it runs and is
//! tested without a control plane.
//!
//! [`handover`] moves clients to the next process, when a server takes over from another.
//! [`upstream`] is the other way to run it: in front of ordinary servers, as PgBouncer does.
//!
//! `docs/journey/connection.md` follows one packet through these files.

pub mod wake;
pub mod route;
pub mod tls;
pub mod stream;
pub(crate) mod outbox;
pub mod backend_stream;
pub mod throttle;
pub(crate) mod lookups;
pub(crate) mod proofs;
mod raw;
mod wire;
pub mod arrivals;
pub mod peer;
pub mod cancel;
pub mod handshakes;
pub mod metrics;
pub mod census;
pub mod traffic;
pub mod bound;
pub mod listen;
pub mod upstream;
pub mod handover;
pub(crate) mod pooled;
pub mod console;
pub mod gateway;
mod session;

pub use backend_stream::BackendStream;
pub use console::Pooler;
pub use dormouse_pooler::config::{
    Layer as PoolLayer, Layers as PoolLayers, Place as PoolPlace, Settings as PoolSettings,
};
pub use listen::{Bound, Proxy, ProxyConfig};
pub use route::Route;
pub use traffic::Traffic;
pub use wake::{
    Backend, Claim, Compute, Introduction, ServerPassword, StoredRole, TokenRefusal, Wake, WakeTicket,
};
