//! What an endpoint writes on its event list, and the phases of a wake.

use std::time::Duration;

use dormouse_base::Cu;
use serde::{Deserialize, Serialize};

use crate::limits::Reason;
use crate::limits::decide::Change;

/// Where the time of one wake went, each in microseconds. See `docs/journey/connection.md`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phases {
    /// Waiting for a free place to boot.
    pub queue_us: u64,
    /// Making the data directory ready.
    pub materialise_us: u64,
    /// From the decision to `exec`.
    pub spawn_us: u64,
    /// From `exec` to "accepting connections".
    pub ready_us: u64,
    /// Applying changes that were made while it slept.
    pub apply_us: u64,
    /// Opening the client's backend, up to its first ReadyForQuery.
    pub connect_us: u64,
    /// From there to the first row (this includes the client's own delay).
    pub first_row_us: u64,
}

impl Phases {
    /// The sum of all phases.
    #[must_use]
    pub fn total(&self) -> Duration {
        Duration::from_micros(self.named().iter().map(|(_, us)| us).sum())
    }

    /// Each phase with the name it has in metrics and documents.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 7] {
        [
            ("queue", self.queue_us),
            ("materialise", self.materialise_us),
            ("spawn", self.spawn_us),
            ("ready", self.ready_us),
            ("apply", self.apply_us),
            ("connect", self.connect_us),
            ("first_row", self.first_row_us),
        ]
    }
}

/// Why an endpoint woke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A client connected or sent a statement.
    Client,
    /// The API or the command line asked.
    Request,
    /// A scheduled job is due.
    Schedule,
    /// A keep-warm window begins, or it shall never sleep.
    KeepWarm,
    /// The last run ended badly and left something to recover.
    Heal,
}

/// Why an endpoint went to sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SleepReason {
    /// No work for the idle time (or paused for the pause time).
    Idle,
    /// The API or the command line asked.
    Request,
    /// Memory is short.
    Pressure,
    /// The server is stopping.
    Shutdown,
    /// A quota of its project is used up.
    Quota,
}

/// One entry of the event list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Happening {
    /// Stopped → Active.
    Woke {
        /// Why.
        cause: Cause,
        /// Where the time went.
        phases: Phases,
    },
    /// Paused → Active.
    Thawed {
        /// Why.
        cause: Cause,
        /// Time to thaw, microseconds.
        thaw_us: u64,
    },
    /// Active → Paused.
    Paused {
        /// Why.
        reason: SleepReason,
        /// `cgroup2`, `cgroup1` or `signal`.
        how: String,
    },
    /// → Stopped, in order.
    Stopped {
        /// Why.
        reason: SleepReason,
        /// From the decision to the end of the last process, milliseconds.
        took_ms: u64,
    },
    /// PostgreSQL did not come up.
    StartFailed {
        /// What happened.
        message: String,
        /// The last lines of PostgreSQL's log.
        log_tail: Vec<String>,
        /// No new try before this many milliseconds have passed.
        retry_in_ms: u64,
    },
    /// The postmaster died.
    Crashed {
        /// How it ended, such as `signal 9`.
        how: String,
        /// The last lines of PostgreSQL's log.
        log_tail: Vec<String>,
    },
    /// A running compute was taken over from a server that died.
    Adopted {
        /// The postmaster's process ID.
        pid: u32,
    },
    /// It got another size.
    Resized {
        /// The size before.
        from_cu: Cu,
        /// The size now.
        to_cu: Cu,
        /// Why.
        reason: Reason,
        /// Processors used when it was decided, mean of a quarter of a second.
        cpu: f64,
        /// Clients that waited for a backend then.
        waiting: u32,
    },
    /// A quota of the project is nearly used up.
    QuotaSoft {
        /// What is limited.
        measure: String,
        /// How much of it is used.
        used: f64,
        /// How much there may be.
        limit: f64,
    },
    /// A quota of the project is used up.
    QuotaExceeded {
        /// What is limited.
        measure: String,
        /// How much of it is used.
        used: f64,
        /// How much there may be.
        limit: f64,
        /// Whether the project's endpoints may not be awake any more.
        suspends: bool,
    },
    /// Its working set is being read, because it wants that.
    Prewarmed {
        /// Chunks of 256 KiB that were in memory when it stopped.
        chunks: u64,
        /// Blocks of 8 KiB that PostgreSQL's `pg_prewarm` reads.
        blocks: u64,
        /// It is being filled from the store: what earlier starts read came with its boot pack.
        from_store: bool,
    },
    /// Something failed that does not change the state.
    Trouble {
        /// What.
        message: String,
    },
}

impl Happening {
    /// A change of size, as it is written down.
    #[must_use]
    pub fn resized(from: Cu, change: &Change) -> Self {
        Self::Resized {
            from_cu: from,
            to_cu: change.to,
            reason: change.reason,
            cpu: (change.cores * 1000.0).round() / 1000.0,
            waiting: change.waiting,
        }
    }
}
