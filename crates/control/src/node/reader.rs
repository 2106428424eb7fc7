//! A read-only endpoint shows its point, never an earlier one: its control file names that as the end of recovery.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use dormouse_base::{Lsn, Timeline};
use dormouse_runtime::task;
use dormouse_storage::snapshot::control_file;

use super::NodeError;

/// The standby that starts on this draft lets nobody in before it has replayed to the end.
pub(super) async fn not_before(draft: PathBuf, end: Lsn, timeline: Timeline) -> Result<(), NodeError> {
    let files = [control_file::PATH, control_file::HIDDEN_PATH].map(|name| draft.join(name));
    task::blocking(move || {
        for file in files.iter().filter(|file| file.exists()) {
            let mut page = std::fs::read(file).map_err(NodeError::file("read", file))?;
            control_file::wait_for(&mut page, end, timeline)
                .map_err(NodeError::part("name the point that a reader waits for"))?;
            // In place: it keeps its owner, and a crash makes the draft anew.
            std::fs::OpenOptions::new()
                .write(true)
                .open(file)
                .and_then(|opened| opened.write_all_at(&page, 0))
                .map_err(NodeError::file("write", file))?;
        }
        Ok(())
    })
    .await
}
