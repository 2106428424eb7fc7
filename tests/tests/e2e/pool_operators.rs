//! Operators of `dormouse pool` who come from PgBouncer: what its files and its other process ask for, and who leaves.

use crate::pool_ini::{Pooler, server};

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
