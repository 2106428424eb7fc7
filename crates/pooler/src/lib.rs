//! The pooler as bytes and books: no sockets, no clock, no tasks.
//!
//! ```text
//!   client bytes ──► link ──► backend bytes       which client has which backend, and when: pool
//!                ◄──      ◄──
//!                 statement · settings · sql: what a session is made of, so that any backend can continue it
//! ```
//!
//! `proxy::pooled` owns the sockets and calls this crate; everything that can go wrong between a client that
//! pipelines and a backend that answers is here, where it can be tested against a model without either.

pub mod sql;
pub mod settings;
pub mod statement;
pub mod link;
pub mod pool;
pub mod config;
