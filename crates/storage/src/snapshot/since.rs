//! What changed since the base, by the WAL that is still in the cluster's own directory.
//!
//! ```text
//!  base.redo ─────────── records: which blocks? ───────────► where this snapshot's own replay begins
//!      │  every byte is at hand, valid, and follows the one before? else nobody knows, and pages are read
//! ```
//!
//! Every change of a page of a logged relation is a record that names the block, once page checksums are on
//! (hint bits and the all-visible flag too then). A page that no record since the base's redo position names
//! is the page of the base; what comes behind this snapshot's redo position is replayed. So nothing needs to
//! be read to know it: reading eight bytes of each page takes two thirds of the time of reading all.
//!
//! What a record does not name decides how far this goes. A truncation names no blocks, and zeros that are
//! appended later have no record: such a relation is left to its pages ([`Since::of`] gives `None`). Records
//! of managers that are not PostgreSQL's own could do anything: then nothing is known. A new kind of
//! built-in manager (another major version) goes into [`LAST_MANAGER`], after a look at what its records say.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;

use dormouse_base::lsn::WAL_SEGMENT;
use dormouse_base::{Lsn, Timeline};

use super::control_file::PAGE;
use super::rules::Relation;
use crate::chunk::{self, CHUNK, SEGMENT};
use crate::manifest::Bits;
use crate::wal::blocks::{RelationName, blocks};
use crate::wal::page::{Problem, header_len, page_start, u32_at};
use crate::wal::record::{HEADER, Record};
use crate::wal::source::dir::WalDir;
use crate::wal::{Major, Reader};

/// The longest stretch of WAL that is read: as much as a compute keeps.
const MAX_WAL: u64 = 128 * 1024 * 1024;

/// Reading WAL takes about so many times longer than looking at the pages of as many bytes of data.
const DEARER: u64 = 8;

/// The most timelines that are looked for in one stretch.
const MAX_TIMELINES: u32 = 64;

/// Bytes that are read at once.
const STEP: usize = 1024 * 1024;

/// Chunks that are remembered; more are not worth it.
const MAX_CHUNKS: usize = 262_144;

/// The last of PostgreSQL's own resource managers, 15 to 18: logical messages.
const LAST_MANAGER: u8 = 21;
const SMGR: u8 = 2;
const SMGR_TRUNCATE: u8 = 0x20;
const INFO_OF_MANAGER: u8 = 0xf0;

const CHUNK_BLOCKS: u32 = (CHUNK / PAGE as u64) as u32;
const FILE_CHUNKS: u32 = (SEGMENT / CHUNK) as u32;

/// A stretch of WAL.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    pub(super) major: u16,
    /// A record begins there.
    pub(super) from: Lsn,
    /// A record begins there too, or would.
    pub(super) to: Lsn,
    /// The oldest and the newest timeline that it is written on.
    pub(super) timelines: (Timeline, Timeline),
}

/// The data that records of a stretch changed.
#[derive(Debug, Default)]
pub(super) struct Since {
    /// Chunks of the main forks, counted through all files of a relation.
    changed: HashMap<RelationName, HashSet<u32>>,
    chunks: usize,
    /// Relations that became shorter.
    cut: HashSet<RelationName>,
}

/// Reads a stretch, when that is cheaper than looking at `scanned` bytes of data. `None`: it is not, or not all
/// of it is at hand, or it says too little. Blocks.
pub(super) fn since(data: &Path, stretch: Stretch, scanned: u64) -> Option<Since> {
    let len = stretch.to.0.checked_sub(stretch.from.0)?;
    if len > MAX_WAL || len.saturating_mul(DEARER) > scanned {
        return None;
    }
    match read(data, stretch) {
        Ok(since) => Some(since),
        // Often: PostgreSQL has removed it. The pages tell as well.
        Err(error) => {
            tracing::debug!(%error, from = %stretch.from, to = %stretch.to, "changes are not looked up in the WAL");
            None
        }
    }
}

fn read(data: &Path, stretch: Stretch) -> io::Result<Since> {
    let major = Major::new(u32::from(stretch.major)).ok_or_else(|| io::Error::other("an unknown version"))?;
    let dir = WalDir::open(data)?;
    let (mut since, mut reader) = (Since::default(), Reader::at(major, stretch.from));
    while reader.position() < stretch.to {
        let at = reader.position();
        let room = stretch.to.since(at).min(WAL_SEGMENT - at.since(at.segment_start()));
        let bytes = segment_bytes(&dir, &stretch, at, STEP.min(usize::try_from(room).unwrap_or(STEP)))?;
        let mut problem = None;
        let pushed = reader.push_parts(&bytes, |record, parts| {
            if problem.is_none() {
                problem = since.note(record, parts).err();
            }
        });
        pushed.map_err(io::Error::other)?;
        if let Some(problem) = problem {
            return Err(io::Error::other(problem));
        }
    }
    // The last record ends exactly there, or a page header lies between.
    let header = stretch.to.since(page_start(stretch.to)) == header_len(page_start(stretch.to)) as u64;
    let ends = reader.end() == stretch.to || header && reader.end() == page_start(stretch.to);
    if ends && reader.is_between() { Ok(since) } else { Err(io::Error::other("no record ends there")) }
}

/// Bytes of the newest timeline that has this segment: the bytes of older ones are in front of its own there.
fn segment_bytes(dir: &WalDir, stretch: &Stretch, at: Lsn, max: usize) -> io::Result<Vec<u8>> {
    let (oldest, newest) = stretch.timelines;
    let first = oldest.0.max(newest.0.saturating_sub(MAX_TIMELINES));
    for timeline in (first..=newest.0).rev() {
        match dir.read(Timeline(timeline), at, max)? {
            Some(bytes) if bytes.len() == max => return Ok(bytes),
            Some(_) => return Err(io::Error::other("a segment is too short")),
            None => {}
        }
    }
    Err(io::Error::other(format!("the WAL at {at} is not here any more")))
}

impl Since {
    fn note(&mut self, record: &Record, parts: &[u8]) -> Result<(), Problem> {
        if record.manager > LAST_MANAGER {
            return Err("a record is not of PostgreSQL itself");
        }
        if record.manager == SMGR && parts[16] & INFO_OF_MANAGER == SMGR_TRUNCATE {
            self.cut.insert(truncated(parts)?);
        }
        for block in blocks(parts) {
            let block = block?;
            if block.fork != 0 {
                continue;
            }
            let chunks = self.changed.entry(block.relation).or_default();
            self.chunks += usize::from(chunks.insert(block.block / CHUNK_BLOCKS));
            if self.chunks > MAX_CHUNKS {
                return Err("it says too much");
            }
        }
        Ok(())
    }

    /// The chunks of this file of a relation's data that changed; `None`: its pages have to tell.
    pub(super) fn of(&self, file: Relation, size: u64) -> Option<Bits> {
        let is_it = |name: &RelationName| name.node == file.node && name.database == file.database;
        if self.cut.iter().any(is_it) {
            return None;
        }
        let mut bits = Bits::none(chunk::count(size));
        let first = file.segment.checked_mul(FILE_CHUNKS)?;
        // A relation's number is its own in its database, whatever the tablespace.
        for (_, chunks) in self.changed.iter().filter(|(name, _)| is_it(name)) {
            let here = chunks.iter().filter_map(|chunk| chunk.checked_sub(first));
            here.filter(|chunk| *chunk < FILE_CHUNKS).for_each(|chunk| bits.set(chunk));
        }
        Some(bits)
    }
}

/// What a record of a truncation is about: `data: block u32 · relation 3 × u32 · flags`, without block references.
fn truncated(record: &[u8]) -> Result<RelationName, Problem> {
    // Any other part in front of the data, such as a subtransaction's top transaction, is not expected.
    let data = match record.get(HEADER) {
        Some(255) => HEADER + 2,
        _ => return Err("a truncation has an unknown form"),
    };
    let number = |at: usize| u32_at(record, data + at);
    Ok(RelationName { space: number(4)?, database: number(8)?, node: number(12)? })
}

#[cfg(test)]
mod tests {
    use super::super::rules::Fork;
    use super::*;
    use crate::wal::Kind;

    fn noted(since: &mut Since, manager: u8, info: u8, body: &[u8]) -> Result<(), Problem> {
        let mut parts = vec![0; HEADER];
        parts.extend_from_slice(body);
        let len = u32::try_from(parts.len()).unwrap();
        parts[..4].copy_from_slice(&len.to_le_bytes());
        (parts[16], parts[17]) = (info, manager);
        since.note(&Record { start: Lsn(0), end: Lsn(0), manager, kind: Kind::Other }, &parts)
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn file(node: u32, segment: u32) -> Relation {
        Relation { database: 5, node, fork: Fork::Main, segment }
    }

    #[test]
    fn chunks_of_each_file_and_nothing_of_what_was_cut() {
        let mut since = Since::default();
        for block in [0, 31, 64, 131_072 + 32] {
            let body = [&[0, 0, 0, 0][..], &words(&[1663, 5, 16384, block])].concat();
            noted(&mut since, 10, 0, &body).unwrap();
        }
        let map = [&[0, 2, 0, 0][..], &words(&[1663, 5, 16384, 32])].concat();
        noted(&mut since, 9, 0, &map).unwrap();
        let cut = [&[255, 20][..], &words(&[7, 1663, 5, 16385, 7])].concat();
        noted(&mut since, SMGR, SMGR_TRUNCATE, &cut).unwrap();
        let of = |node, segment| {
            since.of(file(node, segment), SEGMENT).map(|bits| bits.iter().collect::<Vec<_>>())
        };
        assert_eq!(of(16384, 0), Some(vec![0, 2]));
        assert_eq!(of(16384, 1), Some(vec![1]));
        assert_eq!((of(16385, 0), of(16386, 0)), (None, Some(vec![])));
    }

    #[test]
    fn what_is_not_understood_says_nothing() {
        let mut since = Since::default();
        assert!(noted(&mut since, LAST_MANAGER + 1, 0, &[]).is_err(), "an extension's own records");
        assert!(noted(&mut since, 10, 0, &[77]).is_err());
        assert!(noted(&mut since, SMGR, SMGR_TRUNCATE, &[252, 1, 1, 1, 1]).is_err());
        let stretch = Stretch {
            major: 18,
            from: Lsn(0x100_0028),
            to: Lsn(0x100_1000),
            timelines: (Timeline(1), Timeline(2)),
        };
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("pg_wal")).unwrap();
        assert!(super::since(dir.path(), stretch, u64::MAX).is_none(), "it is not there");
        assert!(super::since(dir.path(), Stretch { to: Lsn(0), ..stretch }, u64::MAX).is_none());
    }
}
