//! The filer: restarts, gaps, failing stores, idle computes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use dormouse_base::{Lsn, Timeline};
use dormouse_runtime::failpoint;
use dormouse_runtime::task::Scope;
use dormouse_storage::key::{self, Key, PieceName};
use dormouse_storage::wal::filer::{Filer, Status};
use dormouse_storage::wal::read::{Origin, ReadError, Target, assemble, check, plan};
use dormouse_storage::wal::source::Source;
use dormouse_storage::wal::source::files::Files;
use dormouse_storage::wal::source::tap::{Flushed, SlotState, Tap, TapError};
use tokio_postgres::Client;

use crate::cluster::Cluster;
use crate::load::{count, file, files, line, lsn, store, work, writer};

const ONE: Timeline = Timeline(1);

async fn until(filer: &Filer, what: &str, mut is: impl FnMut(&Status) -> bool) -> Status {
    let mut status = filer.status();
    let wait = tokio::time::timeout(Duration::from_secs(20), status.wait_for(|status| is(status)));
    wait.await.unwrap_or_else(|_| panic!("{what}")).unwrap().clone()
}

async fn names(store: &dormouse_storage::Store, cluster: &Cluster) -> Vec<(Key, PieceName)> {
    let writer = writer(cluster, 1, ONE, Lsn(0));
    let wal = key::wal(&writer.project, &writer.branch, writer.epoch);
    let listed = store.list(&wal, None).await.unwrap();
    listed.into_iter().map(|l| (l.key.clone(), PieceName::parse(&l.key).unwrap())).collect()
}

/// A running cluster with a table, and where its first writer began.
async fn running(major: u32) -> Option<(Cluster, Client, Lsn)> {
    let cluster = Cluster::new(major)?;
    let (_, _, from) = cluster.stopped_at();
    cluster.start();
    let client = cluster.client().await;
    cluster.tap().ensure_slot().await.unwrap();
    client.batch_execute("create table if not exists t (id serial primary key, note text)").await.unwrap();
    Some((cluster, client, from))
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_without_gap_or_double() {
    let Some((cluster, client, from)) = running(18).await else { return };
    let store = store();
    let end = {
        let over = AtomicBool::new(false);
        let load = async {
            for _ in 0..3 {
                work(&client).await;
            }
            over.store(true, Ordering::Relaxed);
        };
        let churn = async {
            let mut rounds = 0;
            while !over.load(Ordering::Relaxed) {
                let scope = Scope::new();
                let filer = file(&store, writer(&cluster, 1, ONE, from), files(&cluster, ONE), &scope);
                tokio::time::sleep(Duration::from_millis(60 + rounds * 37 % 200)).await;
                // As abrupt as dropping a future is: in the middle of whatever it did.
                scope.close(Duration::from_secs(5)).await;
                drop(filer);
                rounds += 1;
            }
        };
        // The last one has ended too: two at once are two servers, which have epochs of their own.
        tokio::join!(load, churn);
        let filer = file(&store, writer(&cluster, 1, ONE, from), files(&cluster, ONE), &cluster.scope);
        filer.file_now(None).await.unwrap()
    };
    let all = names(&store, &cluster).await;
    assert!(all.len() > 3, "{all:?}");
    // Every piece begins where the one before ended.
    assert!(all.windows(2).all(|pair| pair[0].1.end == pair[1].1.start), "{all:?}");
    let whole = line(&cluster, &[(1, ONE, from, end)]);
    let report = check(&store, &whole, (from, end)).await.unwrap();
    assert!(report.problems.is_empty() && report.records > 1000, "{report:?}");

    // A listing that does not know the last piece yet: its bytes are filed again, under another name.
    let (last, _) = all.last().unwrap().clone();
    let hidden = store.get(&last).await.unwrap();
    store.delete(&last).await.unwrap();
    client.batch_execute("insert into t (note) values ('more')").await.unwrap();
    let filer = file(&store, writer(&cluster, 1, ONE, from), files(&cluster, ONE), &Scope::new());
    let end = filer.file_now(None).await.unwrap();
    store.put(&last, hidden).await.unwrap();
    let whole = line(&cluster, &[(1, ONE, from, end)]);
    let report = check(&store, &whole, (from, end)).await.unwrap();
    assert!(report.problems.is_empty(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_and_damaged_pieces_are_found() {
    let Some((cluster, client, from)) = running(15).await else { return };
    let store = store();
    let filer = file(&store, writer(&cluster, 1, ONE, from), files(&cluster, ONE), &cluster.scope);
    work(&client).await;
    let end = filer.file_now(None).await.unwrap();
    let all = names(&store, &cluster).await;
    let (key, name) = all[all.len() / 2].clone();
    let whole = line(&cluster, &[(1, ONE, from, end)]);
    let good = store.get(&key).await.unwrap();

    let mut bad = good.to_vec();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    store.put(&key, bad.into()).await.unwrap();
    let report = check(&store, &whole, (from, end)).await.unwrap();
    assert!(
        matches!(&report.problems[..], [ReadError::Piece { key: found, .. }] if *found == key),
        "{report:?}"
    );
    let dir = tempfile::tempdir().unwrap();
    let target = Target { redo: from, upto: end, dir: dir.path(), system_identifier: Some(1) };
    let error = assemble(&store, &whole, target, &[]).await.unwrap_err();
    assert!(matches!(error, ReadError::Piece { .. }), "{error:?}");

    store.delete(&key).await.unwrap();
    let report = check(&store, &whole, (from, end)).await.unwrap();
    let hole = |from, to| from == name.start && to == name.end;
    assert!(matches!(report.problems[..], [ReadError::Missing { from, to }] if hole(from, to)), "{report:?}");

    // Another writer's bytes in its place do not help: they are not of this epoch.
    let other = line(&cluster, &[(2, ONE, from, end)]);
    assert!(matches!(plan(&store, &other, (from, end), &[]).await, Err(ReadError::Missing { .. })));
    store.put(&key, good).await.unwrap();
    let parts = plan(&store, &whole, (from, end), &[]).await.unwrap();
    assert!(parts.iter().all(|part| matches!(part.origin, Origin::Piece { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn wal_that_was_recycled_is_a_gap_and_filing_goes_on() {
    let Some((cluster, client, from)) = running(18).await else { return };
    let store = store();
    let filer = file(&store, writer(&cluster, 1, ONE, from), files(&cluster, ONE), &cluster.scope);
    work(&client).await;
    let filed = filer.file_now(None).await.unwrap();
    filer.pause();
    client.batch_execute("select pg_drop_replication_slot('dormouse_wal')").await.unwrap();
    for _ in 0..3 {
        client.batch_execute("insert into t (note) values ('lost'); select pg_switch_wal()").await.unwrap();
    }
    client.batch_execute("checkpoint; select pg_switch_wal(); checkpoint").await.unwrap();
    client.batch_execute("insert into t (note) values ('kept')").await.unwrap();
    filer.resume();
    let wait = tokio::time::timeout(Duration::from_secs(10), filer.file_now(None));
    let end = wait.await.unwrap_or_else(|_| panic!("{:?}", filer.status().borrow())).unwrap();
    let status = filer.status().borrow().clone();
    let [gap] = status.gaps[..] else { panic!("{status:?}") };
    assert!(
        gap.from == filed && gap.to > filed && gap.to < end && status.alarm(&crate::load::limits()).is_some()
    );
    let whole = line(&cluster, &[(1, ONE, from, end)]);
    let missing = plan(&store, &whole, (from, end), &[]).await.unwrap_err();
    assert!(matches!(missing, ReadError::Missing { from, to } if (from, to) == (gap.from, gap.to)));
    assert!(plan(&store, &whole, (gap.to, end), &[]).await.is_ok());
    assert_eq!(cluster.tap().flushed().await.unwrap().slot, SlotState::Held);
    // A filer that starts again still knows of it.
    let again = file(&store, writer(&cluster, 1, ONE, from), files(&cluster, ONE), &Scope::new());
    again.file_now(None).await.unwrap();
    assert_eq!(again.status().borrow().gaps, status.gaps);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_store_makes_lag_not_loss() {
    let Some((cluster, client, from)) = running(15).await else { return };
    let store = store();
    failpoint::arm("wal.piece.put.before=error").unwrap();
    let filer = file(&store, writer(&cluster, 1, ONE, from), files(&cluster, ONE), &cluster.scope);
    work(&client).await;
    let status = until(&filer, "it fails", |s| s.problem.is_some() && s.lag_bytes() > 1 << 20).await;
    assert!(status.filed == from && status.lag_seconds() > 0.0, "{status:?}");
    failpoint::disarm();
    let status = until(&filer, "it files", |s| s.problem.is_none() && s.filed > from).await;
    assert!(status.pieces > 0);
    let end = filer.file_now(None).await.unwrap();
    let whole = line(&cluster, &[(1, ONE, from, end)]);
    assert!(check(&store, &whole, (from, end)).await.unwrap().problems.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crashed_compute_goes_on_in_its_epoch() {
    let Some((cluster, client, from)) = running(18).await else { return };
    let store = store();
    let filer = file(&store, writer(&cluster, 1, ONE, from), files(&cluster, ONE), &cluster.scope);
    let mut client = client;
    for round in 0..3 {
        work(&client).await;
        let busy = cluster.client().await;
        let sql =
            "select pg_logical_emit_message(false, 'x', repeat('y', 9000000)) from generate_series(1, 9)";
        let cut = cluster.scope.spawn("cut", async move {
            let _ended = busy.batch_execute(sql).await;
        });
        tokio::time::sleep(Duration::from_millis(30 + round * 20)).await;
        cluster.stop("immediate");
        cut.await.unwrap();
        let end = filer.finish().await.unwrap();
        cluster.start();
        client = cluster.client().await;
        client.batch_execute("insert into t (note) values ('after')").await.unwrap();
        assert!(filer.file_now(None).await.unwrap() > end);
    }
    let expected = count(&client).await;
    assert!(expected.0 > 1000);
    let end = filer.file_now(Some(lsn(&client, "pg_current_wal_flush_lsn").await)).await.unwrap();
    let whole = line(&cluster, &[(1, ONE, from, end)]);
    let report = check(&store, &whole, (from, end)).await.unwrap();
    assert!(report.problems.is_empty(), "{report:?}");
}

/// Counts questions.
#[derive(Debug)]
struct Counting(Arc<dyn Tap>, AtomicU32);

#[async_trait]
impl Tap for Counting {
    async fn flushed(&self) -> Result<Flushed, TapError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.flushed().await
    }
    async fn release(&self, upto: Lsn) -> Result<(), TapError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.release(upto).await
    }
    async fn ensure_slot(&self) -> Result<(), TapError> {
        self.0.ensure_slot().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_compute_is_not_asked() {
    let Some((cluster, client, from)) = running(18).await else { return };
    let tap = Arc::new(Counting(cluster.tap(), AtomicU32::new(0)));
    let source: Arc<dyn Source> = Arc::new(Files::new(cluster.wal(), ONE, Arc::<Counting>::clone(&tap)));
    let filer = file(&store(), writer(&cluster, 1, ONE, from), source, &cluster.scope);
    // Nothing happens in it from here on but a checkpoint, which is work too.
    client.batch_execute("checkpoint").await.unwrap();
    let mut before = u32::MAX;
    let mut quiet = 0;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = tap.1.load(Ordering::Relaxed);
        quiet = if now == before { quiet + 1 } else { 0 };
        before = now;
        if quiet == 12 {
            break;
        }
    }
    assert_eq!(quiet, 12, "it is asked all the time");
    assert!(filer.status().borrow().filed > from);
    // It is seen that it writes again; and not when it is paused.
    client.batch_execute("insert into t (note) values ('awake')").await.unwrap();
    let written = lsn(&client, "pg_current_wal_flush_lsn").await;
    until(&filer, "it notices", |s| s.filed >= written).await;
    filer.pause();
    tokio::time::sleep(Duration::from_millis(60)).await;
    let asked = tap.1.load(Ordering::Relaxed);
    client.batch_execute("insert into t (note) values ('asleep')").await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(tap.1.load(Ordering::Relaxed), asked);
    filer.resume();
    let written = lsn(&client, "pg_current_wal_flush_lsn").await;
    until(&filer, "it goes on", |s| s.filed >= written).await;
}
