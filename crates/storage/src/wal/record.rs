//! The header of a WAL record, and the few kinds that matter here.
//!
//! ```text
//!  length u32 │ xid u32 │ previous record u64 │ info u8 │ manager u8 │ pad u16 │ CRC-32C u32 │ parts … │ data
//!  part: 253 origin u16 · 252 top xid u32 · 255 length u8 · 254 length u32 (the last: what follows is data)
//! ```
//!
//! The CRC covers what follows the header, then the header up to the CRC. A record begins at a multiple of
//! eight; the position behind it is the next such multiple.

use dormouse_base::{Lsn, Timeline};

use super::page::{Problem, u16_at, u32_at, u64_at};

/// Bytes of a record's header.
pub const HEADER: usize = 24;
/// Where the CRC is.
pub(super) const CRC_AT: usize = 20;
/// The largest record (PostgreSQL cannot allocate more).
pub const MAX_RECORD: u32 = 0x3fff_ffff;
/// Bytes of a record that are kept to be understood: all parts before its data fit (33 block references of at
/// most 27 bytes each, 37 bytes besides), and the beginning of a commit's or checkpoint's data.
pub(super) const KEPT: usize = 1024;

const RM_XLOG: u8 = 0;
const RM_XACT: u8 = 1;
const INFO_OF_MANAGER: u8 = 0xf0;
const CHECKPOINT_SHUTDOWN: u8 = 0x00;
const CHECKPOINT_ONLINE: u8 = 0x10;
const SWITCH: u8 = 0x40;
const END_OF_RECOVERY: u8 = 0x90;
const XACT_KIND: u8 = 0x70;
const COMMIT: u8 = 0x00;
const COMMIT_PREPARED: u8 = 0x30;
pub(super) const PART_DATA_SHORT: u8 = 255;
pub(super) const PART_DATA_LONG: u8 = 254;
pub(super) const PART_ORIGIN: u8 = 253;
pub(super) const PART_TOP_XID: u8 = 252;

/// A record's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    /// Bytes, header included, page headers in between not.
    pub len: u32,
    /// The start of the record before.
    pub prev: Lsn,
    /// Flags; the upper four bits belong to the manager.
    pub info: u8,
    /// The resource manager.
    pub manager: u8,
    /// The checksum.
    pub crc: u32,
}

impl RecordHeader {
    /// Reads all [`HEADER`] bytes.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let [info, manager] = u16_at(bytes, 16)?.to_le_bytes();
        Ok(Self {
            len: u32_at(bytes, 0)?,
            prev: Lsn(u64_at(bytes, 8)?),
            info,
            manager,
            crc: u32_at(bytes, CRC_AT)?,
        })
    }

    /// Whether the rest of the segment is unused.
    #[must_use]
    pub fn is_switch(&self) -> bool {
        self.manager == RM_XLOG && self.info & INFO_OF_MANAGER == SWITCH
    }

    /// What it is about. `bytes` begin with the header and hold at least the first [`KEPT`] bytes, or all.
    #[must_use]
    pub fn kind(&self, bytes: &[u8]) -> Kind {
        let data = || data_at(bytes).unwrap_or(usize::MAX);
        let number = |at: usize| u64_at(bytes, data().saturating_add(at)).ok();
        let timeline = |at: usize| u32_at(bytes, data().saturating_add(at)).ok().map(Timeline);
        let kind = match (self.manager, self.info & INFO_OF_MANAGER) {
            (RM_XACT, info) if matches!(info & XACT_KIND, COMMIT | COMMIT_PREPARED) => {
                number(0).map(|time| Kind::Commit { time })
            }
            (RM_XLOG, info @ (CHECKPOINT_SHUTDOWN | CHECKPOINT_ONLINE)) => {
                number(0).zip(timeline(8)).map(|(redo, timeline)| Kind::Checkpoint {
                    redo: Lsn(redo),
                    timeline,
                    shutdown: info == CHECKPOINT_SHUTDOWN,
                })
            }
            (RM_XLOG, END_OF_RECOVERY) => timeline(8).map(|timeline| Kind::EndOfRecovery { timeline }),
            (RM_XLOG, SWITCH) => Some(Kind::Switch),
            _ => None,
        };
        kind.unwrap_or(Kind::Other)
    }
}

/// What a record is about, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A transaction committed.
    Commit {
        /// When, microseconds since 2000-01-01 by the compute's clock. Not monotonic.
        time: u64,
    },
    /// A checkpoint.
    Checkpoint {
        /// Where replay from it starts.
        redo: Lsn,
        /// Its timeline.
        timeline: Timeline,
        /// The server stopped behind it.
        shutdown: bool,
    },
    /// A promotion.
    EndOfRecovery {
        /// The timeline that begins.
        timeline: Timeline,
    },
    /// The rest of the segment is unused.
    Switch,
    /// Anything else.
    Other,
}

/// Where the data of a record without block references begins.
fn data_at(bytes: &[u8]) -> Option<usize> {
    let mut at = HEADER;
    // At most one part of each kind is in a real record; a fifth turn means garbage.
    for _ in 0..5 {
        match *bytes.get(at)? {
            PART_DATA_SHORT => return Some(at + 2),
            PART_DATA_LONG => return Some(at + 5),
            PART_ORIGIN => at += 3,
            PART_TOP_XID => at += 5,
            // A block reference: commits and checkpoints have none.
            _ => return None,
        }
    }
    None
}

/// A whole record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// Its first byte.
    pub start: Lsn,
    /// Behind it, rounded up to eight; behind the segment for a switch. PostgreSQL calls it the record's LSN.
    pub end: Lsn,
    /// The resource manager.
    pub manager: u8,
    /// What it is about.
    pub kind: Kind,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(manager: u8, info: u8, parts: &[u8], data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        (bytes[16], bytes[17]) = (info, manager);
        bytes.extend_from_slice(parts);
        bytes.extend_from_slice(data);
        bytes
    }

    fn kind(bytes: &[u8]) -> Kind {
        RecordHeader::parse(bytes).unwrap().kind(bytes)
    }

    #[test]
    fn commit_times_behind_any_parts() {
        let time = 77_u64.to_le_bytes();
        let commit = Kind::Commit { time: 77 };
        assert_eq!(kind(&record(RM_XACT, 0x80, &[255, 8], &time)), commit);
        assert_eq!(kind(&record(RM_XACT, COMMIT_PREPARED, &[254, 8, 0, 0, 0], &time)), commit);
        assert_eq!(kind(&record(RM_XACT, COMMIT, &[253, 1, 1, 252, 1, 1, 1, 1, 255, 8], &time)), commit);
        assert_eq!(kind(&record(RM_XACT, 0x20, &[255, 8], &time)), Kind::Other);
        assert_eq!(kind(&record(RM_XACT, COMMIT, &[253; 60], &time)), Kind::Other);
        assert_eq!(kind(&record(RM_XACT, COMMIT, &[255, 8], &time[..7])), Kind::Other);
    }
}
