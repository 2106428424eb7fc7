//! Where the WAL of a cleanly stopped cluster ends: behind its shutdown checkpoint.
//!
//! A record is not simply so many bytes long: where it crosses a page, the header of the next page lies
//! between (24 bytes; 40 at the beginning of a segment file). The record's checksum is verified, because
//! this position decides what belongs to the snapshot and what the next writer writes.

use std::io;

use dormouse_base::{Lsn, lsn::WAL_SEGMENT};

/// Bytes of a page of WAL.
pub const WAL_PAGE: u64 = 8192;

/// Header of a page; of the first page of a segment file.
const SHORT_HEADER: u64 = 24;
const LONG_HEADER: u64 = 40;

/// Header of a record.
const RECORD_HEADER: usize = 24;

/// A checkpoint's record is about 120 bytes; one of more than this is damage.
const LONGEST_CHECKPOINT: u32 = 1024;

/// The record is not there or not a shutdown checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum WalEndError {
    /// The WAL cannot be read.
    #[error("cannot read the WAL at {at}")]
    Read {
        /// Where.
        at: Lsn,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Something else is there.
    #[error("the WAL at {at} is not a shutdown checkpoint: {what}")]
    NotACheckpoint {
        /// Where.
        at: Lsn,
        /// What is wrong.
        what: &'static str,
    },
}

/// Gives one whole page of WAL, by the position of its first byte.
pub(crate) type ReadPage<'a> = &'a dyn Fn(Lsn) -> io::Result<Vec<u8>>;

/// The position behind the shutdown checkpoint at `checkpoint`: where PostgreSQL goes on writing.
///
/// # Errors
/// When there is no such record.
pub(crate) fn end_of_checkpoint(checkpoint: Lsn, read: ReadPage<'_>) -> Result<Lsn, WalEndError> {
    let wrong = |what| WalEndError::NotACheckpoint { at: checkpoint, what };
    let mut at = checkpoint.0;
    if !at.is_multiple_of(8) || at % WAL_PAGE < SHORT_HEADER {
        return Err(wrong("its position is impossible"));
    }
    let mut record = Vec::new();
    let mut wanted = 8;
    let mut first = true;
    while record.len() < wanted {
        let start = Lsn(at - at % WAL_PAGE);
        let page = read(start).map_err(|source| WalEndError::Read { at: start, source })?;
        if page.len() as u64 != WAL_PAGE || page[8..16] != start.0.to_le_bytes() {
            return Err(wrong("a page is of another place"));
        }
        if !first {
            at += if at.is_multiple_of(WAL_SEGMENT) { LONG_HEADER } else { SHORT_HEADER };
        }
        let rest = &page[(at % WAL_PAGE) as usize..];
        if first {
            // Records begin at multiples of 8, so the length is never cut by the end of a page.
            let len = u32::from_le_bytes(rest[..4].try_into().expect("four bytes"));
            if !(RECORD_HEADER as u32..=LONGEST_CHECKPOINT).contains(&len) {
                return Err(wrong("its length is impossible"));
            }
            wanted = len as usize;
            first = false;
        }
        let part = &rest[..rest.len().min(wanted - record.len())];
        record.extend_from_slice(part);
        at += part.len() as u64;
    }
    check(&record).map_err(wrong)?;
    Ok(Lsn(at.next_multiple_of(8)))
}

fn check(record: &[u8]) -> Result<(), &'static str> {
    let crc = crc32c::crc32c_append(crc32c::crc32c(&record[RECORD_HEADER..]), &record[..20]);
    if record[20..24] != crc.to_le_bytes() {
        return Err("its checksum is wrong");
    }
    // Resource manager 0 is the WAL itself; its record 0 (the upper four bits) a shutdown checkpoint.
    if record[17] != 0 || record[16] & 0xf0 != 0 {
        return Err("it is another record");
    }
    Ok(())
}

/// The pages that a start reads: the first of each segment file, and those from the checkpoint to the end.
pub(crate) fn pages_of_start(checkpoint: Lsn, end: Lsn) -> Vec<Lsn> {
    let mut pages = vec![checkpoint.segment_start()];
    let mut at = checkpoint.0 - checkpoint.0 % WAL_PAGE;
    // The page at `end` is read too where it has begun; at a boundary it has not.
    while at < end.0 {
        pages.push(Lsn(at));
        at += WAL_PAGE;
    }
    pages.sort_unstable();
    pages.dedup();
    pages
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// WAL with one record at a place, cut over pages as PostgreSQL does.
    fn wal(at: u64, record: &[u8]) -> BTreeMap<u64, Vec<u8>> {
        let mut pages: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        let (mut at, mut rest) = (at, record);
        while !rest.is_empty() {
            let start = at - at % WAL_PAGE;
            let page = pages.entry(start).or_insert_with(|| {
                let mut page = vec![0; WAL_PAGE as usize];
                page[8..16].copy_from_slice(&start.to_le_bytes());
                page
            });
            if at == start {
                at += if at.is_multiple_of(WAL_SEGMENT) { LONG_HEADER } else { SHORT_HEADER };
            }
            let len = rest.len().min((start + WAL_PAGE - at) as usize);
            page[(at - start) as usize..][..len].copy_from_slice(&rest[..len]);
            (at, rest) = (at + len as u64, &rest[len..]);
        }
        pages
    }

    fn checkpoint_record() -> Vec<u8> {
        let mut record: Vec<u8> = (0..114u8).collect();
        record[..4].copy_from_slice(&114u32.to_le_bytes());
        (record[16], record[17]) = (0, 0);
        let crc = crc32c::crc32c_append(crc32c::crc32c(&record[24..]), &record[..20]);
        record[20..24].copy_from_slice(&crc.to_le_bytes());
        record
    }

    #[test]
    fn the_end_counts_the_headers_between() {
        let base = WAL_SEGMENT * 3;
        for (start, end) in [
            (base + 40, base + 40 + 120),
            (base + 8192 - 8, base + 8192 + 24 + 112),
            (base - 24, base + 40 + 96),
            (base + 8192 - 120, base + 8192),
        ] {
            let pages = wal(start, &checkpoint_record());
            let read = |at: Lsn| pages.get(&at.0).cloned().ok_or_else(|| io::Error::other("no page"));
            assert_eq!(end_of_checkpoint(Lsn(start), &read).unwrap(), Lsn(end), "{start:x}");
            for page in pages_of_start(Lsn(start), Lsn(end)) {
                assert!(pages.contains_key(&page.0) || page.0.is_multiple_of(WAL_SEGMENT), "{page}");
            }
        }
    }

    #[test]
    fn a_damaged_record_is_noticed() {
        let start = WAL_SEGMENT + 8192 - 8;
        let mut pages = wal(start, &checkpoint_record());
        pages.get_mut(&(WAL_SEGMENT + 8192)).unwrap()[60] ^= 1;
        let read = |at: Lsn| pages.get(&at.0).cloned().ok_or_else(|| io::Error::other("no page"));
        assert!(matches!(end_of_checkpoint(Lsn(start), &read), Err(WalEndError::NotACheckpoint { .. })));
    }
}
