//! Bad input: closed by limits, and nobody else notices.
//!
//! In each test an ordinary session lives beside the attack ([`Witness`]), and the log must show
//! neither a panic nor a warning: what strangers send is nothing an operator should have to read.

mod crowds;
mod fuzz;
mod packets;
mod slow;

use std::path::PathBuf;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_tests::{Server, Session};

/// An ordinary client must be served within this time, whatever the others do.
const SERVED_WITHIN: Duration = Duration::from_secs(2);

/// A server that has opened and closed nothing for so long has settled ...
const QUIET: Duration = Duration::from_secs(2);

/// ... and is taken for settled after this time.
const SETTLED_WITHIN: Duration = Duration::from_secs(15);

/// Connections of clients that are gone are closed within this time.
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(40);

/// A session that was there before the attack.
struct Witness {
    session: Session,
    pid: i32,
}

impl Witness {
    async fn new(server: &Server) -> Self {
        let session = server.session().await;
        let pid = session.client.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
        settled(server).await;
        Self { session, pid }
    }

    /// The old session works, and a new one is served soon.
    async fn is_well(&self, server: &Server) {
        let start = Mono::now();
        let pid: i32 = self.session.client.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
        assert_eq!(pid, self.pid);
        let client = server.session().await;
        client.client.query_one("select 1", &[]).await.unwrap();
        client.close().await;
        let took = start.elapsed();
        assert!(took < SERVED_WITHIN, "an ordinary client waited {took:?}");
    }
}

/// Memory in use, in KiB.
fn memory(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Open descriptors.
fn descriptors(server: &Server) -> usize {
    open_files(server).len()
}

fn open_files(server: &Server) -> Vec<PathBuf> {
    let all = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap();
    // One may be closed meanwhile.
    all.map(|file| std::fs::read_link(file.unwrap().path()).unwrap_or_default()).collect()
}

/// What a server does in the background when it has started is over: it opens and closes nothing by itself.
async fn settled(server: &Server) {
    let (start, mut since, mut last) = (Mono::now(), Mono::now(), descriptors(server));
    while since.elapsed() < QUIET && start.elapsed() < SETTLED_WITHIN {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = descriptors(server);
        if now != last {
            (since, last) = (Mono::now(), now);
        }
    }
}

/// No more than these are open, after a while.
fn are_given_back(server: &Server, most: usize) {
    let start = Mono::now();
    while descriptors(server) > most {
        assert!(start.elapsed() < GIVEN_BACK_WITHIN, "more than {most}: {:#?}", open_files(server));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// CPU time used so far, in ticks of 10 ms.
fn cpu(server: &Server) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
