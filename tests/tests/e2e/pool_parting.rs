//! Somebody goes, and the log of `dormouse pool` and the client are told why.

use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_tests::foreign::Foreign;
use dormouse_tests::raw::{PROTOCOL_3_0, Raw, startup};

use crate::pool_ini::{Pooler, WITHIN, server};

fn pooler(foreign: &Foreign, settings: &str) -> Pooler {
    let mut pooler = Pooler::new();
    pooler.write(
        &format!("db = host=127.0.0.1 port={} dbname=postgres pool_size=1", foreign.port()),
        &format!("auth_type = scram-sha-256\npool_mode = transaction\n{settings}"),
        "\"s\" \"new\"\n\"admin\" \"admin\"\n",
    );
    pooler.start();
    pooler
}

async fn client(pooler: &Pooler) -> Raw {
    let mut raw = Raw::open(pooler.port).await;
    let packet = startup(PROTOCOL_3_0, &[("user", "s"), ("database", "db")]);
    raw.login(&packet, "new").await.unwrap();
    raw
}

#[tokio::test]
async fn who_goes_is_logged_and_a_server_is_not_blamed_for_its_client() {
    let Some(foreign) = server(15) else { return };
    let pooler = pooler(&foreign, "");
    for sql in ["select pg_sleep(30)", "begin", "copy (select generate_series(1, 100000000)) to stdout"] {
        let mut raw = client(&pooler).await;
        raw.query(sql).await;
        // Its statement is on its way to the server, or has been answered.
        let start = Mono::now();
        while foreign.sql("postgres", &format!("select count(*) from pg_stat_activity where query = '{sql}'"))
            != "1"
        {
            assert!(start.elapsed() < WITHIN, "{sql}");
        }
        let ends = || pooler.log().matches("client disconnect while server was not ready").count();
        let before = ends();
        drop(raw);
        // What rests in a transaction is rolled back and kept.
        while sql != "begin" && ends() == before {
            assert!(start.elapsed() < WITHIN, "{sql}: {}", pooler.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    pooler.wait_for_log("closing because: client unexpected eof");
    assert!(!pooler.log().contains("client close request"), "{}", pooler.log());
    let mut raw = client(&pooler).await;
    raw.send(b"X\0\0\0\x04").await;
    pooler.wait_for_log("closing because: client close request");
    assert!(!pooler.log().contains("crashed"), "{}", pooler.log());
}

#[tokio::test]
async fn who_has_logged_in_and_finds_no_room_is_logged_as_others_that_are_refused() {
    let Some(foreign) = server(15) else { return };
    let pooler = pooler(&foreign, "max_client_conn = 1");
    let _first = client(&pooler).await;
    let packet = startup(PROTOCOL_3_0, &[("user", "s"), ("database", "db")]);
    assert!(Raw::open(pooler.port).await.login(&packet, "new").await.is_err());
    for begins in ["closing because: ", "pooler error: "] {
        pooler.wait_for_log(&format!("{begins}no more connections allowed (max_client_conn)"));
    }
}

#[tokio::test]
async fn who_is_in_and_has_to_go_is_in_the_log_as_an_error_of_the_pooler() {
    let Some(foreign) = server(15) else { return };
    let pooler = pooler(&foreign, "client_idle_timeout = 0.3\nlog_disconnections = 0");
    let mut idle = client(&pooler).await;
    assert_eq!(idle.error().await.fields.message(), "client_idle_timeout");
    pooler.wait_for_log("pooler error: client_idle_timeout");
    assert!(!pooler.log().contains("closing because: client_idle_timeout"), "{}", pooler.log());
}

#[tokio::test]
async fn who_says_too_much_at_once_hears_so() {
    let Some(foreign) = server(15) else { return };
    let pooler = pooler(&foreign, "");
    let mut raw = client(&pooler).await;
    let text = vec![b' '; 70 << 20];
    raw.send(b"P").await;
    raw.send(&u32::try_from(text.len() + 4).unwrap().to_be_bytes()).await;
    // What it sends is taken to its end.
    raw.send(&text).await;
    let words = raw.rest(WITHIN).await;
    assert!(String::from_utf8_lossy(&words).contains("too large for a pooled connection"), "{words:?}");
}

#[test]
fn another_pause_between_tries_holds_for_those_who_wait() {
    let Some(mut foreign) = server(15) else { return };
    let pooler = pooler(&foreign, "server_login_retry = 3000\nadmin_users = admin");
    let dsn = pooler.dsn("127.0.0.1", "s", "new", "db");
    assert_eq!(pooler.psql(&dsn, "select 1").good(), "1");
    foreign.stop();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| pooler.psql(&dsn, "select 2"));
        pooler.wait_for_log("cannot connect to a server");
        foreign.run();
        let admin = pooler.dsn("127.0.0.1", "admin", "admin", "pgbouncer");
        pooler.psql(&admin, "set server_login_retry = 1").good();
        let start = Mono::now();
        assert_eq!(waiting.join().unwrap().good(), "2");
        assert!(start.elapsed() < WITHIN);
    });
}
