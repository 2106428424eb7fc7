//! From a time to a position: before the first commit that is later.
//!
//! Commit times are not monotonic; what counts is the order in the WAL. The name of each piece holds the
//! largest commit time up to its end, so the first piece with a larger one than asked for is the first that
//! can hold such a commit, and usually the only one that is read.
//!
//! Where WAL is missing between the last commit that is not later and the first that is, the answer is not known: a
//! later commit may be in the hole.

use dormouse_base::Lsn;

use super::plan::pieces;
use super::{Hands, Line, ReadError, Stretch, fetch};
use crate::key::{Key, PieceName};
use crate::object::Store;
use crate::wal::piece::{MAX_PIECE, PieceHeader};
use crate::wal::reader::Reader;
use crate::wal::record::{Kind, MAX_RECORD};

/// Pieces that may have to be read to find the beginning of the record that one begins in.
const MAX_BACK: usize = (MAX_RECORD as u64 / MAX_PIECE) as usize + 2;

/// Where a time is in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The first later commit begins here: everything that ends at or before this was there at that time.
    At(Lsn),
    /// No commit is later.
    AfterAll {
        /// Behind the last byte that was looked at.
        end: Lsn,
        /// The largest commit time, microseconds since 2000-01-01; 0 = none.
        last_commit: u64,
    },
}

/// Finds the first commit later than `time` (microseconds since 2000-01-01). The caller may leave out
/// stretches that are surely older.
///
/// # Errors
/// When the store cannot be read, a piece is damaged, or WAL is missing right there.
pub async fn find_moment(store: &Store, line: &Line, time: u64, hands: &Hands) -> Result<Moment, ReadError> {
    let (mut end, mut last_commit, mut hole) = (Lsn::ZERO, 0, None);
    for stretch in &line.stretches {
        let pieces = pieces(store, line, stretch, (stretch.from, stretch.to)).await?;
        let mut scan = Scan { store, stretch, time, pieces: &pieces, found: None, last_commit, hole };
        let mut there = stretch.from;
        for (at, (_, name)) in pieces.iter().enumerate() {
            scan.missing(there, name.start);
            there = there.max(name.end);
            if name.last_commit > time {
                scan.piece(at, line).await?;
            } else if name.last_commit > scan.last_commit {
                scan.hole = None;
            }
            if let Some(found) = scan.found {
                return scan.sure(found);
            }
            scan.last_commit = scan.last_commit.max(name.last_commit);
        }
        there = scan.rest(line, hands).await?.unwrap_or(there);
        if let Some(found) = scan.found {
            return scan.sure(found);
        }
        scan.missing(there, stretch.to);
        (end, last_commit, hole) = (stretch.to, scan.last_commit, scan.hole);
    }
    Ok(Moment::AfterAll { end, last_commit })
}

struct Scan<'a> {
    store: &'a Store,
    stretch: &'a Stretch,
    time: u64,
    pieces: &'a [(Key, PieceName)],
    found: Option<Lsn>,
    last_commit: u64,
    /// What is missing behind the last commit that is not later.
    hole: Option<(Lsn, Lsn)>,
}

impl Scan<'_> {
    fn missing(&mut self, from: Lsn, to: Lsn) {
        if from < to {
            self.hole.get_or_insert((from, to));
        }
    }

    fn sure(&self, found: Lsn) -> Result<Moment, ReadError> {
        self.hole.map_or(Ok(Moment::At(found)), |(from, to)| Err(ReadError::Missing { from, to }))
    }

    /// Looks at the records that end in one piece.
    async fn piece(&mut self, at: usize, line: &Line) -> Result<Reader, ReadError> {
        let mut chain = vec![self.read(at).await?];
        let mut first = at;
        while begins_inside(&chain[chain.len() - 1].0) && chain.len() < MAX_BACK {
            let start = self.pieces[first].1.start;
            let before = |(_, name): &(Key, PieceName)| name.start < start && start <= name.end;
            let Some(previous) = self.pieces.iter().rposition(before) else { break };
            first = previous;
            chain.push(self.read(previous).await?);
            if chain[chain.len() - 1].0.first_record.is_some() {
                break;
            }
        }
        let (header, _) = &chain[chain.len() - 1];
        let mut reader = header
            .first_record
            .map_or_else(|| Reader::seek(line.major, header.start), |start| Reader::at(line.major, start));
        for (header, bytes) in chain.iter().rev() {
            let skip = usize::try_from(reader.position().since(header.start)).unwrap_or(usize::MAX);
            if let Some(bytes) = bytes.get(skip..) {
                self.push(&mut reader, bytes);
            }
        }
        Ok(reader)
    }

    async fn read(&self, at: usize) -> Result<(PieceHeader, Vec<u8>), ReadError> {
        fetch::piece(self.store, &self.pieces[at].0).await
    }

    fn push(&mut self, reader: &mut Reader, bytes: &[u8]) {
        let (stretch, time) = (self.stretch, self.time);
        let (found, last_commit, hole) = (&mut self.found, &mut self.last_commit, &mut self.hole);
        let behind = hole.map_or(Lsn::ZERO, |(_, to)| to);
        // Recovery ends where WAL is not valid, and so does the search.
        let _invalid = reader.push(bytes, |record| {
            let counts = record.start >= stretch.from && record.end <= stretch.to;
            if let Kind::Commit { time: at } = record.kind
                && counts
            {
                *last_commit = at.max(*last_commit);
                if at > time {
                    found.get_or_insert(record.start);
                } else if found.is_none() && record.start >= behind {
                    *hole = None;
                }
            }
        });
    }

    /// Looks at what is at hand behind the last piece; tells how far that reaches.
    async fn rest(&mut self, line: &Line, hands: &Hands) -> Result<Option<Lsn>, ReadError> {
        let filed = self.pieces.iter().map(|(_, name)| name.end).max().unwrap_or(self.stretch.from);
        let Some(hand) = hands.iter().find(|hand| {
            let (low, high) = hand.range();
            low <= filed && filed < high.min(self.stretch.to)
        }) else {
            return Ok(None);
        };
        let last = (0..self.pieces.len()).max_by_key(|at| self.pieces[*at].1.end);
        let mut reader = match last {
            Some(last) => self.piece(last, line).await?,
            None => Reader::at(line.major, filed),
        };
        let to = hand.range().1.min(self.stretch.to);
        while reader.position() < to && self.found.is_none() {
            let at = reader.position();
            let bytes = fetch::at_hand(hand, at, to.min(at.plus(MAX_PIECE))).await?;
            self.push(&mut reader, &bytes);
            if reader.position() == at || reader.position() < at.plus(bytes.len() as u64) {
                break;
            }
        }
        Ok(Some(to))
    }
}

fn begins_inside(header: &PieceHeader) -> bool {
    header.first_record.is_none_or(|first| first > header.start)
}
