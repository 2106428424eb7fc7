//! Getting WAL back: from pieces in the store (and whatever is at hand) to files that a recovery can use.
//!
//! ```text
//!  line (who wrote what) ──► plan (which pieces; no hole) ──► fetch (parallel, verified) ──► assemble ──► pg_wal/
//!                                                                                    └─────► moment (time → LSN)
//! ```
//!
//! A [`Line`] is what `branch::line` decides: for every position there is one writer whose bytes count. Bytes
//! of a piece outside its writer's stretch are ignored, however they came there. Overlapping pieces hold the
//! same bytes.

use std::sync::Arc;
use std::{fmt, io};

use dormouse_base::{BranchId, Epoch, Lsn, ProjectId, Timeline};

use super::page::Major;
use super::piece::PieceError;
use super::reader::Invalid;
use crate::key::Key;
use crate::object::StoreError;

mod assemble;
mod check;
mod fetch;
mod history;
mod moment;
mod plan;
mod segments;
mod tail;

pub use assemble::{Assembled, Target, assemble};
pub use check::{Report, check};
pub use history::histories;
pub use moment::{Moment, find_moment};
pub use plan::{Origin, Part, plan};
pub use tail::{LocalWal, MAX_TAIL, Tail};

/// What one writer contributes to a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// The branch that was written to.
    pub branch: BranchId,
    /// The writer.
    pub epoch: Epoch,
    /// Its timeline.
    pub timeline: Timeline,
    /// Its first byte that counts.
    pub from: Lsn,
    /// Behind its last byte that counts.
    pub to: Lsn,
}

/// A history up to some point: stretches in order, where one ends the next begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The project of all its branches.
    pub project: ProjectId,
    /// PostgreSQL's version.
    pub major: Major,
    /// Who wrote what.
    pub stretches: Vec<Stretch>,
}

impl Line {
    /// The timeline that was written on at `lsn`, if the line has it.
    #[must_use]
    pub fn timeline_at(&self, lsn: Lsn) -> Option<Timeline> {
        self.stretches.iter().find(|s| s.from <= lsn && lsn < s.to).map(|s| s.timeline)
    }
}

/// WAL that need not come from the store: a boot pack's, or the files of a compute on this node. The caller
/// vouches that its bytes are the line's.
pub trait AtHand: Send + Sync + std::fmt::Debug {
    /// The timeline of its bytes.
    fn timeline(&self) -> Timeline;
    /// What it is, for people who look for the cause of an error.
    fn name(&self) -> String;
    /// First byte, and behind the last byte.
    fn range(&self) -> (Lsn, Lsn);
    /// Reads from `from` (within the range) on: at least one byte, at most `max`. May block.
    ///
    /// # Errors
    /// When the bytes cannot be read after all.
    fn read(&self, from: Lsn, max: usize) -> io::Result<Vec<u8>>;
    /// The identity of the cluster, when it is known.
    fn system_identifier(&self) -> Option<u64> {
        None
    }
}

/// Several suppliers, in order of preference.
pub type Hands = [Arc<dyn AtHand>];

/// A stretch of bytes and who supplied it, so that whoever reads of bad ones knows where to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Supplied {
    /// The first byte.
    pub from: Lsn,
    /// Behind the last.
    pub to: Lsn,
    /// The key of a piece, or what was at hand.
    pub by: String,
    /// They did not come from the store, which may have better ones.
    pub at_hand: bool,
}

impl Supplied {
    fn of(part: &Part, hands: &Hands) -> Self {
        let (by, at_hand) = match &part.origin {
            Origin::Piece { key, .. } => (format!("the piece {key}"), false),
            Origin::AtHand(hand) => (format!("what was at hand: {}", hands[*hand].name()), true),
        };
        Self { from: part.from, to: part.to, by, at_hand }
    }
}

impl fmt::Display for Supplied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the bytes from {} to {} of {}", self.from, self.to, self.by)
    }
}

/// WAL could not be got back.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The store.
    #[error("cannot read WAL from the store")]
    Store(#[source] StoreError),
    /// A piece is damaged.
    #[error("the piece of WAL {key} is damaged")]
    Piece {
        /// The piece.
        key: Key,
        /// How.
        #[source]
        source: PieceError,
    },
    /// Nobody has these bytes.
    #[error("the WAL from {from} to {to} is missing")]
    Missing {
        /// The first missing byte.
        from: Lsn,
        /// Behind the last.
        to: Lsn,
    },
    /// The bytes are as they were filed, or as somebody had them at hand, but they are no WAL.
    #[error("recovery would end too early, in {part}")]
    Invalid {
        /// Which bytes, and who supplied them.
        part: Supplied,
        /// What is wrong with them.
        #[source]
        source: Invalid,
    },
    /// What was said to be at hand is not.
    #[error("cannot read the WAL from {from} to {to} of {name}")]
    Hand {
        /// Who was to supply it.
        name: String,
        /// The first byte that was wanted.
        from: Lsn,
        /// Behind the last.
        to: Lsn,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The first segment needs a header, and nobody knows the identity of the cluster.
    #[error("the identity of the cluster is not known")]
    NoIdentity,
    /// The directory that is written to.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl ReadError {
    /// Whether bytes that were to be at hand were wrong or gone: a compute's files change, and the store may have
    /// them by now.
    #[must_use]
    pub fn blames_a_hand(&self) -> bool {
        match self {
            Self::Invalid { part, .. } => part.at_hand,
            Self::Hand { .. } => true,
            _ => false,
        }
    }

    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
