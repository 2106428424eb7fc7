//! kill -9 of everything, in turn and twice, under load; then every row that was acknowledged is
//! there exactly once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_compute::sandbox::process;
use dormouse_tests::{Project, Server, free_port, note, sysv_segments};
use rustix::process::Signal;
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};

const WRITERS: i32 = 4;

/// So many rows must be acknowledged between two kills: the database works again.
const PROGRESS: usize = 25;

/// … within this time.
const WORKS_AGAIN_WITHIN: Duration = Duration::from_secs(40);

/// What writers and the killer share.
#[derive(Debug, Default)]
struct Load {
    stop: AtomicBool,
    acknowledged: AtomicUsize,
}

/// What one writer knows at the end.
#[derive(Debug, Default)]
struct Ledger {
    writer: i32,
    acknowledged: Vec<i32>,
    tried: i32,
    /// Errors that no client should see.
    odd: Vec<String>,
}

/// A crash or a stop is told in the words for it, or the connection just ends.
fn is_expected(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_none_or(|db| matches!(db.code().code(), "57P01" | "57P02" | "57P03"))
}

async fn connect(dsn: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = dsn.parse::<tokio_postgres::Config>()?.connect(NoTls).await?;
    dormouse_runtime::task::Scope::new().spawn("ledger-connection", async move {
        let _ended = connection.await;
    });
    Ok(client)
}

async fn write(writer: i32, dsn: String, load: Arc<Load>) -> Ledger {
    let mut ledger = Ledger { writer, ..Ledger::default() };
    let mut session: Option<Client> = None;
    while !load.stop.load(Ordering::Relaxed) {
        let result = match &session {
            Some(client) => {
                ledger.tried += 1;
                let row: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&writer, &ledger.tried];
                client.execute("insert into ledger values ($1, $2)", &row).await.map(|_| None)
            }
            None => connect(&dsn).await.map(Some),
        };
        match result {
            Ok(None) => {
                ledger.acknowledged.push(ledger.tried);
                load.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Ok(connected) => session = connected,
            Err(error) => {
                session = None;
                if !is_expected(&error) {
                    ledger.odd.push(format!("{error:?}"));
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    ledger
}

/// The killer's view.
struct Killer {
    server: Server,
    project: Project,
    load: Arc<Load>,
    /// The postmaster that was killed last.
    killed: AtomicU32,
}

impl Killer {
    /// Waits until the writers get on, and tells the postmaster they work with.
    async fn works(&self, after: &str) -> u32 {
        let start = Mono::now();
        // Backends outlive their postmaster for a moment, and acknowledge what they still commit.
        self.server.until_true(&format!("another postmaster works after: {after}"), || {
            let pid = self.server.endpoint_of(&self.project)["pid"].as_u64();
            pid.is_some_and(|pid| pid != u64::from(self.killed.load(Ordering::Relaxed)))
        });
        let goal = self.load.acknowledged.load(Ordering::Relaxed) + PROGRESS;
        while self.load.acknowledged.load(Ordering::Relaxed) < goal {
            assert!(
                start.elapsed() < WORKS_AGAIN_WITHIN,
                "nothing works after: {after}\n{}",
                self.server.log()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        note(&format!("works {:?} after: {after}", start.elapsed()));
        self.server.postmaster_of(&self.project)
    }

    fn postmaster(&self, pid: u32) {
        self.killed.store(pid, Ordering::Relaxed);
        process::signal(pid, Signal::KILL);
    }

    /// Any child of the postmaster: a backend, or one of PostgreSQL's own.
    fn backend(&self, postmaster: u32) {
        let child = self.server.processes_of(&self.project).into_iter().rfind(|pid| *pid != postmaster);
        process::signal(child.expect("writers have backends"), Signal::KILL);
    }

    /// Waits for any other postmaster than this one, ready or not, and kills it too.
    async fn successor(&self, of: u32) {
        let start = Mono::now();
        loop {
            let file = std::fs::read_to_string(self.server.cluster_of(&self.project).join("postmaster.pid"));
            let pid = file.ok().and_then(|text| text.lines().next()?.parse::<u32>().ok());
            if let Some(pid) =
                pid.filter(|pid| *pid != of && self.server.processes_of(&self.project).contains(pid))
            {
                return self.postmaster(pid);
            }
            assert!(start.elapsed() < WORKS_AGAIN_WITHIN, "no new postmaster:\n{}", self.server.log());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn run(&mut self) {
        let pid = self.works("nothing yet").await;
        self.postmaster(pid);
        let pid = self.works("postmaster").await;
        self.backend(pid);
        self.works("backend").await;
        self.server.kill_9();
        self.server.start_again();
        let pid = self.works("server").await;
        self.postmaster(pid);
        self.server.kill_9();
        self.server.start_again();
        let pid = self.works("both").await;
        self.postmaster(pid);
        self.successor(pid).await;
        self.works("postmaster, twice").await;
        self.server.kill_9();
        self.server.die_starting(Duration::from_millis(60));
        self.server.die_starting(Duration::from_millis(400));
        self.server.start_again();
        let pid = self.works("server, three times").await;
        // The server dies while it heals.
        self.postmaster(pid);
        self.successor(pid).await;
        self.server.kill_9();
        self.server.start_again();
        let pid = self.works("postmaster twice, then server").await;
        self.server.kill_9();
        self.postmaster(pid);
        self.server.start_again();
        self.successor(pid).await;
        let pid = self.works("server, then postmaster twice").await;
        self.backend(pid);
        self.server.kill_9();
        self.server.start_again();
        let pid = self.works("backend, then server").await;
        self.postmaster(pid);
        self.works("postmaster").await;
    }

    /// Every process in the data directory belongs to the one postmaster that the server knows.
    fn nobody_is_unknown(&self) {
        let postmaster = self.server.postmaster_of(&self.project);
        let parent = |pid: u32| -> Option<u32> {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
        };
        for pid in self.server.computes() {
            let known = pid == postmaster || parent(pid).is_none_or(|p| p == postmaster);
            assert!(known, "{pid} is not of {postmaster}");
        }
        let uid = self.server.uid_of(&self.project);
        if uid != 0 {
            let segments = sysv_segments(uid);
            assert!(segments.len() == 1 && segments[0].1 > 0, "one segment, in use: {segments:?}");
        }
    }
}

async fn compare(client: &Client, ledgers: &[Ledger]) {
    let mut found: HashMap<(i32, i32), i64> = HashMap::new();
    for row in client.query("select writer, n, count(*) from ledger group by 1, 2", &[]).await.unwrap() {
        found.insert((row.get(0), row.get(1)), row.get(2));
    }
    for ledger in ledgers {
        assert_eq!(ledger.odd, Vec::<String>::new(), "writer {}", ledger.writer);
        for n in &ledger.acknowledged {
            let times = found.remove(&(ledger.writer, *n));
            assert_eq!(times, Some(1), "row {n} of writer {} was acknowledged", ledger.writer);
        }
    }
    // An insert that met a kill may have been committed, once.
    assert!(found.values().all(|times| *times == 1), "{found:?}");
    let unanswered: usize =
        ledgers.iter().map(|l| usize::try_from(l.tried).unwrap() - l.acknowledged.len()).sum();
    assert!(found.len() <= unanswered, "{} rows that nobody wrote", found.len() - unanswered);
    let acknowledged: usize = ledgers.iter().map(|l| l.acknowledged.len()).sum();
    note(&format!(
        "{acknowledged} rows acknowledged, {unanswered} unanswered, {} of those kept",
        found.len()
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_every_kill() {
    let ports = [free_port().to_string(), free_port().to_string()];
    let server = Server::start(&["--pg-port", &ports[0], "--http-port", &ports[1]]);
    let project = server.default_project();
    let client = server.connect().await;
    client.batch_execute("create table ledger(writer int, n int)").await.unwrap();
    drop(client);

    let load = Arc::new(Load::default());
    let writers: JoinSet<Ledger> =
        (0..WRITERS).map(|w| write(w, server.dsn().to_owned(), Arc::clone(&load))).collect();
    let mut killer = Killer { server, project, load: Arc::clone(&load), killed: AtomicU32::new(0) };
    killer.run().await;
    load.stop.store(true, Ordering::Relaxed);
    let ledgers = writers.join_all().await;

    let Killer { ref server, ref project, .. } = killer;
    let client = server.connect().await;
    compare(&client, &ledgers).await;
    killer.nobody_is_unknown();
    drop(client);
    let kinds: Vec<_> = server.events_of(project).into_iter().map(|e| e["kind"].clone()).collect();
    assert!(kinds.iter().filter(|k| **k == "crashed").count() >= 3, "{kinds:?}");
    assert!(kinds.iter().any(|k| k == "adopted"), "{kinds:?}");
    assert_eq!(server.act(project, "suspend").0, 200);
    super::nothing_is_left(server, project);
    assert!(killer.server.stop().1);
}
