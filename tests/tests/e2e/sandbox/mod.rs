//! A PostgreSQL superuser who runs programs, reads files and writes where he likes: what he cannot
//! reach from inside his compute.
//!
//! [`attacker`] is that person's tool box; [`as_root`] and [`as_user`] let him loose under a server
//! of root (every compute has a user ID of its own) and of an ordinary user (all share one, and
//! Landlock alone keeps them apart); [`remains`] is about what he leaves behind.

mod as_root;
mod as_user;
mod attacker;
mod remains;
