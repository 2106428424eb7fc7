//! How a client proves who it is, checked against what PostgreSQL keeps in `pg_authid.rolpassword`.
//!
//! [`scram`] is the method; [`StoredPassword`] tells a usable stored password from one that is not.

pub mod scram;
mod stored;

pub use stored::StoredPassword;
