//! Where a window that is given in time begins in the history of a branch.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use dormouse_base::{BranchId, Epoch, Lsn, ProjectId, Timestamp, clock};

use crate::branch::record::{BranchRecord, Origin};
use crate::key::{Key, PieceName};

/// 2000-01-01, where PostgreSQL's clock begins, in seconds of the Unix clock.
const POSTGRES_EPOCH: i64 = 946_684_800;

/// How long the past of each branch is kept.
#[async_trait]
pub trait Windows: Send + Sync {
    /// Now, as far as it is believed when something goes for its age: what a clock that is ahead for an hour costs is not
    /// to be had again. Never later than the wall clock.
    async fn now(&self) -> Timestamp {
        clock::now()
    }

    /// The window of a branch; `None` keeps everything that is there.
    fn window(&self, project: &ProjectId, record: &BranchRecord) -> Option<Duration>;

    /// Points of a branch that are kept however old they are; `None` keeps everything that is there.
    fn points(&self, _: &ProjectId, _: &BranchRecord) -> Option<Vec<Lsn>> {
        Some(Vec::new())
    }
}

/// The same window for all.
#[derive(Debug, Clone, Copy)]
pub struct Always(pub Option<Duration>);

impl Windows for Always {
    fn window(&self, _: &ProjectId, _: &BranchRecord) -> Option<Duration> {
        self.0
    }
}

/// The pieces of WAL of each writer of each branch, in order.
pub(crate) type Pieces = BTreeMap<(BranchId, Epoch), Vec<PieceName>>;

/// The writer that a piece's key names, and the piece.
pub(crate) fn piece_of(key: &Key) -> Option<(BranchId, Epoch, PieceName)> {
    let mut parts = key.as_str().rsplit('/').skip(1);
    let epoch = Epoch::from_key(parts.next()?)?;
    let ("wal", branch) = (parts.next()?, parts.next()?) else { return None };
    Some((branch.parse().ok()?, epoch, PieceName::parse(key)?))
}

/// The newest position that everything up to the moment `limit` is known to be before or at; zero when
/// nothing is known. Never too late: what is not known keeps more.
pub(crate) fn keep_from(record: &BranchRecord, pieces: &Pieces, limit: Timestamp) -> Lsn {
    let since_2000 = limit.as_microsecond().saturating_sub(POSTGRES_EPOCH * 1_000_000);
    let limit_there = u64::try_from(since_2000).unwrap_or_default();
    let mut known = Lsn::ZERO;
    for span in &record.spans {
        let of_writer = pieces.get(&(record.branch.clone(), span.epoch)).into_iter().flatten();
        for piece in of_writer.filter(|p| p.last_commit > 0 && p.last_commit <= limit_there) {
            // What a replaced writer wrote behind its span's end does not count.
            known = known.max(span.to.map_or(piece.end, |to| to.min(piece.end)));
        }
    }
    let snapshots = record.snapshots.iter().filter(|s| s.taken_at <= limit).map(|s| s.lsn);
    let fork = match &record.origin {
        Origin::Branch { lsn, .. } if record.created_at <= limit => *lsn,
        _ => Lsn::ZERO,
    };
    snapshots.fold(known.max(fork), Lsn::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gc::plan::tests::world::{World, seconds};
    use crate::key;

    #[test]
    fn the_newest_thing_that_is_certainly_old_enough_counts() {
        let mut world = World::new();
        let main = world.root("main");
        world.open(&main);
        let record = world.branches[&main].record.clone();
        let piece = |start, end, seconds: u64| PieceName {
            start: Lsn(start),
            end: Lsn(end),
            last_commit: seconds * 1_000_000,
        };
        let at = |seconds_there: i64| seconds(POSTGRES_EPOCH + seconds_there);
        let writer = (main.clone(), record.epoch);
        let pieces =
            Pieces::from([(writer, vec![piece(100, 150, 10), piece(150, 180, 10), piece(180, 200, 20)])]);
        assert_eq!(keep_from(&record, &pieces, at(9)), Lsn(100), "the snapshot is older");
        assert_eq!(keep_from(&record, &pieces, at(10)), Lsn(180));
        assert_eq!(keep_from(&record, &pieces, at(30)), Lsn(200));
        assert_eq!(keep_from(&record, &pieces, seconds(0)), Lsn(0));
        let prefix = key::wal(&record.project, &main, record.epoch);
        let (branch, epoch, name) = piece_of(&piece(1, 2, 3).key(&prefix)).unwrap();
        assert_eq!((branch, epoch, name), (main, record.epoch, piece(1, 2, 3)));
        assert_eq!(piece_of(&key::packs(&record.project)), None);
    }
}
