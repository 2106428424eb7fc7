//! Many parts of one object with few requests: near ones are read together, far ones at the same time.

use std::ops::Range;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::error::StoreError;
use super::store::Store;
use crate::key::Key;

/// Parts nearer than this are read together: bytes that nobody asked for cost less than a request.
pub const RANGE_GAP: u64 = 128 * 1024;

/// The longest read that is made by joining parts; a single part may be longer.
pub const RANGE_MAX: u64 = 4 * 1024 * 1024;

/// Reads of one call under way at once.
pub const RANGES_AT_ONCE: usize = 32;

/// One request, and which of the wanted parts (by their place in the caller's list) it brings.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    range: Range<u64>,
    parts: Vec<usize>,
}

/// Joins near parts. Empty ones need no request.
fn plan(wanted: &[Range<u64>]) -> Vec<Read> {
    let mut order: Vec<usize> = (0..wanted.len()).filter(|at| !wanted[*at].is_empty()).collect();
    order.sort_by_key(|at| (wanted[*at].start, wanted[*at].end));
    let mut reads: Vec<Read> = Vec::new();
    for at in order {
        let part = &wanted[at];
        if let Some(last) = reads.last_mut()
            && part.start <= last.range.end.saturating_add(RANGE_GAP)
            && (part.end <= last.range.end || part.end - last.range.start <= RANGE_MAX)
        {
            last.range.end = last.range.end.max(part.end);
            last.parts.push(at);
            continue;
        }
        reads.push(Read { range: part.clone(), parts: vec![at] });
    }
    reads
}

impl Store {
    /// Reads parts of an object, in the order asked for. Near parts share a request
    /// ([`RANGE_GAP`], [`RANGE_MAX`]), and up to [`RANGES_AT_ONCE`] requests run at once.
    ///
    /// # Errors
    /// When the object does not exist, is too short, or cannot be read; then nothing is returned.
    pub async fn get_ranges(&self, key: &Key, wanted: &[Range<u64>]) -> Result<Vec<Bytes>, StoreError> {
        let mut parts = vec![Bytes::new(); wanted.len()];
        let reads = stream::iter(plan(wanted)).map(|read| async move {
            let body = self.get_range(key, read.range.clone()).await?;
            Ok::<_, StoreError>((read, body))
        });
        let mut done = reads.buffer_unordered(RANGES_AT_ONCE);
        while let Some((read, body)) = done.try_next().await? {
            for at in read.parts {
                let from = usize::try_from(wanted[at].start - read.range.start).unwrap_or(usize::MAX);
                let len = usize::try_from(wanted[at].end - wanted[at].start).unwrap_or(usize::MAX);
                parts[at] = body.slice(from..from + len);
            }
        }
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_parts_are_joined_far_ones_not() {
        let far = 10 * RANGE_MAX;
        let wanted = [10..20, far..far + 5, 0..10, 5..5, 20 + RANGE_GAP..30 + RANGE_GAP];
        let reads = plan(&wanted);
        assert_eq!(
            reads,
            [
                Read { range: 0..30 + RANGE_GAP, parts: vec![2, 0, 4] },
                Read { range: far..far + 5, parts: vec![1] },
            ]
        );
    }

    #[test]
    fn joined_reads_stay_small() {
        let chunk = 256 * 1024;
        let wanted: Vec<_> = (0..64).map(|n| n * chunk..(n + 1) * chunk).collect();
        let reads = plan(&wanted);
        assert_eq!(reads.len(), 4);
        assert!(reads.iter().all(|read| read.range.end - read.range.start == RANGE_MAX));
        // One that is longer is read as it is.
        assert_eq!(plan(std::slice::from_ref(&(0..2 * RANGE_MAX))).len(), 1);
    }
}
