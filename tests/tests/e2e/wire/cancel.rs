//! A cancel request ends the statement that it means, and no other.

use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_compute::sandbox::process;
use dormouse_tests::Server;
use dormouse_tests::programs::python;
use dormouse_tests::raw::{PROTOCOL_3_0, Raw, prefixed, startup};
use rustix::process::Signal;

/// Both sessions sleep; the first is cancelled, the second comes to its end.
const TWO: &str = "import os, threading, time, psycopg
dsn = os.environ['DSN']
one, two, watch = (psycopg.connect(dsn, autocommit=True) for _ in range(3))
said = {}
def sleep(name, session, seconds):
    try:
        session.execute('select pg_sleep(%s)', (seconds,))
        said[name] = 'done'
    except psycopg.errors.QueryCanceled:
        said[name] = 'cancelled'
threads = [threading.Thread(target=sleep, args=a) for a in (('one', one, 30), ('two', two, 3))]
for t in threads: t.start()
pids = [one.info.backend_pid, two.info.backend_pid]
while watch.execute(\"select count(*) from pg_stat_activity where pid = any(%s) and wait_event = 'PgSleep'\", (pids,)).fetchone()[0] < 2:
    time.sleep(0.02)
one.cancel_safe(timeout=10) if os.environ['HOW'] == 'safe' else one.cancel()
for t in threads: t.join()
assert pids[0] == one.execute('select pg_backend_pid()').fetchone()[0]
print(said['one'], said['two'])
";

#[tokio::test]
async fn a_cancel_ends_the_right_statement() {
    let server = Server::start(&[]);
    of_two_sessions_the_right_one(&server).await;
    only_with_the_right_secret(&server).await;
    by_ctrl_c_in_psql(&server).await;
}

async fn of_two_sessions_the_right_one(server: &Server) {
    for (mode, how) in [("require", "safe"), ("require", "plain"), ("disable", "safe")] {
        let dsn = format!("{} sslmode={mode} password={}", server.conninfo(""), server.password());
        let said = python(TWO, &[("DSN", &dsn), ("HOW", how)]).good();
        assert_eq!(said, "cancelled done", "{mode} {how}");
    }
    server.assert_clean_log(&[]);
}

async fn only_with_the_right_secret(server: &Server) {
    let packet = startup(PROTOCOL_3_0, &[("user", "app_owner"), ("database", "app")]);
    let mut raw = Raw::open(server.pg_port()).await;
    let key = raw.login(&packet, &server.password()).await.unwrap().key.unwrap();
    assert_eq!(key.secret.expose().len(), 4, "protocol 3.0 has four bytes");
    raw.query("select pg_sleep(30)").await;
    let watch = server.connect().await;
    let pid = i32::try_from(key.pid).unwrap();
    sleeping(&watch, pid).await;
    let cancel = |pid: u32, secret: &[u8]| {
        let code = (1234u32 << 16 | 5678).to_be_bytes();
        prefixed(&[&code, &pid.to_be_bytes()[..], secret].concat())
    };
    let mut wrong = key.secret.expose().clone();
    wrong[0] ^= 1;
    let start = Mono::now();
    for packet in [cancel(key.pid, &wrong), cancel(key.pid + 1, key.secret.expose()), cancel(key.pid, b"x")] {
        let mut other = Raw::open(server.pg_port()).await;
        other.send(&packet).await;
        // A reply would tell a guesser something.
        assert_eq!(other.rest(Duration::from_secs(10)).await, b"");
    }
    sleeping(&watch, pid).await;
    let mut other = Raw::open(server.pg_port()).await;
    other.send(&cancel(key.pid, key.secret.expose())).await;
    assert_eq!(other.rest(Duration::from_secs(10)).await, b"");
    let error = raw.rows().await.unwrap_err();
    assert_eq!(error.fields.code(), "57014");
    assert!(start.elapsed() < Duration::from_secs(15));
    // A cancel that comes too late hits nothing.
    let mut other = Raw::open(server.pg_port()).await;
    other.send(&cancel(key.pid, key.secret.expose())).await;
    other.rest(Duration::from_secs(10)).await;
    raw.query("select 'alive'").await;
    assert_eq!(raw.rows().await.unwrap(), ["alive"]);
}

async fn sleeping(watch: &tokio_postgres::Client, pid: i32) {
    let start = Mono::now();
    let sql = "select count(*) from pg_stat_activity where pid = $1 and wait_event = 'PgSleep'";
    while watch.query_one(sql, &[&pid]).await.unwrap().get::<_, i64>(0) == 0 {
        assert!(start.elapsed() < Duration::from_secs(10), "{pid} does not sleep");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn by_ctrl_c_in_psql(server: &Server) {
    let mut child = std::process::Command::new("psql")
        .args(["-X", "-d", &server.conninfo("application_name=interrupted"), "-c", "select pg_sleep(30)"])
        .env("PGPASSWORD", server.password())
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let watch = server.connect().await;
    let start = Mono::now();
    let sql =
        "select pid from pg_stat_activity where application_name = 'interrupted' and wait_event = 'PgSleep'";
    while watch.query_opt(sql, &[]).await.unwrap().is_none() {
        assert!(start.elapsed() < Duration::from_secs(10), "psql does not sleep");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    process::signal(child.id(), Signal::INT);
    let mut said = String::new();
    std::io::Read::read_to_string(child.stderr.as_mut().unwrap(), &mut said).unwrap();
    child.wait().unwrap();
    assert!(said.contains("canceling statement due to user request"), "{said}");
    assert!(start.elapsed() < Duration::from_secs(15));
}
