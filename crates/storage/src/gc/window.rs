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

/// Microseconds since 2000, as PostgreSQL counts; 0 for what was before.
fn since_2000(at: Timestamp) -> u64 {
    u64::try_from(at.as_microsecond().saturating_sub(POSTGRES_EPOCH * 1_000_000)).unwrap_or_default()
}

/// Something of a history that has a time of its own.
struct Dated {
    /// Nothing of what has that time is before this position.
    from: Lsn,
    /// Everything up to this position is as old, or older.
    upto: Lsn,
    /// Whether that time is at or before the limit.
    old: bool,
}

/// The newest position that everything up to the moment `limit` is known to be before or at; zero when
/// nothing is known. Never too late: what is not known keeps more.
///
/// Times are those of clocks, which were wrong now and then: what a clock that was behind calls old is as young as what
/// comes before it in the history. What is dated later than `now` says nothing.
pub(crate) fn keep_from(record: &BranchRecord, pieces: &Pieces, limit: Timestamp, now: Timestamp) -> Lsn {
    let (limit_there, now_there) = (since_2000(limit), since_2000(now));
    let of_snapshots = record.snapshots.iter().filter(|s| s.taken_at <= now).map(|s| Dated {
        from: s.lsn,
        upto: s.lsn,
        old: s.taken_at <= limit,
    });
    let of_spans = record.spans.iter().flat_map(|span| {
        let of_writer = pieces.get(&(record.branch.clone(), span.epoch)).into_iter().flatten();
        // What a replaced writer wrote behind its span's end does not count.
        let to = span.to.unwrap_or(Lsn(u64::MAX));
        let counts =
            move |piece: &&PieceName| (1..=now_there).contains(&piece.last_commit) && piece.start < to;
        of_writer.filter(counts).map(move |piece| Dated {
            from: piece.start,
            upto: piece.end.min(to),
            old: piece.last_commit <= limit_there,
        })
    });
    let dated: Vec<Dated> = of_snapshots.chain(of_spans).collect();
    let young = dated.iter().filter(|dated| !dated.old).map(|dated| dated.from).min();
    let before = dated.iter().filter(|dated| dated.old && young.is_none_or(|young| dated.upto <= young));
    let fork = match &record.origin {
        Origin::Branch { lsn, .. } if record.created_at <= limit => *lsn,
        _ => Lsn::ZERO,
    };
    before.map(|dated| dated.upto).fold(fork, Lsn::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::branch::record::SnapshotKind;
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
        let kept = |record: &BranchRecord, pieces: &Pieces, limit| keep_from(record, pieces, limit, at(1000));
        assert_eq!(kept(&record, &pieces, at(9)), Lsn(100), "the snapshot is older");
        assert_eq!(kept(&record, &pieces, at(10)), Lsn(180));
        assert_eq!(kept(&record, &pieces, at(30)), Lsn(200));
        assert_eq!(kept(&record, &pieces, seconds(0)), Lsn(0));
        // A writer and a snapshot under a clock that was years behind.
        world.ends.insert(main.clone(), Lsn(200));
        world.open(&main);
        world.publish(&main, SnapshotKind::Clean, Lsn(200), Lsn(200));
        let later = world.branches[&main].record.clone();
        let mut wrong = pieces.clone();
        wrong.insert((main.clone(), later.epoch), vec![piece(200, 230, 1)]);
        assert_eq!(kept(&later, &wrong, at(10)), Lsn(180), "what comes before them is younger");
        assert_eq!(kept(&later, &wrong, at(30)), Lsn(230));
        // One that was ahead does not keep all that follows until it comes true.
        let ahead = Pieces::from([((main.clone(), record.epoch), vec![piece(100, 150, 2000)])]);
        assert_eq!(kept(&later, &ahead, at(30)), Lsn(200));
        assert_eq!(keep_from(&later, &ahead, at(30), at(2000)), Lsn(100), "it has come true");
        let prefix = key::wal(&record.project, &main, record.epoch);
        let (branch, epoch, name) = piece_of(&piece(1, 2, 3).key(&prefix)).unwrap();
        assert_eq!((branch, epoch, name), (main, record.epoch, piece(1, 2, 3)));
        assert_eq!(piece_of(&key::packs(&record.project)), None);
    }
}
