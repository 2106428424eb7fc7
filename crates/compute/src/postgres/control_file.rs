//! `global/pg_control`: how a cluster was left, and for which build it was made.
//!
//! The structure changes a little with each major version. What is needed here is either at its
//! beginning, which has stayed the same since PostgreSQL 8, or right behind a marker that PostgreSQL
//! itself keeps there to recognise foreign machines: the number 1234567.0. (Source: PostgreSQL's
//! `pg_control.h`.) The checksum is left to PostgreSQL, which reads the file next.

use std::ops::Range;

/// The whole structure is within these first bytes of the file.
pub const LENGTH: usize = 512;

const VERSION: Range<usize> = 8..12;
const STATE: Range<usize> = 16..20;
const MARKER: [u8; 8] = 1_234_567.0f64.to_ne_bytes();

/// How a cluster was left (`DBState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Shut down in an orderly way.
    ShutDown,
    /// A standby that was shut down: its primary may be ahead.
    ShutDownInRecovery,
    /// It runs, or it was killed.
    InUse,
}

/// What the control file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlFile {
    /// How the cluster was left.
    pub left: Left,
    /// Bytes of a page.
    pub block_size: u32,
    /// Pages of a segment file of a relation.
    pub segment_pages: u32,
    /// Bytes of a page of WAL.
    pub wal_block_size: u32,
    /// Bytes of a WAL segment.
    pub wal_segment_size: u32,
}

impl ControlFile {
    /// Reads the beginning of the file; `None` = this is no control file of this kind of machine.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let word = |range: Range<usize>| Some(u32::from_ne_bytes(bytes.get(range)?.try_into().ok()?));
        // 1300 is PostgreSQL 13, 1800 is 18: far from anything that a wrong byte order gives.
        if !(900..10_000).contains(&word(VERSION)?) {
            return None;
        }
        let left = match word(STATE)? {
            1 => Left::ShutDown,
            2 => Left::ShutDownInRecovery,
            _ => Left::InUse,
        };
        let end = bytes.len().min(LENGTH);
        let at = (0..end).step_by(8).find(|at| bytes.get(*at..at + 8) == Some(&MARKER[..]))? + 8;
        let field = |number: usize| word(at + 4 * number..at + 4 * number + 4);
        Some(Self {
            left,
            block_size: field(0)?,
            segment_pages: field(1)?,
            wal_block_size: field(2)?,
            wal_segment_size: field(3)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(state: u32) -> Vec<u8> {
        let mut bytes = vec![0; 8192];
        bytes[VERSION].copy_from_slice(&1300u32.to_ne_bytes());
        bytes[STATE].copy_from_slice(&state.to_ne_bytes());
        bytes[208..216].copy_from_slice(&MARKER);
        for (number, value) in [8192u32, 131_072, 8192, 16 << 20].into_iter().enumerate() {
            bytes[216 + 4 * number..220 + 4 * number].copy_from_slice(&value.to_ne_bytes());
        }
        bytes
    }

    #[test]
    fn the_fields_are_found() {
        let found = ControlFile::parse(&sample(1)).unwrap();
        assert_eq!(found.left, Left::ShutDown);
        assert_eq!((found.block_size, found.segment_pages), (8192, 131_072));
        assert_eq!((found.wal_block_size, found.wal_segment_size), (8192, 16 << 20));
        assert_eq!(ControlFile::parse(&sample(2)).unwrap().left, Left::ShutDownInRecovery);
        assert_eq!(ControlFile::parse(&sample(6)).unwrap().left, Left::InUse);
    }

    #[test]
    fn what_is_none_is_refused() {
        assert_eq!(ControlFile::parse(b""), None);
        assert_eq!(ControlFile::parse(&[0; 8192]), None);
        assert_eq!(ControlFile::parse(&sample(1)[..210]), None, "cut before the marker's end");
        let mut other_machine = sample(1);
        other_machine[VERSION].reverse();
        assert_eq!(ControlFile::parse(&other_machine), None);
    }
}
