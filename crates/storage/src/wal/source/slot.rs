//! The slot that holds a compute's WAL, as PostgreSQL keeps it on disk: `pg_replslot/<name>/state`.
//!
//! A slot that is made by a statement comes some time after the first client, and holds nothing before the last
//! checkpoint. One that lies in the directory when PostgreSQL starts holds everything from the writer's first byte on,
//! and costs the start nothing.
//!
//! ```text
//!   0  magic     4  CRC-32C of everything from 8 on     8  version    12  length of what follows
//!  16  name (64 bytes)   80  database, persistency, xmin, catalog xmin: 0 of a physical slot
//!  96  restart_lsn      104  what only logical slots have: 0
//! ```
//!
//! All little-endian; the layout is `ReplicationSlotOnDisk` of PostgreSQL's `slot.c`, the versions of 15 to 18.

use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use dormouse_base::Lsn;

use super::tap::SLOT;

/// Bytes of the file.
const LEN: usize = 200;
const MAGIC: u32 = 0x0105_1CA1;
/// Where the version, the name and the position are.
const VERSION: usize = 8;
const NAME: usize = 16;
const RESTART: usize = 96;

/// The content of the file, for a version of PostgreSQL whose format is known.
fn state(major: u16, restart: Lsn) -> Option<[u8; LEN]> {
    let version: u32 = match major {
        15 => 2,
        16 => 3,
        17 | 18 => 5,
        _ => return None,
    };
    let mut state = [0; LEN];
    let mut put = |at: usize, bytes: &[u8]| state[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &MAGIC.to_le_bytes());
    put(VERSION, &version.to_le_bytes());
    put(VERSION + 4, &((LEN - NAME) as u32).to_le_bytes());
    put(NAME, SLOT.as_bytes());
    put(RESTART, &restart.0.to_le_bytes());
    let sum = crc32c::crc32c(&state[VERSION..]);
    state[4..VERSION].copy_from_slice(&sum.to_le_bytes());
    Some(state)
}

/// Puts the slot into a directory that no PostgreSQL works on: it holds the WAL from `from` on. Tells what was made, the
/// directory first; nothing where the format is not known: there the slot comes by a statement. Not made durable.
/// Blocks.
///
/// # Errors
/// When the files cannot be written.
pub fn lay_out(data: &Path, major: u16, from: Lsn) -> io::Result<Option<[PathBuf; 2]>> {
    let Some(state) = state(major, from) else { return Ok(None) };
    let dir = data.join("pg_replslot").join(SLOT);
    match std::fs::DirBuilder::new().mode(0o700).create(&dir) {
        // Half made by a try that was interrupted.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let file = dir.join("state");
    let mut options = std::fs::OpenOptions::new();
    let mut opened = options.write(true).create(true).truncate(true).mode(0o600).open(&file)?;
    io::Write::write_all(&mut opened, &state)?;
    Ok(Some([dir, file]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What PostgreSQL 17 wrote for `pg_create_physical_replication_slot('dormouse_wal', true)` at 0/2000028.
    #[test]
    fn it_is_as_postgresql_writes_it() {
        let state = state(17, Lsn(0x0200_0028)).unwrap();
        assert_eq!(state[..4], [0xA1, 0x1C, 0x05, 0x01]);
        assert_eq!(state[8..16], [5, 0, 0, 0, 184, 0, 0, 0]);
        assert_eq!(&state[16..28], b"dormouse_wal");
        assert!(state[28..96].iter().chain(&state[104..]).all(|byte| *byte == 0));
        assert_eq!(state[96..104], [0x28, 0, 0, 2, 0, 0, 0, 0]);
        assert_eq!(state[4..8], crc32c::crc32c(&state[8..]).to_le_bytes());
        assert!(super::state(14, Lsn(1)).is_none() && super::state(19, Lsn(1)).is_none());
    }

    #[test]
    fn it_is_laid_out_once_more_after_an_interruption() {
        let dir = tempfile::tempdir().unwrap();
        assert!(lay_out(dir.path(), 18, Lsn(1)).is_err(), "no cluster");
        assert_eq!(lay_out(dir.path(), 14, Lsn(1)).unwrap(), None);
        std::fs::create_dir_all(dir.path().join("pg_replslot/dormouse_wal")).unwrap();
        let [_, file] = lay_out(dir.path(), 18, Lsn(1)).unwrap().unwrap();
        assert_eq!(std::fs::read(file).unwrap().len(), LEN);
    }
}
