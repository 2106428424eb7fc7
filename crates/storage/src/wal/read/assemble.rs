//! Segment files for a recovery that ends exactly where it should.
//!
//! PostgreSQL replays whatever is in `pg_wal`, from newest timeline to oldest, until a record is not valid.
//! So there is no recovery target: the files end behind the last record that may be replayed, and zeros
//! follow. The name of a segment file holds the newest timeline that has bytes in it, as PostgreSQL would
//! have named it; the bytes of older timelines are in front, as it would have copied them.

use std::path::{Path, PathBuf};

use dormouse_base::lsn::WAL_SEGMENT;
use dormouse_base::{Lsn, Timeline};
use dormouse_runtime::failpoint;
use dormouse_runtime::task::blocking;
use futures_util::TryStreamExt;

use super::plan::{Part, plan};
use super::segments::Segments;
use super::{Hands, Line, ReadError, Supplied, fetch, histories};
use crate::object::Store;
use crate::wal::blocks::Touched;
use crate::wal::page::{PageHeader, page_start};
use crate::wal::reader::Reader;

/// What to assemble.
#[derive(Debug, Clone)]
pub struct Target<'a> {
    /// Where replay starts (a snapshot's redo position): a record begins there.
    pub redo: Lsn,
    /// No record that ends behind this may be replayed.
    pub upto: Lsn,
    /// The `pg_wal` to write to. Files of the same names are overwritten; nothing is synced.
    pub dir: &'a Path,
    /// The identity of the cluster, as its control file has it.
    pub system_identifier: Option<u64>,
}

/// What was assembled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assembled {
    /// Where recovery will end: behind the last record that ends at or before the target.
    pub end: Lsn,
    /// The largest commit time in it, microseconds since 2000-01-01; 0 = none.
    pub last_commit: u64,
    /// The newest timeline; recovery promotes to the next.
    pub timeline: Timeline,
    /// The files that were written.
    pub files: Vec<PathBuf>,
    /// The chunks that a replay will touch: path and number, in the order of the WAL.
    pub touched: Vec<(String, u32)>,
}

/// Writes the files.
///
/// # Errors
/// When bytes are missing, damaged or no WAL, or the directory cannot be written.
pub async fn assemble(
    store: &Store,
    line: &Line,
    target: Target<'_>,
    hands: &Hands,
) -> Result<Assembled, ReadError> {
    failpoint::hit("wal.assemble.begin").await.map_err(ReadError::io("assemble WAL"))?;
    let page = page_start(target.redo);
    let (begin, parts) = match plan(store, line, (page, target.upto), hands).await {
        Ok(parts) => (page, parts),
        // The bytes of the page in front of the first record are not needed.
        Err(ReadError::Missing { from, .. }) if from < target.redo => {
            (target.redo, plan(store, line, (target.redo, target.upto), hands).await?)
        }
        Err(error) => return Err(error),
    };
    let names = Names::of(&parts);
    let mut reader = Reader::at(line.major, target.redo);
    let mut segments = Segments::new(target.dir);
    let mut touched = Touched::default();
    let mut fetched = std::pin::pin!(fetch::parts(store, parts, hands));
    while let Some((part, bytes)) = fetched.try_next().await? {
        let work = (segments, reader, touched, names.clone(), target.redo);
        let supplied = Supplied::of(&part, hands);
        let done = blocking(move || {
            let (mut segments, mut reader, mut touched, names, redo) = work;
            write(&mut segments, &names, part.from, &bytes)?;
            let skip = usize::try_from(redo.since(part.from)).unwrap_or(usize::MAX).min(bytes.len());
            let pushed = reader.push_parts(&bytes[skip..], |_, record| touched.note(record));
            pushed.map_err(|source| ReadError::Invalid { part: supplied, source })?;
            Ok::<_, ReadError>((segments, reader, touched))
        });
        (segments, reader, touched) = done.await?;
    }
    let known = target.system_identifier.or_else(|| hands.iter().find_map(|hand| hand.system_identifier()));
    let identity = known.or_else(|| reader.system_identifier());
    let assembled = finish(line, &target, segments, &reader, Gaps { begin, page, names, identity }).await?;
    Ok(Assembled { touched: touched.chunks().collect(), ..assembled })
}

/// What is missing in front.
struct Gaps {
    begin: Lsn,
    page: Lsn,
    names: Names,
    identity: Option<u64>,
}

async fn finish(
    line: &Line,
    target: &Target<'_>,
    mut segments: Segments,
    reader: &Reader,
    gaps: Gaps,
) -> Result<Assembled, ReadError> {
    let (end, last_commit) = (reader.end(), reader.last_commit());
    let histories = histories(line, target.upto);
    let timeline = gaps.names.newest().or_else(|| line.timeline_at(target.redo)).unwrap_or(Timeline(1));
    let (dir, major) = (target.dir.to_owned(), line.major);
    let mut files = blocking(move || {
        front(&mut segments, major, &gaps)?;
        let mut files = segments.cut(end).map_err(ReadError::io("cut the assembled WAL"))?;
        for (name, text) in histories {
            failpoint::hit_blocking("wal.assemble.history").map_err(ReadError::io("write a history file"))?;
            let path = dir.join(name);
            std::fs::write(&path, text).map_err(ReadError::io(format!("write {}", path.display())))?;
            files.push(path);
        }
        Ok::<_, ReadError>(files)
    })
    .await?;
    files.sort();
    Ok(Assembled { end, last_commit, timeline, files, touched: Vec::new() })
}

/// Makes up the page headers in front of the first record that nobody has.
fn front(segments: &mut Segments, major: crate::wal::page::Major, gaps: &Gaps) -> Result<(), ReadError> {
    let Some(first) = gaps.names.at(gaps.begin) else { return Ok(()) };
    let mut timeline = first;
    let segment = gaps.page.segment_start();
    let failed = || ReadError::io("write the header of a page");
    if gaps.begin == gaps.page {
        let mut head = [0; 8];
        if segments.read(gaps.page, &mut head).map_err(failed())? {
            // The page may be older than the record in it, and the first page must not be newer.
            let [_, _, _, _, rest @ ..] = head;
            timeline = Timeline(u32::from_le_bytes(rest)).min(first);
        }
    }
    for at in [segment, gaps.page] {
        if at < gaps.begin {
            let identity = gaps.identity.ok_or(ReadError::NoIdentity)?;
            let header = PageHeader::made_up(major, at, timeline, identity);
            segments.write(first, at, &header).map_err(failed())?;
        }
    }
    Ok(())
}

/// Which timeline names which segment: the newest that has bytes in it.
#[derive(Debug, Clone)]
struct Names(std::collections::BTreeMap<Lsn, Timeline>);

impl Names {
    fn of(parts: &[Part]) -> Self {
        let mut names = std::collections::BTreeMap::new();
        for part in parts {
            let mut at = part.from.segment_start();
            while at < part.to {
                let name = names.entry(at).or_insert(part.timeline);
                *name = part.timeline.max(*name);
                at = at.plus(WAL_SEGMENT);
            }
        }
        Self(names)
    }

    fn at(&self, lsn: Lsn) -> Option<Timeline> {
        self.0.get(&lsn.segment_start()).copied()
    }

    fn newest(&self) -> Option<Timeline> {
        self.0.values().max().copied()
    }
}

fn write(segments: &mut Segments, names: &Names, from: Lsn, bytes: &[u8]) -> Result<(), ReadError> {
    let (mut at, mut left) = (from, bytes);
    while !left.is_empty() {
        let room = usize::try_from(WAL_SEGMENT - at.since(at.segment_start())).expect("a segment is small");
        let (now, later) = left.split_at(room.min(left.len()));
        let timeline = names.at(at).expect("every part was named");
        segments.write(timeline, at, now).map_err(ReadError::io(format!("write WAL at {at}")))?;
        (at, left) = (at.plus(now.len() as u64), later);
    }
    Ok(())
}
