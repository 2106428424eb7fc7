//! Where a filer that starts (again) continues: behind the last piece of its own epoch.

use dormouse_base::{Lsn, Timeline};
use dormouse_runtime::task::blocking;

use super::stopped::Stopped;
use super::{Gap, Writer};
use crate::key::{self, Key, PieceName};
use crate::object::Store;
use crate::wal::piece::{self, MAX_PIECE, PieceHeader};
use crate::wal::reader::Reader;
use crate::wal::record::MAX_RECORD;
use crate::wal::source::Source;

/// Bytes at the end of what is filed that are compared with the compute's own.
const COMPARED: u64 = 64 * 1024;

/// Pieces before the last that are read to find where the record that it ends in began: as many as the
/// largest record fills.
const MAX_BACK: usize = (MAX_RECORD as u64 / MAX_PIECE) as usize + 2;

/// Where to continue.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) reader: Reader,
    /// Holes between the pieces.
    pub(super) gaps: Vec<Gap>,
    /// What the last piece ends with.
    pub(super) tail: Option<Tail>,
}

/// The last bytes that are filed.
#[derive(Debug)]
pub(super) struct Tail {
    timeline: Timeline,
    start: Lsn,
    bytes: Vec<u8>,
}

impl Tail {
    /// As much of the end of a piece as is compared, in one segment.
    fn of(header: &PieceHeader, plain: &[u8]) -> Self {
        let first = header.start.max(Lsn(header.end.0.saturating_sub(COMPARED)));
        let start = first.max(Lsn(header.end.0.saturating_sub(1)).segment_start());
        let skip = usize::try_from(start.since(header.start)).expect("a piece is small");
        Self { timeline: header.timeline, start, bytes: plain[skip.min(plain.len())..].to_vec() }
    }

    /// Whether the compute's files have other bytes there, or end before. What they do not have any more says nothing.
    pub(super) async fn differs(&self, source: &dyn Source) -> bool {
        let own = source.own(self.timeline, self.start, self.bytes.len()).await;
        own.is_some_and(|own| own != self.bytes)
    }
}

/// Reads the store.
pub(super) async fn find(store: &Store, writer: &Writer) -> Result<Place, Stopped> {
    let wal = key::wal(&writer.project, &writer.branch, writer.epoch);
    let listed = store.list(&wal, None).await.map_err(Stopped::Store)?;
    let mut names: Vec<PieceName> =
        listed.iter().filter_map(|listed| PieceName::parse(&listed.key)).collect();
    names.sort();
    let mut gaps = Vec::new();
    let mut end = writer.from;
    let mut last_commit = writer.last_commit;
    for name in &names {
        if name.start > end {
            gaps.push(Gap { from: end, to: name.start });
        }
        end = end.max(name.end);
        last_commit = last_commit.max(name.last_commit);
    }
    let (reader, tail) = match names.iter().max_by_key(|name| (name.end, name.start)) {
        None => (Reader::at(writer.major, writer.from), None),
        Some(last) => reader_behind(store, &wal, &names, *last, writer).await?,
    };
    Ok(Place { reader: reader.with_last_commit(last_commit), gaps, tail })
}

/// A reader in the state that it has behind the piece `last`, and what that ends with.
async fn reader_behind(
    store: &Store,
    wal: &Key,
    names: &[PieceName],
    last: PieceName,
    writer: &Writer,
) -> Result<(Reader, Option<Tail>), Stopped> {
    let mut behind: Vec<Vec<u8>> = Vec::new();
    let mut name = last;
    let mut tail = None;
    for _ in 0..MAX_BACK {
        let object = store.get(&name.key(wal)).await.map_err(Stopped::Store)?;
        let decoded = blocking(move || piece::decode(&object)).await;
        let Ok((header, plain)) = decoded else {
            // Damaged in the store: fsck's business. The next piece can do without what was in it.
            tracing::error!(key = %name.key(wal), "a piece of WAL in the store is damaged");
            break;
        };
        if behind.is_empty() {
            tail = Some(Tail::of(&header, &plain));
            if header.last_end == Some(header.end) {
                return Ok((Reader::at(writer.major, header.end), tail));
            }
        }
        if let Some(first) = header.first_record {
            let from = usize::try_from(first.since(header.start)).expect("a piece is small");
            let mut reader = Reader::at(writer.major, first);
            let mut all = std::iter::once(&plain[from..]).chain(behind.iter().rev().map(Vec::as_slice));
            let read = all.try_for_each(|bytes| reader.push(bytes, |_| ()));
            return Ok((if read.is_ok() { reader } else { Reader::seek(writer.major, last.end) }, tail));
        }
        behind.push(plain);
        let before = |other: &&PieceName| other.end == name.start;
        let Some(previous) = names.iter().find(before) else { break };
        name = *previous;
    }
    Ok((Reader::seek(writer.major, last.end), tail))
}

/// Whether the store has a piece of this writer that reaches beyond `filed`.
pub(super) async fn reaches_beyond(store: &Store, writer: &Writer, filed: Lsn) -> Result<bool, Stopped> {
    let wal = key::wal(&writer.project, &writer.branch, writer.epoch);
    let listed = store.list(&wal, None).await.map_err(Stopped::Store)?;
    Ok(listed.iter().filter_map(|listed| PieceName::parse(&listed.key)).any(|name| name.end > filed))
}
