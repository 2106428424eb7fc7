//! Where one piece ends. Pure.

use dormouse_base::Timeline;

use crate::wal::piece::PieceHeader;
use crate::wal::reader::{Invalid, Reader};
use crate::wal::record::Kind;

/// A piece, and what reading it has taught.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) header: PieceHeader,
    /// Plain bytes of it, from the front of what was given.
    pub(super) len: usize,
    /// The reader behind the piece.
    pub(super) reader: Reader,
    pub(super) invalid: Option<Invalid>,
}

/// Makes a piece of `bytes`, which begin where `reader` stands: all of them when they must all be filed
/// (`whole`), else up to the last record that ends in them. `None`: no record ends in them.
pub(super) fn cut(reader: &Reader, timeline: Timeline, bytes: &[u8], whole: bool) -> Option<Cut> {
    let start = reader.position();
    let begins_clean = reader.is_between();
    let mut ahead = reader.clone();
    let mut first_record = None;
    let (mut commits, mut last_end) = (None, None);
    let invalid = ahead
        .push(bytes, |record| {
            if record.start >= start {
                first_record.get_or_insert(record.start);
            }
            last_end = Some(record.end);
            if let Kind::Commit { time } = record.kind {
                let (low, high) = commits.unwrap_or((time, time));
                commits = Some((time.min(low), time.max(high)));
            }
        })
        .err();
    let all = start.plus(bytes.len() as u64);
    let last = last_end.filter(|end| *end > start);
    let end = match last {
        _ if whole || invalid.is_some() => all,
        Some(end) => end,
        None => return None,
    };
    let reader = if invalid.is_some() {
        Reader::seek(reader.major(), end).with_last_commit(ahead.last_commit())
    } else if end == all {
        ahead
    } else {
        // Behind a whole record, so a fresh reader is in the same state.
        Reader::at(reader.major(), end).with_last_commit(ahead.last_commit())
    };
    // A record may begin in the piece and end in a later one.
    let first_record =
        first_record.or_else(|| begins_clean.then_some(start)).or_else(|| last.filter(|at| *at < end));
    let header = PieceHeader {
        major: reader.major(),
        timeline,
        start,
        end,
        first_record,
        last_end,
        commits,
        last_commit: reader.last_commit(),
    };
    Some(Cut { header, len: usize::try_from(end.since(start)).expect("a piece is small"), reader, invalid })
}
