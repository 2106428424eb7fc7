//! Clients that take their time.

use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_tests::Server;
use dormouse_tests::raw::{PROTOCOL_3_0, Raw, prefixed, startup};
use tokio::io::AsyncWriteExt;

use super::{Witness, are_given_back, cpu, descriptors, memory};

/// The time for a login is 15 s.
const LOGIN_ENDS: std::ops::Range<Duration> = Duration::from_secs(13)..Duration::from_secs(19);

/// Writes a byte now and then, and returns when the server has had enough.
async fn drip(port: u16, bytes: Vec<u8>) -> Duration {
    let mut raw = Raw::open(port).await;
    let start = Mono::now();
    for byte in bytes {
        if raw.stream.write_all(&[byte]).await.is_err() {
            break;
        }
        if tokio::time::timeout(Duration::from_millis(400), raw.stream.readable()).await.is_ok() {
            break;
        }
    }
    raw.rest(Duration::from_secs(20)).await;
    start.elapsed()
}

#[tokio::test]
async fn nobody_may_take_for_ever_to_log_in() {
    let server = Server::start(&[]);
    let witness = Witness::new(&server).await;
    let port = server.pg_port();
    let packet = startup(
        PROTOCOL_3_0,
        &[("user", "app_owner"), ("database", "app"), ("application_name", "a slow one")],
    );
    // In the same 15 s: nothing at all, half a packet, a byte now and then, half a TLS handshake, no
    // answer to the challenge.
    let silent = drip(port, Vec::new());
    let half = async {
        let mut raw = Raw::open(port).await;
        let start = Mono::now();
        raw.send(&packet[..20]).await;
        raw.rest(Duration::from_secs(20)).await;
        start.elapsed()
    };
    let loris = drip(port, packet.clone());
    let tls = async {
        let mut raw = Raw::open(port).await;
        let start = Mono::now();
        raw.send(&prefixed(&(1234u32 << 16 | 5679).to_be_bytes())).await;
        raw.send(&[0x16, 3, 1, 2, 0, 1, 0]).await;
        raw.rest(Duration::from_secs(20)).await;
        start.elapsed()
    };
    let no_answer = async {
        let mut raw = Raw::open(port).await;
        let start = Mono::now();
        raw.send(&packet).await;
        raw.rest(Duration::from_secs(20)).await;
        start.elapsed()
    };
    let (a, b, c, d, e) = tokio::join!(silent, half, loris, tls, no_answer);
    for (what, took) in [("silent", a), ("half", b), ("slow", c), ("TLS", d), ("challenge", e)] {
        // A bug that closes too early would cut off real clients on bad lines.
        let closed = LOGIN_ENDS.contains(&took) || (what == "TLS" && took < LOGIN_ENDS.end);
        assert!(closed, "{what}: closed after {took:?}");
    }
    witness.is_well(&server).await;
    server.assert_clean_log(&[]);
}

/// Each asks for a gigabyte and reads nothing of it.
#[tokio::test]
async fn readers_that_do_not_read() {
    const READERS: usize = 8;
    /// What the proxy may hold for them together, in KiB.
    const GROWTH: u64 = 16 << 10;
    let server = Server::start(&[]);
    let witness = Witness::new(&server).await;
    let packet = startup(PROTOCOL_3_0, &[("user", "app_owner"), ("database", "app")]);
    let (held, files) = (memory(&server), descriptors(&server));
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let mut raw = Raw::open(server.pg_port()).await;
        raw.login(&packet, &server.password()).await.unwrap();
        raw.query("select repeat('x', 1000000) from generate_series(1, 1000)").await;
        readers.push(raw);
    }
    let sql = "select count(*) from pg_stat_activity where wait_event = 'ClientWrite'";
    let stuck = async |count: i64| {
        let start = Mono::now();
        while witness.session.client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) != count {
            assert!(start.elapsed() < Duration::from_secs(20), "not {count} backends wait for their client");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    stuck(i64::try_from(READERS).unwrap()).await;
    let grown = memory(&server).saturating_sub(held);
    assert!(grown < GROWTH, "the server holds {grown} KiB for {READERS} clients that do not read");
    // Held back without spinning.
    let before = cpu(&server);
    for _ in 0..10 {
        witness.is_well(&server).await;
    }
    assert!(cpu(&server) - before < 100, "a second of CPU for nothing");
    drop(readers);
    stuck(0).await;
    are_given_back(&server, files + 4);
    server.assert_clean_log(&[]);
}
