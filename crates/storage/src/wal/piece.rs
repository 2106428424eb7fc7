//! A piece of WAL as the store holds it: a header that says all that is needed to use it alone, then the
//! bytes, compressed.
//!
//! ```text
//!   0  magic "DORMWAL1"                8  format u32 · PostgreSQL's major version u32
//!  16  timeline u32 · pad u32         24  start u64 · end u64
//!  40  first record u64 · last end u64        where reading can begin; behind the last whole record; 0 = none
//!  56  first commit u64 · last commit u64     smallest and largest commit time in it; 0 = none
//!  72  last commit so far u64                 what the key says
//!  80  BLAKE3-128 of the plain bytes (16) · stored bytes u32 · CRC-32C of all of this u32
//! 104  zstd
//! ```
//!
//! All numbers are little endian; times are microseconds since 2000-01-01.

use bytes::Bytes;
use dormouse_base::{Lsn, Timeline};

use super::page::{Major, u32_at, u64_at};
use crate::chunk::Hash;
use crate::key::{FORMAT_VERSION, PieceName};

/// Plain bytes in a piece, at most.
pub const MAX_PIECE: u64 = 16 * 1024 * 1024;
/// How hard to compress: the level that costs the compute's node least.
const LEVEL: i32 = 1;
const MAGIC: [u8; 8] = *b"DORMWAL1";
const HEADER: usize = 104;

/// What a piece says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PieceHeader {
    /// Whose WAL it is.
    pub major: Major,
    /// The timeline it was written on.
    pub timeline: Timeline,
    /// The first byte.
    pub start: Lsn,
    /// Behind the last byte.
    pub end: Lsn,
    /// Where the first record begins that begins in it.
    pub first_record: Option<Lsn>,
    /// Behind the last record that ends in it.
    pub last_end: Option<Lsn>,
    /// The smallest and the largest commit time in it.
    pub commits: Option<(u64, u64)>,
    /// The largest commit time up to `end`, 0 = none.
    pub last_commit: u64,
}

impl PieceHeader {
    /// Its name in the store.
    #[must_use]
    pub fn name(&self) -> PieceName {
        PieceName { start: self.start, end: self.end, last_commit: self.last_commit }
    }
}

/// An object that is not the piece it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PieceError {
    /// Not a piece of WAL, or of a later format.
    #[error("it is not a piece of WAL: {0}")]
    Shape(&'static str),
    /// The compressed bytes are damaged.
    #[error("its bytes are damaged: {0}")]
    Damaged(&'static str),
}

/// Makes the object. Costs a few milliseconds for each MiB: not for the executor's threads.
#[must_use]
pub fn encode(header: &PieceHeader, plain: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(HEADER + plain.len() / 3);
    out.extend_from_slice(&MAGIC);
    for number in [FORMAT_VERSION, header.major.number(), header.timeline.0, 0] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    let lsn = |lsn: Option<Lsn>| lsn.map_or(0, |lsn| lsn.0);
    let (first_commit, own_last) = header.commits.unwrap_or_default();
    for number in [
        header.start.0,
        header.end.0,
        lsn(header.first_record),
        lsn(header.last_end),
        first_commit,
        own_last,
        header.last_commit,
    ] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&Hash::of(plain).0);
    let body = zstd::bulk::compress(plain, LEVEL).expect("compressing into memory that grows cannot fail");
    out.extend_from_slice(&u32::try_from(body.len()).expect("a piece is small").to_le_bytes());
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&body);
    Bytes::from(out)
}

/// Reads the header alone.
///
/// # Errors
/// When it is not the header of a piece.
pub fn decode_header(object: &[u8]) -> Result<PieceHeader, PieceError> {
    let head = object.get(..HEADER).ok_or(PieceError::Shape("it is too short"))?;
    if head[..8] != MAGIC {
        return Err(PieceError::Shape("it begins with something else"));
    }
    let int = |at| u32_at(head, at).map_err(PieceError::Shape);
    let long = |at| u64_at(head, at).map_err(PieceError::Shape);
    if int(8)? != FORMAT_VERSION {
        return Err(PieceError::Shape("it has a later format"));
    }
    if crc32c::crc32c(&head[..HEADER - 4]) != int(HEADER - 4)? {
        return Err(PieceError::Shape("its header is damaged"));
    }
    let lsn = |at| long(at).map(|n| (n != 0).then_some(Lsn(n)));
    let header = PieceHeader {
        major: Major::new(int(12)?).ok_or(PieceError::Shape("it is of an unknown version of PostgreSQL"))?,
        timeline: Timeline(int(16)?),
        start: Lsn(long(24)?),
        end: Lsn(long(32)?),
        first_record: lsn(40)?,
        last_end: lsn(48)?,
        commits: Some((long(56)?, long(64)?)).filter(|(_, last)| *last != 0),
        last_commit: long(72)?,
    };
    if header.start >= header.end || header.end.since(header.start) > MAX_PIECE {
        return Err(PieceError::Shape("it has an impossible size"));
    }
    Ok(header)
}

/// Reads a whole piece and proves its bytes. Not for the executor's threads.
///
/// # Errors
/// When it is no piece, or anything in it has changed.
pub fn decode(object: &[u8]) -> Result<(PieceHeader, Vec<u8>), PieceError> {
    let header = decode_header(object)?;
    let body = &object[HEADER..];
    if body.len() as u64 != u64::from(u32_at(object, 96).map_err(PieceError::Shape)?) {
        return Err(PieceError::Damaged("it has another length"));
    }
    let wanted = usize::try_from(header.end.since(header.start)).expect("a piece is small");
    let plain =
        zstd::bulk::decompress(body, wanted).map_err(|_| PieceError::Damaged("it cannot be decompressed"))?;
    if plain.len() != wanted || Hash::of(&plain).0[..] != object[80..96] {
        return Err(PieceError::Damaged("its bytes have another hash"));
    }
    Ok((header, plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(len: u64) -> PieceHeader {
        PieceHeader {
            major: Major::new(17).unwrap(),
            timeline: Timeline(4),
            start: Lsn(1000),
            end: Lsn(1000 + len),
            first_record: Some(Lsn(1008)),
            last_end: None,
            commits: Some((5, 9)),
            last_commit: 11,
        }
    }

    #[test]
    fn round_trip_and_every_changed_byte() {
        let plain: Vec<u8> = (0..3000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let object = encode(&header(3000), &plain);
        assert_eq!(decode(&object), Ok((header(3000), plain.clone())));
        for at in 0..object.len() {
            let mut changed = object.to_vec();
            changed[at] ^= 0x10;
            // The compressed form has a few bits that mean nothing.
            let same = at >= HEADER && decode(&changed) == Ok((header(3000), plain.clone()));
            assert!(decode(&changed).is_err() || same, "byte {at}");
        }
        assert!(decode(&object[..object.len() - 1]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut object = MAGIC.to_vec();
            object.extend_from_slice(&bytes);
            prop_assert!(decode(&bytes).is_err() && decode(&object).is_err());
        }
    }
}
