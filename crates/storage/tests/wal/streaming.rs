//! The `stream` source: byte for byte what the server has, through broken sessions and restarts.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use dormouse_base::{Lsn, Timeline};
use dormouse_runtime::task::Scope;
use dormouse_storage::wal::read::{Target, assemble, check};
use dormouse_storage::wal::source::files::Files;
use dormouse_storage::wal::source::stream::{Acknowledge, Connect, Duplex, Settings, Stream};
use dormouse_storage::wal::source::streamed::Streamed;

use crate::cluster::Cluster;
use crate::load::{file, line, lsn, store, work, writer};

struct Socket(PathBuf);

#[async_trait]
impl Connect for Socket {
    async fn connect(&self) -> io::Result<Box<dyn Duplex>> {
        Ok(Box::new(tokio::net::UnixStream::connect(&self.0).await?))
    }
}

async fn stream(cluster: &Cluster, from: Lsn, acknowledge: Acknowledge, scope: &Scope) -> Arc<Stream> {
    let settings = Settings { user: "postgres".to_owned(), timeline: Timeline(1), from, acknowledge };
    let connect = Arc::new(Socket(cluster.socket()));
    let dir = cluster.root.path().join("spool");
    Arc::new(Stream::start(connect, settings, &dir, scope).await.unwrap())
}

/// Waits until a walsender is beyond its handshake: before that, a stop ends it and sends nothing.
async fn until_streaming(client: &tokio_postgres::Client) {
    let sql = "select count(*) from pg_stat_replication where state = 'streaming'";
    let wait = async {
        while client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap();
}

async fn captured(major: u32, acknowledge: Acknowledge) {
    let Some(cluster) = Cluster::new(major) else { return };
    let (redo, one, from) = cluster.stopped_at();
    cluster.start();
    let client = cluster.client().await;
    client.batch_execute("select pg_create_physical_replication_slot('hold', true)").await.unwrap();
    let store = store();
    let done = AtomicBool::new(false);
    let load = async {
        for _ in 0..2 {
            work(&client).await;
        }
        done.store(true, Ordering::Relaxed);
    };
    let churn = async {
        let mut at = from;
        while !done.load(Ordering::Relaxed) {
            let scope = Scope::new();
            let source = stream(&cluster, at, acknowledge, &scope).await;
            let filer = file(&store, writer(&cluster, 1, one, from), source, &scope);
            tokio::time::sleep(Duration::from_millis(250)).await;
            let sql = "select pg_terminate_backend(pid) from pg_stat_replication";
            cluster.client().await.batch_execute(sql).await.unwrap();
            tokio::time::sleep(Duration::from_millis(250)).await;
            at = filer.status().borrow().filed;
            scope.close(Duration::from_secs(5)).await;
        }
    };
    tokio::join!(load, churn);
    let scope = Scope::new();
    let source = stream(&cluster, from, acknowledge, &scope).await;
    let filer = file(&store, writer(&cluster, 1, one, from), Arc::<Stream>::clone(&source) as _, &scope);
    let flushed = lsn(&client, "pg_current_wal_flush_lsn").await;
    let wait = tokio::time::timeout(Duration::from_secs(20), filer.file_now(Some(flushed)));
    let filed = wait
        .await
        .unwrap_or_else(|_| panic!("{:?} {:?}", source.problem(), filer.status().borrow()))
        .unwrap();
    let spooled = source.spooled();
    // Files that are filed as a whole are gone; the one that is being written may hold some of it.
    assert!(filed >= flushed && spooled < 32 << 20, "{spooled}");

    // A clean stop waits until the receiver has everything, if there is one: what was asked for above may be filed
    // since before this stream was opened.
    until_streaming(&client).await;
    cluster.stop("fast");
    let end = filer.finish().await.unwrap();
    assert_eq!(end, cluster.stopped_at().2);
    scope.close(Duration::from_secs(5)).await;
    let whole = line(&cluster, &[(1, one, from, end)]);
    let report = check(&store, &whole, (from, end)).await.unwrap();
    assert!(report.problems.is_empty(), "{report:?}");
    let dir = tempfile::tempdir().unwrap();
    let target = Target { redo: from, upto: end, dir: dir.path(), system_identifier: Some(1) };
    let done = assemble(&store, &whole, target, &[]).await.unwrap();
    assert_eq!(done.end, end);
    let mut ours = Vec::new();
    for file in &done.files {
        ours.extend(std::fs::read(file).unwrap());
    }
    let skip = usize::try_from(from.since(redo.segment_start())).unwrap();
    let theirs = cluster.bytes(one, from, end);
    assert!(ours[skip..skip + theirs.len()] == theirs[..], "other bytes were captured than were written");
    assert!(ours[skip + theirs.len()..].iter().all(|byte| *byte == 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn captured_15() {
    captured(15, Acknowledge::Spooled).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn captured_18() {
    captured(18, Acknowledge::Filed).await;
}

/// A compute that stops while no stream is open, or before one has begun.
#[derive(Debug)]
struct Nobody;

#[async_trait]
impl Connect for Nobody {
    async fn connect(&self) -> io::Result<Box<dyn Duplex>> {
        Err(io::ErrorKind::ConnectionRefused.into())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_stream_brought_before_the_stop_is_filed_from_the_files() {
    let Some(cluster) = Cluster::new(15) else { return };
    let (_, one, from) = cluster.stopped_at();
    cluster.start();
    let client = cluster.client().await;
    client.batch_execute("create table t (note text); insert into t values ('last')").await.unwrap();
    let (store, scope) = (store(), Scope::new());
    let (files, spool) = (Files::new(cluster.wal(), one, cluster.tap()), cluster.root.path().join("spool"));
    let source = Streamed::new(files, one, Arc::new(Nobody), "postgres", spool, scope.child());
    let filer = file(&store, writer(&cluster, 1, one, from), Arc::new(source), &scope);
    cluster.stop("fast");
    let end = tokio::time::timeout(Duration::from_secs(20), filer.finish()).await.unwrap().unwrap();
    assert_eq!(end, cluster.stopped_at().2, "the shutdown checkpoint is part of it");
    let report = check(&store, &line(&cluster, &[(1, one, from, end)]), (from, end)).await.unwrap();
    assert!(report.problems.is_empty(), "{report:?}");
    scope.close(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_wal_is_a_gap() {
    let Some(cluster) = Cluster::new(18) else { return };
    let (_, one, from) = cluster.stopped_at();
    cluster.start();
    let client = cluster.client().await;
    client.batch_execute("create table t (note text)").await.unwrap();
    for _ in 0..3 {
        client.batch_execute("insert into t (note) values ('lost'); select pg_switch_wal()").await.unwrap();
    }
    client.batch_execute("checkpoint; select pg_switch_wal(); checkpoint").await.unwrap();
    let store = store();
    let source = stream(&cluster, from, Acknowledge::Spooled, &cluster.scope).await;
    let filer = file(&store, writer(&cluster, 1, one, from), source, &cluster.scope);
    let flushed = lsn(&client, "pg_current_wal_flush_lsn").await;
    let wait = tokio::time::timeout(Duration::from_secs(20), filer.file_now(Some(flushed)));
    wait.await.unwrap_or_else(|_| panic!("{:?}", filer.status().borrow())).unwrap();
    let status = filer.status().borrow().clone();
    let [gap] = status.gaps[..] else { panic!("{status:?}") };
    assert!(gap.from == from && gap.to > from && status.slot_losses == 1, "{status:?}");
}
