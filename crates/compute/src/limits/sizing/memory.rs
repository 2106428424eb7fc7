//! Limits of memory, set so that nobody is killed for it.
//!
//! Version 2 kills at once when `memory.max` becomes less than what is held. So that limit never goes below what the
//! group uses at the moment; what can be dropped is dropped first, by `memory.high`, which kills nobody:
//!
//! ```text
//!  1  memory.max  ◄ its largest size, or more if more is used    so that it never has less than its size
//!  2  memory.high ◄ its size                                     the kernel takes back what it can
//!  3  memory.max  ◄ its largest size, or more if more is used    ─► `Fit::Later` if that is still so
//! ```
//!
//! Version 1 refuses a limit that it cannot bring about, and the one before it stays.

use std::fs;
use std::io;
use std::path::Path;

use super::{Fit, write};

/// Room above what is used, where that is more than the largest size: for what is taken while we write. A quarter of it
/// and this, bytes.
const ROOM: u64 = 64 << 20;

/// `size`, `most`: bytes; `None` is no limit.
pub(super) fn of_v2(dir: &Path, size: Option<u64>, most: Option<u64>) -> io::Result<Fit> {
    let said = |bytes: Option<u64>| bytes.map_or_else(|| "max".to_owned(), |bytes| bytes.to_string());
    let bounded = |most: u64| -> io::Result<Fit> {
        let used = number(dir, "memory.current")?;
        let wide = used + used / 4 + ROOM;
        let fits = used <= most;
        write(dir, "memory.max", &said(Some(if fits { most } else { wide })))?;
        Ok(if fits { Fit::Now } else { Fit::Later })
    };
    let Some(most) = most else {
        write(dir, "memory.max", "max")?;
        write(dir, "memory.high", &said(size))?;
        return Ok(Fit::Now);
    };
    let first = bounded(most)?;
    write(dir, "memory.high", &said(size))?;
    if first == Fit::Now { Ok(first) } else { bounded(most) }
}

/// The same in version 1.
pub(super) fn of_v1(dir: &Path, size: Option<u64>, most: Option<u64>) -> io::Result<Fit> {
    let said = |bytes: Option<u64>| bytes.map_or_else(|| "-1".to_owned(), |bytes| bytes.to_string());
    write(dir, "memory.soft_limit_in_bytes", &said(size))?;
    match write(dir, "memory.limit_in_bytes", &said(most)) {
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(Fit::Later),
        outcome => outcome.map(|()| Fit::Now),
    }
}

fn number(dir: &Path, name: &str) -> io::Result<u64> {
    let path = dir.join(name);
    let text = fs::read_to_string(&path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    text.trim().parse().map_err(|_| io::ErrorKind::InvalidData.into())
}
