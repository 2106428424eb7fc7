//! Which blocks of which relations a WAL record touches, and the chunks that a stretch of WAL touches. Pure.
//!
//! ```text
//!  header │ ref 0 │ ref 1 │ … │ data header │ what the references carry … │ data
//!  ref: id u8 (≤ 32) · flags u8 · length u16
//!       [image: length u16 · hole u16 · flags u8 · [length of the hole u16]] [relation 3 × u32] block u32
//! ```
//!
//! The last reference is known by counting: when as many bytes are left as the parts so far announced, the
//! parts are over. The layout is the same in PostgreSQL 15 to 18. The tests compare with `pg_waldump`.
//!
//! What is found here decides what is fetched *early* for a recovery ([`Touched`]): the chunks of pages that it
//! reads. A page whose first record carries all of it is not read, only written, and that happens after the
//! recovery as long as the pages fit into the buffers. What is not found is fetched when it is asked for. Records also touch what no reference names: the free space map is changed
//! without any record, and a bit of the visibility map is cleared by the record of the heap page.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use super::page::{Problem, u16_at, u32_at};
use super::record::{HEADER, PART_DATA_LONG, PART_DATA_SHORT, PART_ORIGIN, PART_TOP_XID};
use crate::chunk::{CHUNK, SEGMENT};
use crate::snapshot::control_file::PAGE;

/// The largest number of a reference.
const MAX_ID: u8 = 32;
const FORK: u8 = 0x0f;
const HAS_IMAGE: u8 = 0x10;
const MADE_ANEW: u8 = 0x40;
const SAME_RELATION: u8 = 0x80;
const IMAGE_HAS_HOLE: u8 = 0x01;
/// It replaces the page; others are for comparisons only.
const IMAGE_COUNTS: u8 = 0x02;
/// Any of the three ways to compress an image.
const IMAGE_IS_COMPRESSED: u8 = 0x04 | 0x08 | 0x10;

/// The tablespaces that a cluster has by itself; others are refused.
const DEFAULT_SPACE: u32 = 1663;
const GLOBAL_SPACE: u32 = 1664;

/// Blocks of a chunk and of a file.
const CHUNK_BLOCKS: u32 = (CHUNK / PAGE as u64) as u32;
const FILE_BLOCKS: u32 = (SEGMENT / PAGE as u64) as u32;

/// The most chunks that are noted of one stretch of WAL: 16 GiB of data.
pub const MAX_TOUCHED: usize = 65_536;

/// So many pages that were changed stay in PostgreSQL's buffers during a recovery (16 MiB, some for what is read):
/// what comes before the last ones of a longer recovery is written while it goes on.
const BUFFERED: usize = 1536;

/// A relation, as WAL names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RelationName {
    /// Its tablespace.
    pub space: u32,
    /// Its database; 0 for those that all databases share.
    pub database: u32,
    /// The number of its files.
    pub node: u32,
}

/// A block that a record touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRef {
    /// Whose.
    pub relation: RelationName,
    /// Which part: 0 data, 1 free space map, 2 visibility map, 3 initial state.
    pub fork: u8,
    /// Its number.
    pub block: u32,
    /// Whether the record carries an image of the page.
    pub image: bool,
    /// Whether the page as it was before does not count.
    pub whole: bool,
}

/// The references of one record.
#[derive(Debug, Clone)]
pub struct Blocks<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Bytes of the record behind `at`.
    left: usize,
    /// Bytes that the parts so far announced.
    announced: usize,
    last: Option<RelationName>,
}

/// The references of a record, of which [`super::Reader::push_parts`] gives the beginning.
#[must_use]
pub fn blocks(record: &[u8]) -> Blocks<'_> {
    let left = u32_at(record, 0).map_or(0, |len| (len as usize).saturating_sub(HEADER));
    Blocks { bytes: record, at: HEADER, left, announced: 0, last: None }
}

impl Blocks<'_> {
    fn skip(&mut self, bytes: usize) -> Result<(), Problem> {
        self.at += bytes;
        self.left = self.left.checked_sub(bytes).ok_or("the parts of a record are longer than it")?;
        Ok(())
    }

    fn u8(&mut self) -> Result<u8, Problem> {
        let byte = self.bytes.get(self.at).copied().ok_or("the parts of a record end too early")?;
        self.skip(1).map(|()| byte)
    }

    fn u16(&mut self) -> Result<u16, Problem> {
        let number = u16_at(self.bytes, self.at)?;
        self.skip(2).map(|()| number)
    }

    fn u32(&mut self) -> Result<u32, Problem> {
        let number = u32_at(self.bytes, self.at)?;
        self.skip(4).map(|()| number)
    }

    fn read(&mut self) -> Result<Option<BlockRef>, Problem> {
        while self.left > self.announced {
            match self.u8()? {
                // The last part.
                PART_DATA_SHORT | PART_DATA_LONG => return Ok(None),
                PART_ORIGIN => self.skip(2)?,
                PART_TOP_XID => self.skip(4)?,
                id if id <= MAX_ID => return self.reference().map(Some),
                _ => return Err("a record has an unknown part"),
            }
        }
        Ok(None)
    }

    fn reference(&mut self) -> Result<BlockRef, Problem> {
        let (flags, len) = (self.u8()?, self.u16()?);
        let mut carries = usize::from(len);
        let mut whole = flags & MADE_ANEW != 0;
        if flags & HAS_IMAGE != 0 {
            carries += usize::from(self.u16()?);
            self.u16()?;
            let image = self.u8()?;
            whole |= image & IMAGE_COUNTS != 0;
            if image & IMAGE_HAS_HOLE != 0 && image & IMAGE_IS_COMPRESSED != 0 {
                self.u16()?;
            }
        }
        let relation = if flags & SAME_RELATION == 0 {
            RelationName { space: self.u32()?, database: self.u32()?, node: self.u32()? }
        } else {
            self.last.ok_or("a record means the relation of an earlier part, and there is none")?
        };
        self.last = Some(relation);
        self.announced += carries;
        let image = flags & HAS_IMAGE != 0;
        Ok(BlockRef { relation, fork: flags & FORK, block: self.u32()?, image, whole })
    }
}

impl Iterator for Blocks<'_> {
    type Item = Result<BlockRef, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.read().transpose();
        if !matches!(next, Some(Ok(_))) {
            self.left = 0;
        }
        next
    }
}

/// A chunk of a relation's fork; chunks of all its files are counted through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    relation: RelationName,
    fork: u8,
    chunk: u32,
}

/// The chunks that a recovery of a stretch of WAL waits for.
#[derive(Debug, Clone, Default)]
pub struct Touched {
    chunks: Vec<Touch>,
    numbers: HashMap<Place, usize>,
    /// Neighbouring records tend to be of the same chunk.
    last: Option<(Place, usize)>,
    /// The numbers of those with pages that it reads, in the order of the WAL, each once.
    read: Vec<usize>,
    /// The numbers of the chunks of pages that are only written, in the order of the WAL, one for each page.
    written: Vec<usize>,
}

/// What is known of a chunk.
#[derive(Debug, Clone)]
struct Touch {
    place: Place,
    /// A page of it is read.
    read: bool,
    /// Pages that some record carries in whole, before any other record needs them: a bit for each.
    whole: u32,
}

impl Touched {
    /// Notes what a record touches. What cannot be understood is left out, and so is what is too much.
    pub fn note(&mut self, record: &[u8]) {
        for block in blocks(record).map_while(Result::ok) {
            let place =
                Place { relation: block.relation, fork: block.fork, chunk: block.block / CHUNK_BLOCKS };
            let Some(number) = self.number(place) else { continue };
            let (touch, page) = (&mut self.chunks[number], 1 << (block.block % CHUNK_BLOCKS));
            if touch.read || touch.whole & page != 0 {
                continue;
            }
            if block.whole {
                touch.whole |= page;
                self.written.push(number);
            } else {
                // Its other pages come with it.
                touch.read = true;
                self.read.push(number);
            }
        }
    }

    fn number(&mut self, place: Place) -> Option<usize> {
        if let Some((last, number)) = self.last
            && last == place
        {
            return Some(number);
        }
        let number = match self.numbers.entry(place) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(_) if self.chunks.len() == MAX_TOUCHED => return None,
            Entry::Vacant(new) => {
                self.chunks.push(Touch { place, read: false, whole: 0 });
                *new.insert(self.chunks.len() - 1)
            }
        };
        self.last = Some((place, number));
        Some(number)
    }

    /// The chunks: the path of a file in the cluster's directory, and the number in that file. First what is
    /// read, then what does not stay in buffers until the recovery is over.
    pub fn chunks(&self) -> impl Iterator<Item = (String, u32)> + '_ {
        let early = &self.written[..self.written.len().saturating_sub(BUFFERED)];
        let mut known = HashSet::new();
        let written =
            early.iter().filter(move |number| !self.chunks[**number].read && known.insert(**number));
        self.read.iter().chain(written).filter_map(|number| self.chunks[*number].place.file())
    }
}

impl Place {
    fn file(&self) -> Option<(String, u32)> {
        let RelationName { space, database, node } = self.relation;
        let dir = match space {
            DEFAULT_SPACE => format!("base/{database}"),
            GLOBAL_SPACE => "global".to_owned(),
            _ => return None,
        };
        let fork = ["", "_fsm", "_vm", "_init"].get(usize::from(self.fork))?;
        let per_file = FILE_BLOCKS / CHUNK_BLOCKS;
        let segment = match self.chunk / per_file {
            0 => String::new(),
            number => format!(".{number}"),
        };
        Some((format!("{dir}/{node}{fork}{segment}"), self.chunk % per_file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAP: RelationName = RelationName { space: 1663, database: 5, node: 16384 };
    const SHARED: RelationName = RelationName { space: 1664, database: 0, node: 1262 };

    /// A record of these parts, and bytes that they announce.
    fn record(parts: &[&[u8]], data: usize) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        bytes.extend(parts.concat());
        bytes.extend(std::iter::repeat_n(7, data));
        let len = u32::try_from(bytes.len()).unwrap();
        bytes[..4].copy_from_slice(&len.to_le_bytes());
        bytes
    }

    fn named(relation: RelationName) -> Vec<u8> {
        [relation.space, relation.database, relation.node].iter().flat_map(|n| n.to_le_bytes()).collect()
    }

    fn found(bytes: &[u8]) -> Vec<Result<(u32, u8, u32, bool), Problem>> {
        blocks(bytes).map(|b| b.map(|b| (b.relation.node, b.fork, b.block, b.image))).collect()
    }

    #[test]
    fn references_of_all_forms() {
        let block = 70_000_u32.to_le_bytes();
        let plain: &[u8] = &[&[0, 0x20, 4, 0][..], &named(HEAP), &block].concat();
        let with_hole: &[u8] = &[&[1, 0x92, 0, 0, 9, 0, 80, 0, 0x03][..], &block].concat();
        let compressed: &[u8] =
            &[&[2, 0x50, 0, 0, 5, 0, 80, 0, 0x0b, 1, 1][..], &named(SHARED), &block].concat();
        let (origin, top): (&[u8], &[u8]) = (&[253, 1, 1], &[252, 1, 1, 1, 1]);
        let all = [Ok((16384, 0, 70_000, false)), Ok((16384, 2, 70_000, true)), Ok((1262, 0, 70_000, true))];
        // With data of its own behind the references, and without.
        let parts = [plain, with_hole, compressed, origin, top, &[255, 3]];
        assert_eq!(found(&record(&parts, 4 + 9 + 5 + 3)), all);
        assert_eq!(found(&record(&parts[..3], 4 + 9 + 5)), all);
        assert_eq!(found(&record(&[&[254, 0, 1, 0, 0]], 256)), []);
        assert_eq!(found(&record(&[], 0)), []);
    }

    #[test]
    fn nonsense_ends_it() {
        let block = 1_u32.to_le_bytes();
        for parts in [&[99][..], &[0, 0x80, 0, 0, 1, 0, 0, 0], &[0, 0, 0, 0, 1, 2], &[0, 0x10, 0, 0, 9]] {
            let found = found(&record(&[parts], 0));
            assert!(matches!(found[..], [Err(_)]), "{parts:?}: {found:?}");
        }
        let cut = record(&[&[0, 0, 0, 0], &named(HEAP), &block], 0);
        assert!((4..cut.len()).all(|len| found(&cut[..len]).first().is_none_or(Result::is_err)));
    }

    #[test]
    fn chunks_in_order_and_once() {
        let touch = |relation, fork: u8, block: u32| {
            record(&[&[0, fork, 0, 0], &named(relation), &block.to_le_bytes()], 0)
        };
        let mut touched = Touched::default();
        let elsewhere = RelationName { space: 20_000, ..HEAP };
        for bytes in [
            touch(HEAP, 0, 131_072 + 33),
            touch(SHARED, 0, 0),
            touch(HEAP, 0, 131_072 + 63),
            touch(HEAP, 2, 31),
            touch(elsewhere, 0, 1),
            touch(SHARED, 0, 31),
        ] {
            touched.note(&bytes);
        }
        let chunks: Vec<_> = touched.chunks().collect();
        let expected = [("base/5/16384.1", 1), ("global/1262", 0), ("base/5/16384_vm", 0)];
        assert_eq!(chunks, expected.map(|(path, chunk)| (path.to_owned(), chunk)));
    }

    #[test]
    fn pages_that_come_whole_are_not_read() {
        let touch = |flags: u8, image: &[u8], block: u32| {
            record(&[&[0, flags, 0, 0], image, &named(HEAP), &block.to_le_bytes()], 0)
        };
        let (counts, compared): (&[u8], &[u8]) = (&[0, 0, 0, 0, 0x02], &[0, 0, 0, 0, 0]);
        let mut touched = Touched::default();
        for bytes in [
            touch(0x10, counts, 0),
            touch(0, &[], 0),
            touch(0x40, &[], 32),
            touch(0x10, compared, 64),
            touch(0x10, counts, 96),
            touch(0, &[], 97),
            touch(0x10, counts, 65),
        ] {
            touched.note(&bytes);
        }
        let early = |touched: &Touched| touched.chunks().map(|(_, chunk)| chunk).collect::<Vec<_>>();
        assert_eq!(early(&touched), [2, 3], "one page is compared, of another chunk a second page is read");
        for block in 0..u32::try_from(BUFFERED).unwrap() {
            touched.note(&touch(0x10, counts, 32 * (block + 10)));
        }
        assert_eq!(early(&touched), [2, 3, 0, 1], "the first ones have to make room");
    }
}
