//! Capture, then restore: recovery ends exactly where it should, over several timelines.

use std::sync::Arc;

use dormouse_base::{Lsn, Timeline};
use dormouse_storage::Store;
use dormouse_storage::wal::read::{
    Assembled, AtHand, Line, LocalWal, Moment, Tail, Target, assemble, check, find_moment, plan,
};

use crate::cluster::Cluster;
use crate::load::{count, file, files, line, lsn, store, work, writer};

/// A clean snapshot: a stopped cluster and the end of its WAL.
struct Base {
    cluster: Cluster,
    redo: Lsn,
    end: Lsn,
    tail: Arc<dyn AtHand>,
}

fn base(cluster: &Cluster) -> Base {
    let (redo, timeline, end) = cluster.stopped_at();
    let tail = Tail::take(&cluster.wal(), timeline, redo, end).unwrap();
    Base { cluster: cluster.copy("base"), redo, end, tail: Arc::new(Tail::decode(&tail.encode()).unwrap()) }
}

async fn restore(base: &Base, name: &str, store: &Store, line: &Line, upto: Lsn) -> (Cluster, Assembled) {
    let copy = base.cluster.copy(name);
    let dir = copy.data.join("pg_wal");
    let target = Target { redo: base.redo, upto, dir: &dir, system_identifier: None };
    let done = assemble(store, line, target, &[Arc::clone(&base.tail)]).await.unwrap();
    copy.recover();
    (copy, done)
}

/// Somebody who says that he has WAL, and has zeros.
#[derive(Debug)]
struct Zeros(Lsn, Lsn);

impl AtHand for Zeros {
    fn name(&self) -> String {
        "somebody's zeros".to_owned()
    }

    fn timeline(&self) -> Timeline {
        Timeline(1)
    }

    fn range(&self) -> (Lsn, Lsn) {
        (self.0, self.1)
    }

    fn read(&self, _: Lsn, max: usize) -> std::io::Result<Vec<u8>> {
        Ok(vec![0; max])
    }
}

/// Where PostgreSQL says that its timeline began.
fn began_at(cluster: &Cluster, timeline: Timeline) -> Lsn {
    let path = cluster.data.join(format!("pg_wal/{:08X}.history", timeline.0));
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().rfind(|l| !l.trim().is_empty()).unwrap().split('\t').nth(1).unwrap().parse().unwrap()
}

async fn now(client: &tokio_postgres::Client) -> u64 {
    let sql = "select (extract(epoch from clock_timestamp()) * 1000000)::bigint - 946684800000000";
    let now: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    u64::try_from(now).unwrap()
}

async fn round_trip(major: u32) {
    let Some(cluster) = Cluster::new(major) else { return };
    let base = base(&cluster);
    let store = store();
    let one = Timeline(1);
    cluster.start();
    let client = cluster.client().await;
    let filer = file(&store, writer(&cluster, 1, one, base.end), files(&cluster, one), &cluster.scope);
    filer.file_now(None).await.unwrap();
    work(&client).await;
    client.batch_execute("insert into t (note) values ('first')").await.unwrap();
    let between = now(&client).await;
    client.batch_execute("insert into t (note) values ('second')").await.unwrap();
    let expected = count(&client).await;
    let flushed = lsn(&client, "pg_current_wal_flush_lsn").await;
    let filed = filer.file_now(Some(flushed)).await.unwrap();
    assert!(filed >= flushed);
    let status = filer.status().borrow().clone();
    assert!(status.gaps.is_empty() && status.invalid.is_none() && status.lag_bytes() == 0, "{status:?}");

    // All of it.
    let whole = line(&cluster, &[(1, one, base.end, filed)]);
    let report = check(&store, &whole, (base.end, filed)).await.unwrap();
    assert!(report.problems.is_empty() && report.bytes == filed.since(base.end), "{report:?}");
    let (restored, done) = restore(&base, "whole", &store, &whole, flushed).await;
    // The WAL writer may have flushed a part of a record of no transaction, up to the end of a page.
    assert!(done.end <= flushed && flushed.since(done.end) < 100_000 && done.timeline == one, "{done:?}");
    let there = restored.promoted().await;
    assert_eq!(count(&there).await, expected);
    let two = Timeline(2);
    assert_eq!(began_at(&restored, two), done.end);

    // A position inside a record: the record before it is the last.
    let inside = Lsn(flushed.0 - 3);
    let copy = base.cluster.copy("inside");
    let dir = copy.data.join("pg_wal");
    let target = Target { redo: base.redo, upto: inside, dir: &dir, system_identifier: None };
    let cut = assemble(&store, &whole, target, &[Arc::clone(&base.tail)]).await.unwrap();
    assert!(cut.end < inside);
    let last = std::fs::read(dir.join(one.segment_name(cut.end))).unwrap();
    let behind = usize::try_from(cut.end.since(cut.end.segment_start())).unwrap();
    assert!(last.len() == 1 << 24 && last[behind..].iter().all(|byte| *byte == 0));

    // Bytes at hand that are of no use are told from those of the store, and with whom they were.
    let beyond = filed.plus(64);
    let zeros = Zeros(filed, beyond);
    let (name, hands): (_, [Arc<dyn AtHand>; 2]) = (zeros.name(), [Arc::clone(&base.tail), Arc::new(zeros)]);
    let target = Target { redo: base.redo, upto: beyond, dir: &dir, system_identifier: None };
    let more = line(&cluster, &[(1, one, base.end, beyond)]);
    let error = assemble(&store, &more, target, &hands).await.unwrap_err();
    assert!(error.blames_a_hand(), "{error:?}");
    let said = error.to_string();
    assert!(said.contains(&name) && said.contains(&filed.to_string()), "{said}");

    // The moment between two commits.
    let Moment::At(at) = find_moment(&store, &whole, between, &[]).await.unwrap() else {
        panic!("a later commit is filed");
    };
    let past = line(&cluster, &[(1, one, base.end, at)]);
    let (earlier, done) = restore(&base, "earlier", &store, &past, at).await;
    let client2 = earlier.promoted().await;
    let row = client2.query_one("select note from t order by id desc limit 1", &[]).await.unwrap();
    assert_eq!(row.get::<_, String>(0), "first");
    assert!(done.last_commit <= between && began_at(&earlier, two) == done.end);
    let last = report_last(&store, &whole).await;
    assert_eq!(
        find_moment(&store, &whole, last, &[]).await.unwrap(),
        Moment::AfterAll { end: filed, last_commit: last }
    );

    // What is only at hand counts too: nothing of this is filed.
    let local = lsn(&client, "pg_current_wal_flush_lsn").await;
    client.batch_execute("insert into t (note) values ('third')").await.unwrap();
    let more = lsn(&client, "pg_current_wal_flush_lsn").await;
    let hand: Arc<dyn AtHand> =
        Arc::new(LocalWal { dir: cluster.wal(), timeline: one, from: filed, to: more });
    let longer = line(&cluster, &[(1, one, base.end, more)]);
    let found = find_moment(&store, &longer, last, &[Arc::clone(&hand)]).await.unwrap();
    assert!(matches!(found, Moment::At(at) if at >= filed && at < more), "{found:?} {local}");
    assert!(plan(&store, &longer, (base.end, more), &[hand]).await.is_ok());

    // A second writer on the timeline that recovery began, and a restore over both.
    let fork = began_at(&restored, two);
    let filer = file(&store, writer(&cluster, 2, two, fork), files(&restored, two), &restored.scope);
    work(&there).await;
    let expected = count(&there).await;
    let flushed = lsn(&there, "pg_current_wal_flush_lsn").await;
    restored.stop("fast");
    let filed = filer.finish().await.unwrap();
    assert_eq!(filed, restored.stopped_at().2);
    let both = line(&cluster, &[(1, one, base.end, fork), (2, two, fork, filed)]);
    let (again, done) = restore(&base, "again", &store, &both, filed).await;
    assert!(done.end >= flushed && done.timeline == two, "{done:?}");
    assert_eq!(count(&again.promoted().await).await, expected);
    assert_eq!((began_at(&again, two), began_at(&again, Timeline(3))), (fork, done.end));
}

async fn report_last(store: &Store, line: &Line) -> u64 {
    match find_moment(store, line, u64::MAX, &[]).await.unwrap() {
        Moment::AfterAll { last_commit, .. } => last_commit,
        Moment::At(_) => unreachable!("nothing is later than the end of time"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn round_trip_15() {
    round_trip(15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn round_trip_18() {
    round_trip(18).await;
}
