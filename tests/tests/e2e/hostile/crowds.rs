//! Thousands at once.

use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_tests::Server;
use dormouse_tests::raw::{PROTOCOL_3_0, startup};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Witness, are_given_back, cpu, descriptors, memory};

/// Half-open connections, if the limit of descriptors allows.
const HALF_OPEN: u64 = 10_000;

/// What half-open connections may cost the server, in KiB: it keeps 2,000 of them at most.
const GROWTH: u64 = 64 << 10;

/// Raises this process's own limit as far as it may (the server inherits it), and tells how many
/// connections that allows.
fn room() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    limit.maximum.unwrap_or(u64::MAX).saturating_sub(1_000).min(HALF_OPEN)
}

#[tokio::test]
async fn thousands_of_half_open_connections() {
    let count = room();
    assert!(count >= 1_000, "the limit of descriptors is too low for this test: ulimit -n");
    let server = Server::start(&[]);
    let witness = Witness::new(&server).await;
    let (held, files) = (memory(&server), descriptors(&server));
    let half = startup(PROTOCOL_3_0, &[("user", "app_owner"), ("database", "app")]);
    let mut crowd = Vec::new();
    for number in 0..count {
        let mut stream = TcpStream::connect(("127.0.0.1", server.pg_port())).await.unwrap();
        // A third says nothing, a third says half of it, a third does not answer the challenge.
        match number % 3 {
            0 => {}
            1 => stream.write_all(&half[..10]).await.unwrap(),
            _ => drop(stream.write_all(&half).await),
        }
        crowd.push(stream);
        if number % (count / 5) == 0 {
            witness.is_well(&server).await;
        }
    }
    for _ in 0..5 {
        witness.is_well(&server).await;
    }
    let grown = memory(&server).saturating_sub(held);
    assert!(grown < GROWTH, "{count} half-open connections cost {grown} KiB");
    let open = descriptors(&server) - files;
    assert!(open < 2_100, "{open} are kept; the oldest must give way");
    // The oldest was closed, the newest waits.
    let mut byte = [0; 1];
    let oldest = tokio::time::timeout(Duration::from_secs(5), crowd[0].read(&mut byte)).await;
    assert!(matches!(oldest, Ok(Ok(0) | Err(_))), "{oldest:?}");
    // Waiting for them costs nothing, once what follows a server's first wake (spares, a snapshot) is done.
    let mut busy = u64::MAX;
    for _ in 0..15 {
        let (before, start) = (cpu(&server), Mono::now());
        while start.elapsed() < Duration::from_secs(1) {
            witness.is_well(&server).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        busy = busy.min(cpu(&server) - before);
        if busy < 50 {
            break;
        }
    }
    assert!(busy < 50, "half a second of CPU in a second: {busy} ticks");
    drop(crowd);
    are_given_back(&server, files + 8);
    witness.is_well(&server).await;
    server.assert_clean_log(&[]);
}

#[tokio::test]
async fn ten_thousand_connects_and_closes() {
    const ALL: usize = 10_000;
    const AT_ONCE: usize = 50;
    let server = Server::start(&[]);
    let witness = Witness::new(&server).await;
    let (held, files) = (memory(&server), descriptors(&server));
    let half = startup(PROTOCOL_3_0, &[("user", "app_owner"), ("database", "app")]);
    for round in 0..ALL / AT_ONCE {
        let mut some = Vec::with_capacity(AT_ONCE);
        for number in 0..AT_ONCE {
            let mut stream = TcpStream::connect(("127.0.0.1", server.pg_port())).await.unwrap();
            if number % 2 == 0 {
                let _closed = stream.write_all(&half[..number.min(half.len())]).await;
            }
            some.push(stream);
        }
        drop(some);
        if round % 50 == 0 {
            witness.is_well(&server).await;
        }
    }
    are_given_back(&server, files + 8);
    let grown = memory(&server).saturating_sub(held);
    assert!(grown < GROWTH, "nothing of them is left, but {grown} KiB more are used");
    witness.is_well(&server).await;
    server.assert_clean_log(&[]);
}
