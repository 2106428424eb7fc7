//! Reads `pg_control`, the page that says what a cluster is and how it was stopped, and sets the one field of it
//! that makes readers wait.
//!
//! The layout is a C struct of a 64-bit little-endian build, so fields have fixed places. Version 1300
//! (PostgreSQL 15 and 16), 1700 (17) and 1800 (18), which has one byte more near the end. The tests compare with what
//! `pg_controldata` prints for real clusters. Pure: bytes in, data out.

use dormouse_base::{Lsn, Timeline, lsn::WAL_SEGMENT};

/// Where it is below the cluster's directory.
pub const PATH: &str = "global/pg_control";

/// Where it is while files of the directory are still being filled; only the hydrator's front resolves it.
pub const HIDDEN_PATH: &str = dormouse_hydrate::layout::HIDDEN_CONTROL;

/// Bytes of it that are looked at; the file is 8 KiB, the rest is zeros.
pub const LEN: usize = 512;

/// What the control file says, as far as snapshots care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlFile {
    /// The cluster's identifier.
    pub system_identifier: u64,
    /// 1300 or 1800.
    pub version: u32,
    /// The version of the system catalogs; tells major versions apart.
    pub catalog_version: u32,
    /// How it was left.
    pub state: State,
    /// The last checkpoint's record.
    pub checkpoint: Lsn,
    /// Where replay from that checkpoint starts.
    pub redo: Lsn,
    /// Its timeline.
    pub timeline: Timeline,
    /// The timeline on which a start goes on that nobody asks for a recovery: that of the last checkpoint, or the one
    /// to which a promotion switched that had no checkpoint since.
    pub goes_on: Timeline,
    /// Whether pages have checksums.
    pub checksums: bool,
}

/// How a cluster was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Stopped cleanly.
    ShutDown,
    /// A standby, stopped cleanly. Not a primary, so not a clean snapshot.
    ShutDownInRecovery,
    /// Anything else: running, recovering, or crashed.
    Other(u32),
}

/// Bytes that are not a control file that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// Too short.
    #[error("the control file is too short")]
    Short,
    /// A version that is not known here.
    #[error(
        "the control file has version {0}; known are 1300 (PostgreSQL 15 and 16), 1700 (17) and 1800 (18)"
    )]
    Version(u32),
    /// The checksum is wrong.
    #[error("the control file is damaged: its checksum is wrong")]
    Checksum,
    /// A build option that Dormouse does not handle.
    #[error("the cluster has {what} {found}; only {expected} is supported")]
    Unsupported {
        /// Which.
        what: &'static str,
        /// The cluster's value.
        found: u32,
        /// The only value that is handled.
        expected: u32,
    },
}

/// Bytes of a page.
pub const PAGE: u32 = 8192;

impl ControlFile {
    /// Parses the beginning of the file.
    ///
    /// # Errors
    /// When it is damaged, or of a cluster that cannot be handled.
    pub fn parse(bytes: &[u8]) -> Result<Self, ControlError> {
        let bytes = bytes.get(..LEN).ok_or(ControlError::Short)?;
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let version = u32_at(8);
        let crc_at = crc_at(version)?;
        if crc32c::crc32c(&bytes[..crc_at]) != u32_at(crc_at) {
            return Err(ControlError::Checksum);
        }
        let segment = u32::try_from(WAL_SEGMENT).expect("16 MiB");
        let expected = [
            ("pages of", 216, PAGE),
            ("relation segments of", 220, 131_072),
            ("WAL pages of", 224, PAGE),
            ("WAL segments of", 228, segment),
        ];
        for (what, at, expected) in expected {
            let found = u32_at(at);
            if found != expected {
                return Err(ControlError::Unsupported { what, found, expected });
            }
        }
        Ok(Self {
            system_identifier: u64_at(0),
            version,
            catalog_version: u32_at(12),
            state: match u32_at(16) {
                1 => State::ShutDown,
                2 => State::ShutDownInRecovery,
                other => State::Other(other),
            },
            checkpoint: Lsn(u64_at(32)),
            redo: Lsn(u64_at(40)),
            timeline: Timeline(u32_at(48)),
            goes_on: Timeline(u32_at(48).max(u32_at(MIN_RECOVERY_TIMELINE))),
            checksums: u32_at(252) != 0,
        })
    }
}

/// Where the checksum is: behind everything that it covers.
fn crc_at(version: u32) -> Result<usize, ControlError> {
    match version {
        1300 | 1700 => Ok(288),
        1800 => Ok(292),
        other => Err(ControlError::Version(other)),
    }
}

const MIN_RECOVERY_POINT: usize = 136;
const MIN_RECOVERY_TIMELINE: usize = 144;

/// Has a standby refuse everybody until it has replayed up to `end`, which is on `timeline` (`minRecoveryPoint`:
/// before it, PostgreSQL does not think a cluster consistent). Without it a standby answers as soon as
/// the snapshot is consistent, from before the point that it was made for. A later point stays.
///
/// # Errors
/// When `page` is no control file that is known here.
pub fn wait_for(page: &mut [u8], end: Lsn, timeline: Timeline) -> Result<(), ControlError> {
    let crc_at = crc_at(ControlFile::parse(page)?.version)?;
    let before = u64::from_le_bytes(page[MIN_RECOVERY_POINT..][..8].try_into().expect("eight bytes"));
    if before >= end.0 {
        return Ok(());
    }
    page[MIN_RECOVERY_POINT..][..8].copy_from_slice(&end.0.to_le_bytes());
    page[MIN_RECOVERY_TIMELINE..][..4].copy_from_slice(&timeline.0.to_le_bytes());
    let crc = crc32c::crc32c(&page[..crc_at]);
    page[crc_at..][..4].copy_from_slice(&crc.to_le_bytes());
    Ok(())
}
