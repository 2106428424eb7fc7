//! What a cluster's control file says of a directory that stands still: how far it was written at least, and whether
//! a start would go on where the register says.
//!
//! ```text
//!   recovery ended ─► standby.signal goes, the history of the new timeline is written ─► a record ends the recovery ─► ready
//!                     └──── killed here, PostgreSQL would go on on another timeline ────┘
//! ```
//!
//! The record that ends a recovery is in the control file, durably, before PostgreSQL lets anybody in. So a directory
//! whose control file does not know the writer's timeline never let anybody in and holds nothing of its own: it is
//! made again.

use std::io;
use std::path::Path;

use dormouse_base::Lsn;
use dormouse_compute::postgres::promote::RECOVERS;
use dormouse_runtime::task;
use dormouse_storage::snapshot::control_file::{self, ControlFile};
use dormouse_storage::wal::filer::Filer;

use super::home::Home;
use super::resident::Resident;
use super::{Node, NodeError};

impl Node {
    /// Files what a compute left that stands still. Tells the end of its WAL.
    ///
    /// # Errors
    /// When it cannot be filed, or PostgreSQL itself says that it wrote more than is found.
    pub(super) async fn file_rest(&self, home: &Home, filer: &Filer) -> Result<Lsn, NodeError> {
        // Not afterwards: one that is woken meanwhile writes on.
        let data = home.data();
        let control = task::blocking(move || read(&data)).await;
        let control = control.map_err(|source| damaged(home, source))?;
        let end = filer.finish().await.map_err(NodeError::part("file the WAL of a compute"))?;
        if control.checkpoint >= end {
            return Err(NodeError::Nothing(format!(
                "the stored WAL ends at {end}, but the compute wrote at least up to {}",
                control.checkpoint
            )));
        }
        Ok(end)
    }
}

fn damaged(home: &Home, source: io::Error) -> NodeError {
    if source.kind() == io::ErrorKind::InvalidData || source.kind() == io::ErrorKind::NotFound {
        return NodeError::Damaged { path: home.path.clone(), source };
    }
    NodeError::file("read the control file of", &home.path)(source)
}

fn read(data: &Path) -> io::Result<ControlFile> {
    let page = std::fs::read(data.join(control_file::PATH));
    let page = page.or_else(|_| std::fs::read(data.join(control_file::HIDDEN_PATH)))?;
    ControlFile::parse(&page).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Whether a start on this writer's directory would not go on on its timeline, because a crash interrupted its
/// promotion near the end. Nobody was ever let in then. Blocks.
pub(super) fn missed_promotion(data: &Path, resident: &Resident) -> bool {
    // What cannot be read, PostgreSQL has better words for.
    let Ok(control) = read(data) else { return false };
    if control.goes_on >= resident.timeline || control.checkpoint >= resident.from {
        return false;
    }
    if !data.join(RECOVERS).is_file() {
        return true;
    }
    // It would recover once more, along that history, and then begin the timeline after it.
    data.join("pg_wal").join(format!("{:08X}.history", resident.timeline.0)).exists()
}
