//! How a client proves who it is, checked against what PostgreSQL keeps in `pg_authid.rolpassword`.
//!
//! [`scram`] is the method, [`md5`] the old one; [`StoredPassword`] tells a usable stored password from one that is not.

pub mod md5;
pub mod scram;
mod stored;

pub use stored::StoredPassword;
