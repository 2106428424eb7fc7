//! Whether there is room for data.

use std::path::Path;

use super::{Finding, Level};

/// Less than this is worth a warning: one new project takes about 40 MB.
const LITTLE: u64 = 1 << 30;

pub(super) fn examine(data: &Path) -> Option<Finding> {
    let existing = data.ancestors().find(|dir| dir.exists())?;
    let stat = rustix::fs::statvfs(existing).ok()?;
    let free = stat.f_bavail * stat.f_frsize;
    let what = format!("{} MB are free for {}", free >> 20, data.display());
    Some(if free < LITTLE {
        Finding::new("space", Level::Warn, what).advice("free some space, or choose another --data")
    } else {
        Finding::new("space", Level::Ok, what)
    })
}
