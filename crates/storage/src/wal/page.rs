//! The header of a WAL page.
//!
//! ```text
//!  magic u16 │ info u16 │ timeline u32 │ address u64 │ rest of a record u32 │ pad u32        short: 24 bytes
//!  … short … │ system identifier u64 │ segment size u32 │ page size u32                      long:  40 bytes
//! ```
//!
//! All numbers are little endian (the clusters of one node share its byte order, and Dormouse runs on little
//! endian machines only). The first page of a segment has the long one. A new major version of PostgreSQL is
//! one more line in [`Major::magic`].

use dormouse_base::lsn::WAL_SEGMENT;
use dormouse_base::{Lsn, Timeline};

/// Bytes in a page of WAL. Clusters with another size are refused at import.
pub const PAGE: u64 = 8192;
/// Bytes of the header of most pages.
pub const SHORT: usize = 24;
/// Bytes of the header of a segment's first page.
pub const LONG: usize = 40;

/// The page begins with the rest of a record.
const FIRST_IS_CONTRECORD: u16 = 1;
/// The header is a long one.
const LONG_HEADER: u16 = 2;
/// The record that the previous page left unfinished was lost in a crash; forget it.
const FIRST_IS_OVERWRITE_CONTRECORD: u16 = 8;
const ALL_FLAGS: u16 = 0x000f;

/// A major version of PostgreSQL whose WAL is understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Major(u32);

impl Major {
    /// The version, when its WAL is understood.
    #[must_use]
    pub fn new(major: u32) -> Option<Self> {
        (15..=18).contains(&major).then_some(Self(major))
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }

    /// What its WAL pages begin with.
    #[must_use]
    pub fn magic(self) -> u16 {
        match self.0 {
            15 => 0xD110,
            16 => 0xD113,
            17 => 0xD116,
            _ => 0xD118,
        }
    }
}

/// What is wrong with a page, as a phrase.
pub type Problem = &'static str;

/// A page's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageHeader {
    /// The timeline that the page was begun on. It may be older than the one that its later bytes belong to.
    pub timeline: Timeline,
    /// Bytes of a record from earlier pages that are still to come, this page's included; 0 = none.
    pub rest: u32,
    /// An unfinished record of the previous page is void.
    pub overwrites: bool,
    /// The cluster's identity, in a segment's first page.
    pub system_identifier: Option<u64>,
}

/// Bytes of the header of the page at `at`.
#[must_use]
pub fn header_len(at: Lsn) -> usize {
    if at.0.is_multiple_of(WAL_SEGMENT) { LONG } else { SHORT }
}

impl PageHeader {
    /// Reads the header of the page at `at` (a page's first byte), all [`header_len`] bytes of it.
    ///
    /// # Errors
    /// When it is not a page of this version, or belongs elsewhere.
    pub fn parse(major: Major, at: Lsn, bytes: &[u8]) -> Result<Self, Problem> {
        let long = header_len(at) == LONG;
        let bytes = bytes.get(..header_len(at)).ok_or(TOO_SHORT)?;
        let (magic, info) = (u16_at(bytes, 0)?, u16_at(bytes, 2)?);
        if magic != major.magic() {
            return Err(if magic == 0 { "the page is empty" } else { "the page has another magic number" });
        }
        if info & !ALL_FLAGS != 0 || (info & LONG_HEADER != 0) != long {
            return Err("the page has impossible flags");
        }
        if u64_at(bytes, 8)? != at.0 {
            return Err("the page has the address of another page");
        }
        let rest = u32_at(bytes, 16)?;
        if (info & FIRST_IS_CONTRECORD != 0) != (rest != 0) {
            return Err("the page contradicts itself about the record it continues");
        }
        if long && (u64::from(u32_at(bytes, 32)?) != WAL_SEGMENT || u64::from(u32_at(bytes, 36)?) != PAGE) {
            return Err("segments or pages have another size");
        }
        let system_identifier = long.then(|| u64_at(bytes, 24)).transpose()?;
        let overwrites = info & FIRST_IS_OVERWRITE_CONTRECORD != 0;
        Ok(Self { timeline: Timeline(u32_at(bytes, 4)?), rest, overwrites, system_identifier })
    }

    /// A header for the page at `at`, for a page whose real one is not needed but must be valid.
    #[must_use]
    pub fn made_up(major: Major, at: Lsn, timeline: Timeline, system_identifier: u64) -> Vec<u8> {
        let long = header_len(at) == LONG;
        let mut out = Vec::with_capacity(LONG);
        out.extend_from_slice(&major.magic().to_le_bytes());
        out.extend_from_slice(&(if long { LONG_HEADER } else { 0 }).to_le_bytes());
        out.extend_from_slice(&timeline.0.to_le_bytes());
        out.extend_from_slice(&at.0.to_le_bytes());
        out.extend_from_slice(&[0; 8]);
        if long {
            out.extend_from_slice(&system_identifier.to_le_bytes());
            out.extend_from_slice(&u32::try_from(WAL_SEGMENT).expect("16 MiB").to_le_bytes());
            out.extend_from_slice(&u32::try_from(PAGE).expect("8 KiB").to_le_bytes());
        }
        out
    }
}

/// The first byte of the page that holds `at`.
#[must_use]
pub fn page_start(at: Lsn) -> Lsn {
    Lsn(at.0 - at.0 % PAGE)
}

const TOO_SHORT: Problem = "it ends too early";

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Problem> {
    bytes.get(at..).and_then(|rest| rest.first_chunk::<N>()).copied().ok_or(TOO_SHORT)
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Result<u16, Problem> {
    array_at(bytes, at).map(u16::from_le_bytes)
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Result<u32, Problem> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Result<u64, Problem> {
    array_at(bytes, at).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_headers_are_read_back() {
        for number in 15..=18 {
            let major = Major::new(number).unwrap();
            for at in [Lsn(WAL_SEGMENT), Lsn(WAL_SEGMENT + PAGE)] {
                let bytes = PageHeader::made_up(major, at, Timeline(3), 77);
                assert_eq!(bytes.len(), header_len(at));
                let header = PageHeader::parse(major, at, &bytes).unwrap();
                assert_eq!((header.timeline, header.rest, header.overwrites), (Timeline(3), 0, false));
                assert_eq!(header.system_identifier, (at == Lsn(WAL_SEGMENT)).then_some(77));
                assert!(PageHeader::parse(major, at.plus(PAGE), &bytes).is_err());
                assert!(PageHeader::parse(major, at, &bytes[..20]).is_err());
            }
        }
        assert_eq!((Major::new(14), Major::new(19)), (None, None));
    }
}
