//! End-to-end tests, one module for each area of behaviour. One program, so that it is linked once.

#![allow(clippy::unwrap_used, missing_docs)]

mod first_steps;
mod drivers;
mod routes;
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
mod pool_ini;
