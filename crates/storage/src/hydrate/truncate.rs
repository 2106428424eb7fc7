//! A truncation, ordered with fills: the front says that it is about to cut, cuts, and says how it went.
//!
//! ```text
//!   front: TRUNCATE ─► boundary chunk filled ─► file locked ─► watermark durable ─► "go"
//!   front: ftruncate
//!   front: TRUNCATED ─► ok: what lies behind is PostgreSQL's own     ─► unlocked
//!                       failed (or the size says so): watermark back ─► unlocked
//! ```
//!
//! The watermark is durable *before* the cut, so that after a crash a hole behind it is not taken for one of
//! ours. A crash between both leaves a longer file with holes behind the watermark: PostgreSQL has the
//! truncation in its log by then and makes it again before it looks there.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dormouse_runtime::failpoint::hit_blocking;
use tokio::sync::OwnedRwLockWriteGuard;

use super::beneath::{self, Missing};
use super::fill::{FillResult, Unfilled};
use super::filler::Filler;
use crate::chunk::CHUNK;

/// A cut that was allowed and not yet reported. The file is locked meanwhile.
pub(super) struct Cut {
    file: u32,
    len: u64,
    before: u64,
    _order: OwnedRwLockWriteGuard<()>,
}

/// How a cut went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Went {
    Well,
    Wrong,
    /// Nobody said; the file's size decides.
    Unknown,
}

impl Filler {
    /// Prepares a cut to `len` bytes. `None`: only what is PostgreSQL's own is cut.
    pub(super) async fn begin_cut(self: &Arc<Self>, file: u32, len: u64) -> Result<Option<Cut>, Unfilled> {
        let sparse = &self.files[file as usize];
        let boundary = u32::try_from(len / CHUNK).unwrap_or(u32::MAX);
        if sparse.gone.load(Ordering::Acquire) {
            return Ok(None);
        }
        if !len.is_multiple_of(CHUNK) && boundary < sparse.chunks {
            self.fill(file, boundary).await?;
        }
        let order = Arc::clone(&sparse.order).write_owned().await;
        let before = sparse.watermark.load(Ordering::Acquire);
        if len >= before {
            return Ok(None);
        }
        let cut = Cut { file, len, before, _order: order };
        let filler = Arc::clone(self);
        let work = move || match filler.state.mark(file, len) {
            Ok(()) => {
                filler.files[file as usize].watermark.store(len, Ordering::Release);
                Ok(Some(cut))
            }
            Err(error) => {
                tracing::error!(%error, "a truncation cannot be noted");
                // It may have reached the disk all the same.
                filler.settle_cut(&cut, Went::Wrong);
                Err(Unfilled::of(&error))
            }
        };
        self.scope.blocking(work).await
    }

    /// Ends a cut.
    pub(super) async fn end_cut(self: &Arc<Self>, cut: Cut, went: Went) {
        let filler = Arc::clone(self);
        // The lock goes with the work, and is free afterwards.
        self.scope.blocking(move || filler.settle_cut(&cut, went)).await;
    }

    /// Blocks.
    fn settle_cut(&self, cut: &Cut, went: Went) {
        let sparse = &self.files[cut.file as usize];
        let was_cut = match went {
            Went::Well => true,
            Went::Wrong => false,
            Went::Unknown => self.is_cut(cut.file, cut.len),
        };
        let settled = hit_blocking("hydrate.truncate.before_settle").and_then(|()| {
            if was_cut {
                return self.own_behind(cut.file, cut.len);
            }
            self.state.mark(cut.file, cut.before)?;
            sparse.watermark.store(cut.before, Ordering::Release);
            Ok(())
        });
        if let Err(error) = settled {
            // What lies behind stays absent: reads fail until the server starts again and looks at the size.
            tracing::error!(path = sparse.path, %error, "a truncation cannot be settled");
        }
    }

    /// Whether a file is no longer than this; one that is gone is not.
    pub(super) fn is_cut(&self, file: u32, len: u64) -> bool {
        let sparse = &self.files[file as usize];
        match beneath::open(&self.data, &sparse.path, &sparse.identity) {
            Ok((_, found)) => found.size <= len,
            Err(Missing::Gone) => {
                self.mark_gone(file);
                true
            }
            Err(Missing::Failed(_)) => false,
        }
    }

    /// What lies behind `len` is PostgreSQL's own from now on.
    pub(super) fn own_behind(&self, file: u32, len: u64) -> std::io::Result<()> {
        let sparse = &self.files[file as usize];
        for chunk in sparse.first_behind(len)..sparse.chunks {
            self.presence.set(file as usize, sparse, chunk)?;
        }
        hit_blocking("hydrate.truncate.after_settle")?;
        if sparse.absent() == 0 {
            self.publish_flags(file);
            self.news.notify_one();
        }
        Ok(())
    }

    /// Whether no path leads to a file any more. Blocks, for a moment.
    pub(super) fn is_gone(&self, file: u32) -> bool {
        let sparse = &self.files[file as usize];
        if let Err(Missing::Gone) = beneath::open(&self.data, &sparse.path, &sparse.identity) {
            self.mark_gone(file);
        }
        sparse.gone.load(Ordering::Acquire)
    }

    /// The front says that a file was unlinked. It may lie, so look.
    pub(super) async fn check_gone(self: &Arc<Self>, file: u32) -> FillResult {
        let filler = Arc::clone(self);
        self.scope.blocking(move || filler.is_gone(file)).await;
        Ok(())
    }
}
