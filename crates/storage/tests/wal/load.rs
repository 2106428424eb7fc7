//! Work for a cluster, and a filer for what it writes.

use std::sync::Arc;
use std::time::Duration;

use dormouse_base::{BranchId, Epoch, Lsn, ProjectId, Timeline};
use dormouse_runtime::task::Scope;
use dormouse_storage::Store;
use dormouse_storage::wal::filer::{Filer, Limits, Writer};
use dormouse_storage::wal::read::{Line, Stretch};
use dormouse_storage::wal::source::Source;
use dormouse_storage::wal::source::files::Files;
use object_store::memory::InMemory;
use tokio_postgres::Client;

use crate::cluster::Cluster;

/// Every kind of WAL that is special.
pub(crate) async fn work(client: &Client) {
    client
        .batch_execute(
            "create table if not exists t (id serial primary key, note text);
             insert into t (note) select repeat('x', g % 2000) from generate_series(1, 3000) g;
             select pg_switch_wal();
             create index on t (note);
             update t set note = note || 'y' where id % 3 = 0;
             select pg_logical_emit_message(false, 'large', repeat('0123456789', 2000000));
             checkpoint;
             create table if not exists u as select * from t;
             delete from t where id % 7 = 0;",
        )
        .await
        .unwrap();
}

pub(crate) async fn count(client: &Client) -> (i64, i64) {
    let row = client.query_one("select count(*), sum(length(note)) from t", &[]).await.unwrap();
    (row.get(0), row.get(1))
}

pub(crate) async fn lsn(client: &Client, function: &str) -> Lsn {
    let row = client.query_one(&format!("select {function}()::text"), &[]).await.unwrap();
    row.get::<_, String>(0).parse().unwrap()
}

pub(crate) fn store() -> Store {
    Store::new(Arc::new(InMemory::new()))
}

pub(crate) fn limits() -> Limits {
    Limits {
        piece_age: Duration::from_millis(200),
        look_every: Duration::from_millis(20),
        ask_every: Duration::from_millis(50),
        retry_first: Duration::from_millis(20),
        stale_list: Duration::from_millis(300),
        ..Limits::default()
    }
}

pub(crate) fn writer(cluster: &Cluster, epoch: u32, timeline: Timeline, from: Lsn) -> Writer {
    Writer {
        project: project(),
        branch: branch(),
        epoch: Epoch(epoch),
        timeline,
        from,
        major: cluster.major,
        last_commit: 0,
    }
}

fn project() -> ProjectId {
    "quiet-meadow-k3v9x2ab".parse().unwrap()
}

fn branch() -> BranchId {
    "br-quiet-meadow-k3v9x2ab".parse().unwrap()
}

pub(crate) fn files(cluster: &Cluster, timeline: Timeline) -> Arc<dyn Source> {
    Arc::new(Files::new(cluster.wal(), timeline, cluster.tap()))
}

pub(crate) fn file(store: &Store, writer: Writer, source: Arc<dyn Source>, scope: &Scope) -> Filer {
    Filer::start(store.clone(), writer, source, limits(), scope)
}

/// A line of the stretches (epoch, timeline, from, to).
pub(crate) fn line(cluster: &Cluster, stretches: &[(u32, Timeline, Lsn, Lsn)]) -> Line {
    let stretch = |&(epoch, timeline, from, to): &(u32, Timeline, Lsn, Lsn)| Stretch {
        branch: branch(),
        epoch: Epoch(epoch),
        timeline,
        from,
        to,
    };
    Line { project: project(), major: cluster.major, stretches: stretches.iter().map(stretch).collect() }
}
