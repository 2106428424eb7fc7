//! End-to-end tests, one module for each area of behaviour. One program, so that it is linked once.

#![allow(clippy::unwrap_used, missing_docs)]

mod first_steps;
mod drivers;
mod routes;
mod pool_limits;
mod pool_listen;
mod passwords;
mod auth;
mod wire;
mod hostile;
mod crashes;
mod adoption;
mod sandbox;
mod schedule;
mod storm;
mod versions;
mod disk;
mod storage;
mod import;
mod pool_house;
mod pool_drivers;
mod pool_tools;
mod pool_rust;
mod pool_tokio_postgres;
mod pool_sqlx;
mod pool_diesel;
mod pool_wire;
mod pool_pgx;
mod pool_protocol;
mod pool_mix;
mod pool_lost;
mod pool_console;
mod pool_ini;
mod pool_standin;
