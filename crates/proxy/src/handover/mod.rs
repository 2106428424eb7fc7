//! Clients move to the next process without noticing.
//!
//! ```text
//!            depart()                        end_all()
//!   Stays ─────────────► Leaves ─────────────────────────► Ends
//!   (all day) ◄───────── who rests is packed: its socket,  who is still here is told so (57P01)
//!             call_off() and what is known of it
//! ```
//!
//! A session that rests is a socket and a few facts. A pooled client has no backend then, so another process can go
//! on with it: settings, prepared statements, cancel key and all ([`dormouse_pooler::link`], `baggage`). A direct
//! session takes its backend along: that is a socket, too, and everything else about it is in PostgreSQL. What
//! cannot move stays until it ends or its time is up: TLS (its keys are in this process), clients that listen, and
//! those that a temporary table, a lock or a cursor keeps on a pooled backend.
//!
//! The stage is looked at where a session has nothing to do; nothing of it costs the others more than one load.
//! [`parcel`] is the format. Who carries the parcels is not known here.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::{mpsc, watch};

use dormouse_pgwire::ClientError;
use dormouse_pgwire::sqlstate::SqlState;

pub(crate) mod parcel;

pub use parcel::{Parcel, Unfit};

use crate::session::help;

/// Clients that are packed and not yet on their way. When they are more, the next stays for another moment.
pub const MAX_PARCELS: usize = 1024;

/// How far the departure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Everybody stays.
    Stays,
    /// Whoever can leave does.
    Leaves,
    /// The time is over.
    Ends,
}

/// The departure of all sessions of a proxy.
#[derive(Debug)]
pub(crate) struct Departure {
    stage: AtomicU8,
    /// Wakes direct sessions; pooled ones have a waker of their own.
    news: watch::Sender<()>,
    parcels: OnceLock<mpsc::Sender<Parcel>>,
}

impl Default for Departure {
    fn default() -> Self {
        Self { stage: AtomicU8::new(0), news: watch::Sender::new(()), parcels: OnceLock::new() }
    }
}

impl Departure {
    pub(crate) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Stays,
            1 => Stage::Leaves,
            _ => Stage::Ends,
        }
    }

    /// From now on those who can leave do, through `parcels`.
    pub(crate) fn begin(&self, parcels: mpsc::Sender<Parcel>) {
        if self.parcels.set(parcels).is_ok() {
            self.stage.store(1, Ordering::Release);
        }
    }

    /// There is nobody to go to any more: who is still here stays.
    pub(crate) fn call_off(&self) {
        self.stage.store(0, Ordering::Release);
    }

    /// From now on nobody stays.
    pub(crate) fn end(&self) {
        self.stage.store(2, Ordering::Release);
    }

    /// Has direct sessions look at the stage.
    pub(crate) fn rouse(&self) {
        self.news.send_replace(());
    }

    pub(crate) fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// Sends a session on its way. When there is no room just now it stays; the next rouse asks it again.
    pub(crate) fn take(&self, parcel: impl FnOnce() -> Option<Parcel>) -> bool {
        let permit = self.parcels.get().and_then(|parcels| parcels.try_reserve().ok());
        match (permit, parcel) {
            (Some(permit), parcel) => parcel().map(|parcel| permit.send(parcel)).is_some(),
            (None, _) => false,
        }
    }
}

/// What those are told who could not move.
pub(crate) fn replaced() -> ClientError {
    ClientError::fatal(SqlState::ADMIN_SHUTDOWN, "terminating connection because another server took over")
        .with_detail("This session could not be moved to it, and its time is up.")
        .with_hint(format!("Connect again: the new server is there. {}", help("endpoint-is-stopping")))
}
