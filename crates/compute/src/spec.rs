//! What to run: everything an endpoint's compute needs to know, as plain data.
//!
//! Read afresh at each start, so that a changed setting takes effect at the next wake without any
//! notification machinery.

use std::path::PathBuf;
use std::time::Duration;

use dormouse_base::{BranchId, EndpointId, Lsn, ProjectId};

use crate::limits::Bounds;

/// What happens to an endpoint that has been Paused for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseTimeout {
    /// Do not pause at all: go from Active straight to Stopped (`pause_timeout = 0`).
    Skip,
    /// Stay Paused for this long, then stop.
    After(Duration),
    /// Stay Paused until memory is short or somebody asks (`pause_timeout = -1`).
    Forever,
}

/// What a compute may do with its branch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// The one writer of its branch.
    #[default]
    ReadWrite,
    /// One of any number of readers.
    ReadOnly,
}

/// The wish list for one start of one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Its project; boots are admitted fairly between projects.
    pub project: ProjectId,
    /// The line of history that it runs on: the *storage ID* of its branch, which a restore changes while
    /// the branch keeps its name.
    pub branch: BranchId,
    /// What it may do.
    pub mode: Mode,
    /// Read-only time travel: everything that ends at or before this position, and nothing later.
    pub pinned: Option<Lsn>,
    /// PostgreSQL major version, 15 to 18.
    pub pg_major: u16,
    /// The number that picks this compute's user ID out of the range ([`crate::sandbox::identity`]).
    pub slot: u32,
    /// No work for this long puts it to sleep; `None` = never (`idle_timeout = -1`).
    pub idle_timeout: Option<Duration>,
    /// How long it stays Paused.
    pub pause_timeout: PauseTimeout,
    /// Between which sizes it may move.
    pub size: Bounds,
    /// Have its working set in memory soon after a start.
    pub prewarm: bool,
    /// PostgreSQL's `max_connections`.
    pub max_connections: u32,
    /// Libraries to preload, such as `pg_stat_statements`; ones that are not installed are left out.
    pub preload: Vec<String>,
    /// Further PostgreSQL settings of the project, checked by the control plane.
    pub settings: Vec<(String, String)>,
}

/// What can change while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// See [`Spec::size`].
    pub size: Bounds,
    /// See [`Spec::idle_timeout`].
    pub idle_timeout: Option<Duration>,
    /// See [`Spec::pause_timeout`].
    pub pause_timeout: PauseTimeout,
}

/// How a cluster on disk comes up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Recovery {
    /// As it was left: after a stop at once, after a crash by PostgreSQL's own recovery.
    #[default]
    Ordinary,
    /// With a `standby.signal`: it replays the WAL in `pg_wal` to its end, is promoted and so becomes a new timeline,
    /// before anybody gets in.
    Promote,
    /// With a `standby.signal`: it replays the WAL in `pg_wal` to its end and stays there, for readers only.
    Standby,
}

/// Where a compute's files are, and what a start on them needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directory {
    /// The cluster: what PostgreSQL calls `data_directory`, 0700, owned by the compute's user.
    pub data: PathBuf,
    /// How it comes up.
    pub recovery: Recovery,
    /// Further variables of its environment, such as the front of a directory with holes.
    pub environment: Vec<(String, String)>,
    /// Further files that it reads or executes.
    pub read: Vec<PathBuf>,
    /// Further directories that it writes to.
    pub write: Vec<PathBuf>,
}

impl Directory {
    /// A complete cluster that needs nothing special.
    #[must_use]
    pub fn plain(data: PathBuf) -> Self {
        Self { data, ..Self::default() }
    }
}
