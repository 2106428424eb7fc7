//! The official clients of the serverless world, unmodified, against the gateway: `@neondatabase/serverless` (HTTP and
//! WebSocket), drizzle's and Prisma's adapters for it, and functions as the clouds run them. Each begins with an
//! endpoint that is asleep, and is put to sleep again in between.
//!
//! | test      | HTTP | WebSocket | asleep | what else |
//! |-----------|------|-----------|--------|---|
//! | neon      | yes  | yes       | yes    | batches, types, errors, wrong passwords, all kinds of logins |
//! | over TLS  | yes  | yes       |        | the same port, with a certificate that is checked |
//! | drizzle   | yes  | yes       | yes    | batch, transactions, prepared |
//! | prisma    | yes  | yes       | yes    | nested writes, transactions |
//! | functions | yes  | yes       | yes    | Lambda-style, Workers-style, TCP by the pooled name |
//! | workerd   | yes  | yes       | yes    | the guide's fetch handler in the runtime of Cloudflare Workers |
//! | browser   | yes  | yes       | yes    | a page of another origin in Chromium, in the clear and over TLS |
//! | psycopg   |      |           | yes    | `sslnegotiation=direct` |

use std::path::Path;

use dormouse_tests::note;

use crate::pool_house::{House, python, skipped};

fn program(name: &str, naps: u32) {
    if skipped("node", name) {
        return;
    }
    let house = House::new();
    assert_eq!(house.server.state_of(&house.project), "stopped", "the first request wakes it");
    let base = house.server.ready()["console"].as_str().unwrap().trim_end_matches('/').to_owned();
    drive(&house, name, &base, naps, &[]);
}

fn drive(house: &House, name: &str, base: &str, naps: u32, more: &[(&str, &str)]) {
    let path = dormouse_tests::checkout().join("tests/drivers/node").join(format!("gateway_{name}.mjs"));
    let pooled = house.dsn();
    let mut environment = vec![("DSN", pooled.as_str()), ("DIRECT", house.direct()), ("HTTP", base)];
    environment.extend(more);
    let (said, slept) = house.run(Path::new("node"), &[path.to_str().unwrap()], &environment);
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with(&format!("ok gateway_{name}")), "{said}");
    assert_eq!(slept, naps, "{said}");
    note(last);
    house.assert_clean_log();
}

#[test]
fn neon() {
    program("neon", 3);
}

#[test]
fn neon_over_tls() {
    if skipped("node", "neon") {
        return;
    }
    let house = House::new();
    let base = house.server.ready()["console"].as_str().unwrap().trim_end_matches('/').to_owned();
    let base = base.replace("http://127.0.0.1", "https://localhost");
    let certificate = house.server.certificate();
    let trust = [("NODE_EXTRA_CA_CERTS", certificate.to_str().unwrap())];
    drive(&house, "neon", &base, 3, &trust);
}

#[test]
fn drizzle() {
    program("drizzle", 2);
}

#[test]
fn prisma() {
    program("prisma", 2);
}

#[test]
fn functions() {
    program("functions", 3);
}

#[test]
fn workerd() {
    if !skipped("workerd", "workerd") {
        program("workerd", 2);
    }
}

#[test]
fn browser() {
    if !skipped("browser", "browser") {
        program("browser", 2);
    }
}

#[test]
fn psycopg_with_direct_tls() {
    if skipped("python", "psycopg") {
        return;
    }
    let house = House::new();
    let dsn = format!("{}&sslmode=require", house.dsn());
    let text = "import os, psycopg\n\
        from psycopg import pq\n\
        d = os.environ['DSN']\n\
        d += '&sslnegotiation=direct' if pq.version() >= 170000 else ''\n\
        with psycopg.connect(d, autocommit=True) as c:\n\
        \x20   print(c.execute('select 40 + 2').fetchone()[0], c.pgconn.ssl_in_use)\n\
        \x20   print('SLEEP', flush=True); input()\n\
        \x20   print(c.execute('select 40 + 3').fetchone()[0])\n";
    let (said, slept) = house.run(&python(), &["-c", text], &[("DSN", &dsn)]);
    assert_eq!((said.as_str(), slept), ("42 True\n43\n", 1));
}
