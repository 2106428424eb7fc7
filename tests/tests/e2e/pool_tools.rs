//! PostgreSQL's own programs through the pool: psql in every form of the address, pgbench in every
//! mode, and pg_dump with pg_restore, whose place is session mode and which must not be harmed by the
//! other.

use std::path::{Path, PathBuf};

use dormouse_compute::postgres::discover::Installations;

use crate::pool_house::{House, pooled};

/// Clients of pgbench at the same time, and transactions of each.
const CLIENTS: &str = "20";
const TRANSACTIONS: &str = "15";

/// The programs of the version that the default project runs; older ones refuse to dump it.
fn tool(name: &str) -> PathBuf {
    let all = Installations::discover(&[]);
    let newest = all.iter().max_by_key(|i| i.major).unwrap();
    let tool = newest.bin.join(name);
    // Debian has pgbench apart.
    if tool.is_file() { tool } else { PathBuf::from(name) }
}

fn psql(house: &House, address: &str, script: &str) -> (bool, String, u32) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("script.sql");
    std::fs::write(&file, script).unwrap();
    let arguments =
        ["-X", "-w", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", address, "-f", file.to_str().unwrap()];
    house.try_run(Path::new("psql"), &arguments, &[("PGPASSWORD", &house.password())])
}

/// What psql does besides sending what is typed: cursors for big results, savepoints around statements,
/// descriptions, COPY of its own.
const PSQL: &str = r"
\set FETCH_COUNT 7
select sum(g) from generate_series(1, 100) g;
select g from generate_series(1, 20) g;
\unset FETCH_COUNT
create table pool_psql (i int, v text);
\copy pool_psql from program 'seq 1 500 | sed s/$/,x/' with (format csv)
\copy (select count(*) from pool_psql) to stdout
\set ON_ERROR_STOP 0
\set ON_ERROR_ROLLBACK on
begin;
insert into pool_psql values (501, 'kept');
select 1 / 0;
insert into pool_psql values (502, 'kept');
commit;
select 1 / 0;
\echo :LAST_ERROR_SQLSTATE
\set ON_ERROR_STOP 1
select count(*) from pool_psql;
select 1 as a, 'x'::text as b \gdesc
select format('select %s * 2', i) from pool_psql where i in (3, 4) order by i \gexec
set application_name = 'psql here';
set time zone 'Asia/Tokyo';
show application_name;
drop table pool_psql;
select repeat('x', 5000000) as big \gset
select length(:'big');
\echo SLEEP
\! read line
show application_name;
show time zone;
\echo done
";

#[test]
fn psql_scripts() {
    let house = House::new();
    let port = house.server.pg_port();
    let pooler = house.pooler();
    let plain = format!("hostaddr=127.0.0.1 port={port} user=app_owner");
    let addresses = [
        format!("{plain} dbname=app options=endpoint={pooler} sslmode=disable host=localhost"),
        format!("{plain} dbname=app@{pooler} sslmode=require host=localhost"),
        format!("{plain} dbname=app host={pooler}.localhost sslmode=require"),
    ];
    for address in addresses {
        let (ok, said, slept) = psql(&house, &address, PSQL);
        assert_eq!(slept, 1, "{address}: {said}");
        let numbers: Vec<String> = (1..=20).map(|n| n.to_string()).collect();
        let mut wanted = vec!["5050"];
        wanted.extend(numbers.iter().map(String::as_str));
        wanted.extend(["500", "22012", "502", "a|integer", "b|text", "6", "8", "psql here", "5000000"]);
        if pooled() {
            assert!(ok, "{address}: {said}");
            wanted.extend(["psql here", "Asia/Tokyo", "done"]);
            assert_eq!(said.lines().collect::<Vec<_>>(), wanted, "{address}");
        } else {
            assert!(!ok, "a direct connection ends: {said}");
            assert_eq!(said.lines().take(wanted.len()).collect::<Vec<_>>(), wanted, "{address}");
        }
    }
    house.assert_clean_log();
}

#[test]
fn pgbench_in_every_mode() {
    let house = House::new();
    let address = house.dsn();
    let pgbench = tool("pgbench");
    let run = |arguments: &[&str]| {
        let mut all = arguments.to_vec();
        all.push(&address);
        house.run(&pgbench, &all, &[]).0
    };
    run(&["-i", "-q", "-s", "1", "--foreign-keys"]);
    let all: u32 = CLIENTS.parse::<u32>().unwrap() * TRANSACTIONS.parse::<u32>().unwrap();
    let done = format!("number of transactions actually processed: {all}/{all}");
    let crowd = ["-n", "-c", CLIENTS, "-j", "2", "-t", TRANSACTIONS];
    let check = |more: &[&str]| {
        let said = run(&[&crowd[..], more].concat());
        assert!(said.contains(&done), "{more:?}: {said}");
        assert!(said.contains("number of failed transactions: 0"), "{more:?}: {said}");
    };
    let dir = tempfile::tempdir().unwrap();
    let pipeline = dir.path().join("pipeline.sql");
    let script = "\\set aid random(1, 1000)\n\\startpipeline\nbegin;\nselect abalance from pgbench_accounts where aid = :aid;\n\
        update pgbench_accounts set abalance = abalance where aid = :aid;\ncommit;\nselect :client_id;\n\\endpipeline\n";
    std::fs::write(&pipeline, script).unwrap();
    for mode in ["simple", "extended", "prepared"] {
        check(&["-M", mode]);
        check(&["-M", mode, "-b", "select-only"]);
        // A new connection for every transaction.
        check(&["-M", mode, "-b", "select-only", "-C"]);
        if mode != "simple" {
            check(&["-M", mode, "-f", pipeline.to_str().unwrap()]);
        }
    }
    let (ok, sums, _) = psql(
        &house,
        &format!("{address}&password={}", house.password()),
        "select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history),
                (select sum(tbalance) from pgbench_tellers) = (select sum(bbalance) from pgbench_branches),
                (select count(*) from pgbench_history);",
    );
    assert!(ok, "{sums}");
    assert_eq!(sums.trim(), format!("t|t|{}", 3 * all));
    house.assert_clean_log();
}

const SHOP: &str = "create schema shop;
    create table shop.item(id int generated always as identity primary key, name text unique, tags text[]);
    insert into shop.item(name, tags) select 'item ' || n, array['t' || n % 7] from generate_series(1, 3000) n;
    create view shop.seen as select count(*) as n from shop.item;
    create function shop.twice(int) returns int language sql as 'select 2 * $1';
    create materialized view shop.kept as select n from generate_series(1, 50) n;
    select lo_from_bytea(4711, 'a large object');";

#[test]
fn pg_dump_and_pg_restore() {
    let house = House::new();
    let direct = house.direct().to_owned();
    let (ok, said, _) = psql(&house, &direct, SHOP);
    assert!(ok, "{said}");
    let dir = tempfile::tempdir().unwrap();
    // Session mode is what they need; the pool must not be worse for those who take its name.
    for (round, (from, pool)) in [(&direct, false), (&house.dsn(), true)].into_iter().enumerate() {
        let database = format!("copy_{round}");
        let (ok, said, _) = psql(&house, &direct, &format!("create database {database};"));
        assert!(ok, "{said}");
        let to =
            if pool { house.dsn_of(&database) } else { direct.replace("/app?", &format!("/{database}?")) };
        let file = dir.path().join(&database);
        let file = file.to_str().unwrap();
        // Two jobs share one snapshot.
        house.run(&tool("pg_dump"), &["-Fd", "-j", "2", "-f", file, "-d", from], &[]);
        house.run(&tool("pg_restore"), &["-e", "-j", "2", "--no-owner", "-d", &to, file], &[]);
        let check = "select (select n from shop.seen), shop.twice(21), (select count(*) from shop.kept),
            convert_from(lo_get(4711), 'UTF8'), (select count(*) from pg_indexes where schemaname = 'shop');";
        let (ok, found, _) = psql(&house, &to, check);
        assert!(ok, "{found}");
        assert_eq!(found.trim(), "3000|42|50|a large object|2", "pool: {pool}");
        let plain = house.run(&tool("pg_dump"), &["--inserts", "-t", "shop.kept", "-d", from], &[]).0;
        assert!(plain.contains("MATERIALIZED VIEW"), "{plain}");
    }
    house.assert_clean_log();
}
