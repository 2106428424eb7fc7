//! What our small binary objects are wrapped in: magic with version, plain length, hash of the plain bytes,
//! then zstd. Damage anywhere is noticed before a byte is interpreted.

use crate::chunk::{self, Damage, Hash};

/// How small objects are compressed. They are written once and read at every start.
const LEVEL: i32 = 3;

/// Bytes in front of the compressed part.
const HEAD: usize = 8 + 8 + 16;

/// Wrapped bytes that are not what was wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Another format, or another version of it.
    #[error("it is not of a kind and version that is known here")]
    Unknown,
    /// More than the limit.
    #[error("it claims to have {0} bytes, which is more than allowed")]
    TooLong(u64),
    /// Damaged.
    #[error("its bytes are damaged")]
    Damaged(#[source] Damage),
}

/// Wraps bytes.
pub(crate) fn wrap(magic: [u8; 8], plain: &[u8]) -> Vec<u8> {
    let packed = zstd::bulk::compress(plain, LEVEL).expect("compression into memory has no cause to fail");
    let mut out = Vec::with_capacity(HEAD + packed.len());
    out.extend_from_slice(&magic);
    out.extend_from_slice(&(plain.len() as u64).to_le_bytes());
    out.extend_from_slice(&Hash::of(plain).0);
    out.extend_from_slice(&packed);
    out
}

/// Unwraps what [`wrap`] made of at most `limit` bytes.
pub(crate) fn unwrap(magic: [u8; 8], bytes: &[u8], limit: u64) -> Result<bytes::Bytes, EnvelopeError> {
    let (head, packed) = bytes.split_first_chunk::<HEAD>().ok_or(EnvelopeError::Unknown)?;
    if head[..8] != magic {
        return Err(EnvelopeError::Unknown);
    }
    let len = u64::from_le_bytes(head[8..16].try_into().expect("eight bytes"));
    if len > limit {
        return Err(EnvelopeError::TooLong(len));
    }
    let hash = Hash(head[16..].try_into().expect("sixteen bytes"));
    chunk::expand(packed, usize::try_from(len).unwrap_or(usize::MAX), hash).map_err(EnvelopeError::Damaged)
}
