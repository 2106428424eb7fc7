//! Pooled clients: many of them, few backends.
//!
//! ```text
//!            first message             lease                    settings as the client wants them
//!   Idle ────────────────► Waiting ───────────► Entering ─► Own(replay) ─────────────────► Linked
//!    ▲  no backend, no buffer  │ refused: told, ends                                        │ ReadyForQuery,
//!    │                         ▼                                                            ▼ idle, not pinned
//!    └──────────────────────────────────────────── Own(inspect), when something may be left ┘
//! ```
//!
//! A pool is one endpoint's backends for one database and role. It lives on one shard, with all its clients:
//! nothing of it is ever waited for by another thread. What may be sent to whom is decided in `dormouse-pooler`;
//! this module moves the bytes.
//!
//! One that listens (`LISTEN`), or is in session mode, keeps its backend, but only as long as the compute runs:
//!
//! ```text
//!   Linked, idle ── the compute or its backend ends ──► Idle ── next statement, or somebody else ──► Returning
//!                                                                wants the compute that it listens on     │
//!            Linked ◄── Own(replay): settings and LISTEN ◄──────────────── a backend of its own ◄─────────┘
//! ```
//!
//! A client that waits for its user has no backend, so whatever happens to the compute meanwhile (a pause, a
//! stop, a crash, a restore) does not touch it; its next message wakes what is asleep.
//!
//! In reading order: [`pools`] finds a client's pool, [`pool`] keeps its books, [`held`] is a backend, [`open`]
//! makes one ([`elsewhere`] on a server that is no compute, where [`prove`] answers for the role), [`slot`] is where
//! a client waits, [`listeners`] brings those back who listen before anybody can NOTIFY, [`session`] is the client's
//! life, [`words`] what it is told when its backend dies under it, [`retire`] cleans up behind those who left in the
//! middle of something. [`ask`] is a question of our own to a pool, [`replicate`] a client with a connection of its
//! own ([`stretch`]), which counts nevertheless ([`aside`]). [`orders`] is what operators order, [`seats`] how many may come, [`room`] what pools share,
//! [`stats`] what was done.

pub(crate) mod pools;
mod pool;
mod stats;
mod orders;
mod seats;
mod room;
mod held;
pub(crate) mod identity;
mod open;
mod elsewhere;
mod prove;
mod slot;
mod listeners;
mod words;
mod client_info;
mod enter;
mod arrive;
mod session;
mod io;
mod retire;
mod ask;
mod aside;
mod replicate;
mod stretch;

pub(crate) use arrive::arrive;
pub(crate) use ask::{Unanswered, ask};
pub(crate) use client_info::{Aim, ClientInfo, Doing};
pub(crate) use enter::enter;
pub(crate) use held::{Ends, Key as BackendKey};
pub(crate) use listeners::Listeners;
pub(crate) use orders::{Order, Target};
pub(crate) use pool::{Pool, Resting};
pub(crate) use pools::{PoolKey, Pools};
pub(crate) use replicate::replicate;
pub(crate) use seats::{Seat, Seated};
