//! Operators of `dormouse pool` who come from PgBouncer: what its files and its other process ask for, and who leaves.

use std::path::Path;
use std::process::Command;

use dormouse_tests::note;

use crate::pool_ini::{Pooler, server};

const PGBOUNCER: &str = "/usr/sbin/pgbouncer";

#[test]
fn a_first_query_that_fails_is_logged_and_keeps_nobody_out() {
    let Some(foreign) = server(15) else { return };
    let mut pooler = Pooler::new();
    let to = format!("host=127.0.0.1 port={} dbname=postgres", foreign.port());
    pooler.write(
        &format!(
            "db = {to} connect_query='select nothing_here()'\n\
             lost = {to} connect_query='select pg_terminate_backend(pg_backend_pid())'"
        ),
        "auth_type = scram-sha-256\nquery_wait_timeout = 1",
        "\"s\" \"new\"\n",
    );
    pooler.start();
    let ask = |database| pooler.psql(&pooler.dsn("127.0.0.1", "s", "new", database), "select 1");
    assert_eq!(ask("db").good(), "1");
    let log = pooler.log();
    let wanted = "error while executing exec_on_query: ERROR: function nothing_here() does not exist";
    assert!(log.lines().any(|line| line.contains(" ERROR S-") && line.contains(wanted)), "{log}");
    // One that ends its server is a server that cannot be had.
    assert!(ask("lost").bad().contains("cannot connect"));
    assert!(pooler.log().contains("closing because: server conn crashed?"), "{}", pooler.log());
}

#[test]
fn a_pgbouncer_that_would_take_over_gives_up_and_work_goes_on() {
    let Some(foreign) = server(15) else { return };
    let mut pooler = Pooler::new();
    pooler.write(
        &format!("db = host=127.0.0.1 port={} dbname=postgres", foreign.port()),
        "auth_type = scram-sha-256",
        "\"s\" \"new\"\n",
    );
    pooler.start();
    let dir = pooler.dir.path().display().to_string();
    let admin = |sql: &str| pooler.psql(&pooler.dsn(&dir, "pgbouncer", "''", "pgbouncer"), sql);
    assert!(admin("show fds").bad().contains("without -R"));
    // As it does it. What somebody else has suspended is not resumed.
    admin("suspend").good();
    admin("show fds").bad();
    assert!(admin("show state").good().contains("suspended|yes"));
    admin("resume").good();
    let dsn = pooler.dsn(&dir, "pgbouncer", "''", "pgbouncer");
    let asks = ["-XAtq", "-d", &dsn, "-c", "suspend", "-c", "show fds"];
    assert!(dormouse_tests::programs::run(Path::new("psql"), &asks, &[]).bad().contains("without -R"));
    pooler.wait_for_log("has left without the sockets: resumed");
    assert!(admin("show state").good().contains("suspended|no"));
    if Path::new(PGBOUNCER).exists() && !rustix::process::geteuid().is_root() {
        let ini = pooler.path("p.ini");
        let said = Command::new("timeout").args(["10", PGBOUNCER, "-R"]).arg(ini).output().unwrap();
        assert_eq!(said.status.code(), Some(1), "{}", String::from_utf8_lossy(&said.stderr));
    } else {
        note("PgBouncer itself is not asked: it is not installed, or this is root");
    }
    let ask = |host| pooler.psql(&pooler.dsn(host, "s", "new", "db"), "select 1").good();
    assert_eq!((ask("127.0.0.1").as_str(), ask(&dir).as_str()), ("1", "1"));
}
