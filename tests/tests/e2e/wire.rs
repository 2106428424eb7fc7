//! The protocol through the proxy: what a client sees is what PostgreSQL says, and sleep shows as
//! little as it can.

mod bulk;
mod cancel;
mod parameters;
mod sleep;
mod tls;
