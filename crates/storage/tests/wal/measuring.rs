//! Figures, not tests: `cargo test --release -p dormouse-storage --test wal -- --ignored --nocapture measure`.

use std::process::{Child, Stdio};
use std::sync::Arc;

use async_trait::async_trait;
use dormouse_base::Timeline;
use dormouse_base::clock::Mono;
use dormouse_runtime::task::{Scope, blocking};
use dormouse_storage::Store;
use dormouse_storage::wal::Reader;
use dormouse_storage::wal::filer::{Filer, Limits};
use dormouse_storage::wal::piece::{self, MAX_PIECE, PieceHeader};
use dormouse_storage::wal::source::Source;
use dormouse_storage::wal::source::stream::{Acknowledge, Connect, Duplex, Settings, Stream};
use object_store::local::LocalFileSystem;

use crate::cluster::Cluster;
use crate::load::{files, lsn, writer};

const ONE: Timeline = Timeline(1);

fn pgbench(cluster: &Cluster, args: &[&str]) -> String {
    let dir = cluster.socket().parent().unwrap().to_str().unwrap().to_owned();
    let mut all = vec!["-h", &dir, "-U", "postgres"];
    all.extend(args);
    all.push("postgres");
    cluster.run("pgbench", &all)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn measure_reader() {
    let Some(cluster) = Cluster::new(15) else { return };
    let (redo, one, _) = cluster.stopped_at();
    cluster.start();
    let client = cluster.client().await;
    client.batch_execute("select pg_create_physical_replication_slot('hold', true)").await.unwrap();
    pgbench(&cluster, &["-i", "-s", "10", "-q"]);
    pgbench(&cluster, &["-c", "8", "-T", "4"]);
    let to = lsn(&client, "pg_current_wal_flush_lsn").await;
    let bytes = cluster.bytes(one, redo, to);
    let mib = bytes.len() as f64 / 1048576.0;
    for _ in 0..3 {
        let mut records = 0_u64;
        let mut reader = Reader::at(cluster.major, redo);
        let start = Mono::now();
        reader.push(&bytes, |_| records += 1).unwrap();
        let seconds = start.elapsed().as_secs_f64();
        println!("reader: {:.0} MiB/s, {mib:.0} MiB, {records} records", mib / seconds);
    }
    let start = Mono::now();
    let mut stored = 0;
    for chunk in bytes.chunks(usize::try_from(MAX_PIECE).unwrap()) {
        let end = redo.plus(chunk.len() as u64);
        let header = PieceHeader {
            major: cluster.major,
            timeline: one,
            start: redo,
            end,
            first_record: None,
            last_end: None,
            commits: None,
            last_commit: 0,
        };
        stored += piece::encode(&header, chunk).len();
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("pieces: {:.0} MiB/s, to {:.1} %", mib / seconds, stored as f64 * 100.0 / bytes.len() as f64);
}

struct Socket(std::path::PathBuf);

#[async_trait]
impl Connect for Socket {
    async fn connect(&self) -> std::io::Result<Box<dyn Duplex>> {
        Ok(Box::new(tokio::net::UnixStream::connect(&self.0).await?))
    }
}

enum Running {
    None,
    Ours(Scope, Filer),
    Theirs(Child),
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn measure_overhead() {
    let Some(cluster) = Cluster::new(15) else { return };
    cluster.set("fsync = on\nwal_keep_size = '2GB'\nshared_buffers = 128MB");
    cluster.start();
    pgbench(&cluster, &["-i", "-s", "10", "-q"]);
    let cluster = Arc::new(cluster);
    let receive = cluster.root.path().join("receive");
    std::fs::create_dir(&receive).unwrap();
    std::fs::set_permissions(&receive, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    for round in 0..3 {
        for (number, mode) in ["none", "files", "stream", "pg_receivewal"].iter().enumerate() {
            let client = cluster.client().await;
            let from = lsn(&client, "pg_current_wal_flush_lsn").await;
            let epoch = round * 10 + u32::try_from(number).unwrap() + 1;
            let dir = tempfile::tempdir().unwrap();
            let store = Store::new(Arc::new(LocalFileSystem::new_with_prefix(dir.path()).unwrap()));
            let scope = Scope::new();
            let ours = |source: Arc<dyn Source>| {
                Filer::start(
                    store.clone(),
                    writer(&cluster, epoch, ONE, from),
                    source,
                    Limits::default(),
                    &scope,
                )
            };
            let running = match *mode {
                "files" => Running::Ours(scope.clone(), ours(files(&cluster, ONE))),
                "stream" => {
                    let settings = Settings {
                        user: "postgres".to_owned(),
                        timeline: ONE,
                        from,
                        acknowledge: Acknowledge::Spooled,
                    };
                    let spool = dir.path().join("spool");
                    let connect = Arc::new(Socket(cluster.socket()));
                    let source = Stream::start(connect, settings, &spool, &scope).await.unwrap();
                    Running::Ours(scope.clone(), ours(Arc::new(source)))
                }
                "pg_receivewal" => {
                    let mut command = cluster.command("pg_receivewal");
                    command.args(["-U", "postgres", "-D", receive.to_str().unwrap(), "--no-loop", "-h"]);
                    command.arg(cluster.socket().parent().unwrap()).stderr(Stdio::null());
                    Running::Theirs(command.spawn().unwrap())
                }
                _ => Running::None,
            };
            let bench = Arc::clone(&cluster);
            let text = blocking(move || pgbench(&bench, &["-c", "8", "-T", "5", "-n"])).await;
            let tps = text.lines().find(|l| l.starts_with("tps")).unwrap_or_default().to_owned();
            let mut note = String::new();
            match running {
                Running::None => {}
                Running::Ours(scope, filer) => {
                    let before = filer.status().borrow().lag_bytes();
                    let start = Mono::now();
                    filer.file_now(None).await.unwrap();
                    let status = filer.status().borrow().clone();
                    note = format!(
                        "{} pieces, {} → {} bytes, rest ({before} bytes) filed in {:?}",
                        status.pieces,
                        status.plain_bytes,
                        status.stored_bytes,
                        start.elapsed()
                    );
                    scope.close(std::time::Duration::from_secs(5)).await;
                }
                Running::Theirs(mut child) => {
                    child.kill().unwrap();
                    child.wait().unwrap();
                }
            }
            client
                .batch_execute(
                    "select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active",
                )
                .await
                .unwrap();
            println!("{mode:>14}: {tps} {note}");
        }
    }
}
