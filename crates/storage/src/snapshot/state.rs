//! What a directory looked like when its last snapshot was taken, so that the next one reads only what
//! changed.
//!
//! A file on the node beside the cluster's directory, never in it. It is a hint: one that is missing,
//! damaged or of another snapshot costs time, nothing else. A file that changed within two seconds of the
//! scan is *racy*: a later change might leave the same times, so it is looked at again.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use super::scan::{Found, Stamp};
use crate::key::Key;
use crate::manifest::codec::{path as read_path, put_path};
use crate::manifest::wire::{Reader, Short, put_bytes, put_number};
use crate::manifest::{unwrap_envelope, wrap_envelope};

/// What the file begins with; the last byte is the version.
const MAGIC: [u8; 8] = *b"DMSTATE\x02";

/// The version without times of birth, which earlier releases wrote: files that changed since are read whole once.
const WITHOUT_BIRTH: [u8; 8] = *b"DMSTATE\x01";

/// The longest that is read, plain bytes.
const MAX_BYTES: u64 = 512 * 1024 * 1024;

/// Changes nearer to the scan than this are racy, nanoseconds.
const RACY: i64 = 2_000_000_000;

/// In the place of a time of birth that the file system does not tell.
const UNKNOWN: i64 = i64::MIN;

/// What is remembered of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) stamp: Stamp,
    pub(crate) racy: bool,
}

impl Remembered {
    /// A file that a scan at this time found.
    pub(crate) fn scanned(found: &Found, scanned_at: i64) -> Self {
        let newest = found.stamp.modified.max(found.stamp.changed);
        Self { stamp: found.stamp, racy: newest > scanned_at.saturating_sub(RACY) }
    }
}

/// What a directory looked like.
#[derive(Debug, Default, Clone)]
pub(crate) struct State {
    pub(crate) files: HashMap<String, Remembered>,
}

impl State {
    /// Reads the state that belongs to the snapshot `base`.
    pub(crate) fn load(path: &Path, base: &Key) -> Option<Self> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(%error, path = %path.display(), "the state of the last snapshot cannot be read");
                }
                return None;
            }
        };
        let has_birth = !bytes.starts_with(&WITHOUT_BIRTH);
        let magic = if has_birth { MAGIC } else { WITHOUT_BIRTH };
        let plain = unwrap_envelope(magic, &bytes, MAX_BYTES).ok()?;
        parse(&plain, base, has_birth).ok().flatten()
    }

    /// Writes the state of a snapshot, by renaming a finished file over the old one.
    pub(crate) fn save<'a>(
        path: &Path,
        base: &Key,
        files: impl ExactSizeIterator<Item = (&'a str, Remembered)>,
    ) -> io::Result<()> {
        let mut out = Vec::new();
        put_bytes(&mut out, base.as_str().as_bytes());
        put_number(&mut out, files.len() as u64);
        let mut before = "";
        for (name, Remembered { stamp, racy }) in files {
            put_path(&mut out, &mut before, name);
            out.push(u8::from(racy));
            put_number(&mut out, stamp.size);
            put_number(&mut out, stamp.inode);
            out.extend_from_slice(&stamp.modified.to_le_bytes());
            out.extend_from_slice(&stamp.changed.to_le_bytes());
            out.extend_from_slice(&stamp.born.unwrap_or(UNKNOWN).to_le_bytes());
        }
        dormouse_runtime::failpoint::hit_blocking("snapshot.state.before_write")?;
        let draft = path.with_extension("new");
        std::fs::write(&draft, wrap_envelope(MAGIC, &out))?;
        // Not synced: after a power loss it may be empty, which its hash tells.
        std::fs::rename(&draft, path)
    }
}

fn parse(plain: &[u8], base: &Key, has_birth: bool) -> Result<Option<State>, Short> {
    let mut reader = Reader::new(plain);
    if reader.text()? != base.as_str() {
        return Ok(None);
    }
    let count = reader.count(20)?;
    let (mut files, mut before) = (HashMap::with_capacity(count), String::new());
    for _ in 0..count {
        let path = read_path(&mut reader, &mut before)?;
        let racy = reader.u8()? != 0;
        let (size, inode) = (reader.number()?, reader.number()?);
        let (modified, changed) = (i64::from_le_bytes(reader.array()?), i64::from_le_bytes(reader.array()?));
        let born = if has_birth { i64::from_le_bytes(reader.array()?) } else { UNKNOWN };
        let born = (born != UNKNOWN).then_some(born);
        files.insert(path, Remembered { stamp: Stamp { size, inode, modified, changed, born }, racy });
    }
    reader.end()?;
    Ok(Some(State { files }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Stamp = Stamp { size: 8192, inode: 7, modified: 10, changed: 20, born: Some(5) };

    fn loaded(path: &Path) -> Stamp {
        State::load(path, &Key::from_store("b/m")).unwrap().files["base/5/1259"].stamp
    }

    #[test]
    fn a_file_is_the_same_only_if_it_was_made_at_the_same_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let kept = Remembered { stamp: AT, racy: false };
        State::save(&path, &Key::from_store("b/m"), [("base/5/1259", kept)].into_iter()).unwrap();
        let then = loaded(&path);
        let written = Stamp { size: 16384, modified: 11, changed: 21, ..AT };
        assert!(then.is_unchanged(&AT) && then.is_same_file(&AT) && then.is_same_file(&written));
        assert!(!then.is_unchanged(&written));
        let other = Stamp { born: Some(6), ..AT };
        assert!(!then.is_same_file(&other) && !then.is_unchanged(&other));
        let untold = Stamp { born: None, ..AT };
        assert!(!untold.is_same_file(&untold) && untold.is_unchanged(&untold));
    }

    #[test]
    fn what_an_earlier_release_wrote_says_what_did_not_change() {
        let mut out = Vec::new();
        put_bytes(&mut out, b"b/m");
        put_number(&mut out, 1);
        put_path(&mut out, &mut "", "base/5/1259");
        out.push(0);
        put_number(&mut out, AT.size);
        put_number(&mut out, AT.inode);
        out.extend_from_slice(&AT.modified.to_le_bytes());
        out.extend_from_slice(&AT.changed.to_le_bytes());
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        std::fs::write(&path, wrap_envelope(WITHOUT_BIRTH, &out)).unwrap();
        let then = loaded(&path);
        assert!(then.is_unchanged(&AT));
        assert!(!then.is_same_file(&AT), "whether it is the same file is not known");
    }
}
