//! Lazy hydration with real PostgreSQL: a cluster is made once per version, stopped, copied as sparse files, and
//! started under the front. `cluster` has the PostgreSQL side, `source` the chunks.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test ends where it fails")]

mod cluster;
mod life;
mod outage;
mod restart;
mod source;
