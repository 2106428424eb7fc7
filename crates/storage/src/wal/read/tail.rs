//! WAL at hand: the tail that a boot pack carries, and the files of a compute on this node.
//!
//! ```text
//!  tail:  magic "DORMTAIL" · format u32 · timeline u32 · start u64 · length u64 · head (40) · CRC-32C u32 · bytes
//! ```
//!
//! A tail is the pages from the redo position's to the end, and the header of the segment's first page, which
//! PostgreSQL looks at before it reads any other.

use std::io;
use std::sync::Arc;

use dormouse_base::{Lsn, Timeline};
use dormouse_runtime::failpoint;

use super::AtHand;
use crate::key::FORMAT_VERSION;
use crate::wal::page::{LONG, page_start, u32_at, u64_at};
use crate::wal::source::dir::WalDir;

const MAGIC: [u8; 8] = *b"DORMTAIL";
const HEADER: usize = 8 + 8 + 16 + LONG + 4;
/// The largest tail: what one checkpoint and the backup around it can leave behind. A boot pack with more
/// would be slower than reading pieces.
pub const MAX_TAIL: u64 = 64 * 1024 * 1024;

/// The WAL that a start from a snapshot needs first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    timeline: Timeline,
    start: Lsn,
    head: [u8; LONG],
    bytes: Vec<u8>,
}

impl Tail {
    /// Takes the WAL from the page of `redo` to `end` out of a compute's files. Blocks.
    ///
    /// # Errors
    /// When it is larger than [`MAX_TAIL`], not there, or not readable.
    pub fn take(dir: &WalDir, timeline: Timeline, redo: Lsn, end: Lsn) -> io::Result<Self> {
        let start = page_start(redo);
        if end.since(start) > MAX_TAIL {
            return Err(io::Error::other("too much WAL for a boot pack"));
        }
        let missing = || io::Error::new(io::ErrorKind::NotFound, "a WAL segment is missing");
        let first = dir.read(timeline, start.segment_start(), LONG)?.ok_or_else(missing)?;
        let head = *first.first_chunk::<LONG>().ok_or_else(missing)?;
        let mut bytes = Vec::new();
        while start.plus(bytes.len() as u64) < end {
            let at = start.plus(bytes.len() as u64);
            let max = usize::try_from(end.since(at)).expect("checked above");
            bytes.extend(dir.read(timeline, at, max)?.ok_or_else(missing)?);
        }
        Ok(Self { timeline, start, head, bytes })
    }

    /// As bytes, for a boot pack (which compresses them).
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER + self.bytes.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&self.timeline.0.to_le_bytes());
        out.extend_from_slice(&self.start.0.to_le_bytes());
        out.extend_from_slice(&(self.bytes.len() as u64).to_le_bytes());
        out.extend_from_slice(&self.head);
        let crc = crc32c::crc32c_append(crc32c::crc32c(&out), &self.bytes);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&self.bytes);
        out
    }

    /// Reads what [`Tail::encode`] wrote; `None` when it is anything else.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, body) = bytes.split_at_checked(HEADER)?;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&head[..HEADER - 4]), body);
        let sound = head[..8] == MAGIC
            && u32_at(head, 8) == Ok(FORMAT_VERSION)
            && u64_at(head, 24) == Ok(body.len() as u64)
            && u32_at(head, HEADER - 4) == Ok(crc);
        sound.then(|| {
            Some(Self {
                timeline: Timeline(u32_at(head, 12).ok()?),
                start: Lsn(u64_at(head, 16).ok()?),
                head: *head[32..].first_chunk::<LONG>()?,
                bytes: body.to_vec(),
            })
        })?
    }
}

impl AtHand for Tail {
    fn name(&self) -> String {
        "the WAL that a boot pack carries".to_owned()
    }

    fn timeline(&self) -> Timeline {
        self.timeline
    }

    fn range(&self) -> (Lsn, Lsn) {
        (self.start, self.start.plus(self.bytes.len() as u64))
    }

    fn read(&self, from: Lsn, max: usize) -> io::Result<Vec<u8>> {
        let at = usize::try_from(from.since(self.start)).unwrap_or(usize::MAX);
        let rest = self.bytes.get(at..).unwrap_or_default();
        Ok(rest[..rest.len().min(max)].to_vec())
    }

    fn system_identifier(&self) -> Option<u64> {
        u64_at(&self.head, 24).ok().filter(|found| *found != 0)
    }
}

/// A compute's own files, for bytes that are not filed yet.
#[derive(Debug)]
pub struct LocalWal {
    /// Its `pg_wal`.
    pub dir: Arc<WalDir>,
    /// Its timeline.
    pub timeline: Timeline,
    /// The first byte that is the writer's, or later.
    pub from: Lsn,
    /// Behind the last byte that is flushed.
    pub to: Lsn,
}

impl AtHand for LocalWal {
    fn name(&self) -> String {
        format!("the files of a compute on this node, {} from {} to {}", self.timeline, self.from, self.to)
    }

    fn timeline(&self) -> Timeline {
        self.timeline
    }

    fn range(&self) -> (Lsn, Lsn) {
        (self.from, self.to)
    }

    fn read(&self, from: Lsn, max: usize) -> io::Result<Vec<u8>> {
        failpoint::hit_blocking("wal.hand.read")?;
        let read = self.dir.read(self.timeline, from, max)?;
        read.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "a WAL segment was recycled"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_read_back_and_damage_is_noticed() {
        let tail = Tail { timeline: Timeline(2), start: Lsn(8192), head: [3; LONG], bytes: vec![7; 100] };
        let bytes = tail.encode();
        assert_eq!(Tail::decode(&bytes), Some(tail));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(Tail::decode(&changed), None, "{at}");
        }
        assert_eq!(Tail::decode(&bytes[..bytes.len() - 1]), None);
    }
}
