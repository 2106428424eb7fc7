//! `dormouse import`: from a running PostgreSQL 15 and from the directory of a stopped one.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use dormouse_compute::postgres::discover::Installations;
use dormouse_compute::sandbox::process;
use dormouse_tests::foreign::{Foreign, fake_tools};
use dormouse_tests::{Server, note};
use rustix::process::Signal;
use serde_json::Value;
use tokio_postgres::Client;

/// Tables besides the special ones.
const TABLES: i64 = 200;

pub(super) fn talk(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Whether there are client programs that can write what this version reads.
pub(super) fn has_tools(major: u16) -> bool {
    Installations::discover(&[]).get(major).is_some_and(|i| i.bin.join("pg_dump").is_file())
}

/// A source with an empty database `shop`, and a server; nothing where the programs of PostgreSQL 15 are missing.
async fn shop() -> Option<(Foreign, Server)> {
    let source = Foreign::start(15).filter(|_| has_tools(15));
    let Some(source) = source else {
        note("PostgreSQL 15 and its client programs are not installed");
        return None;
    };
    let server = Server::start(&[]);
    let admin = server.try_connect(&source.address("postgres")).await.unwrap();
    admin.batch_execute("create database shop").await.unwrap();
    Some((source, server))
}

/// A database `shop` with something of everything.
async fn fill(server: &Server, source: &Foreign) {
    let admin = server.try_connect(&source.address("postgres")).await.unwrap();
    admin.batch_execute("create database shop").await.unwrap();
    admin
        .batch_execute("create role seller login password 'old'; create role auditor nologin")
        .await
        .unwrap();
    let shop = server.try_connect(&source.address("shop")).await.unwrap();
    let sql = format!(
        "create extension hstore;
         create schema \"Odd name\";
         create table \"Odd name\".\"T\"\"x\"(id int generated always as identity, v text, h hstore);
         insert into \"Odd name\".\"T\"\"x\"(v, h) select 'row ' || n, 'a=>1' from generate_series(1, 1000) n;
         create sequence public.tickets start 100;
         select nextval('public.tickets') from generate_series(1, 7);
         create view public.seen as select count(*) as n from \"Odd name\".\"T\"\"x\";
         create materialized view public.kept as select n from generate_series(1, 5) n;
         create function public.twice(int) returns int language sql as 'select 2 * $1';
         create table public.parts(k int, v text) partition by range (k);
         create table public.parts_low partition of public.parts for values from (0) to (100);
         insert into public.parts select n, 'p' from generate_series(0, 99) n;
         select lo_from_bytea(4711, 'a large object');
         create table public.sold(n int); insert into public.sold values (1), (2);
         alter table public.sold owner to seller; grant select on public.sold to auditor;
         create publication everything for all tables; comment on publication everything is 'stays behind';
         create publication of_sold for table public.sold;
         create statistics public.together on k, v from public.parts;
         comment on statistics public.together is 'comes along';
         do $$ begin for n in 1..{TABLES} loop
           execute format('create table public.t%s as select i, i * %s as x from generate_series(1, %s) i', n, n, n % 10);
           execute format('create index on public.t%s(i)', n);
         end loop; end $$;"
    );
    shop.batch_execute(&sql).await.unwrap();
}

pub(super) async fn one(client: &Client, sql: &str) -> String {
    client.query_one(&format!("select ({sql})::text"), &[]).await.unwrap().get(0)
}

async fn check_shop(server: &Server, report: &Value) {
    assert!(report["databases"][0]["verified"].as_bool().unwrap(), "{report}");
    assert_eq!(report["databases"][0]["tables"].as_i64().unwrap(), TABLES + 4, "{report}");
    let client =
        server.try_connect(report["databases"][0]["connection_uri"].as_str().unwrap()).await.unwrap();
    for (sql, wanted) in [
        ("select count(*) from \"Odd name\".\"T\"\"x\" where h -> 'a' = '1'", "1000"),
        ("select n from seen", "1000"),
        ("select count(*) from kept", "5"),
        ("select nextval('tickets')", "107"),
        ("select twice(21)", "42"),
        ("select count(*) from parts_low", "100"),
        ("select convert_from(lo_get(4711), 'UTF8')", "a large object"),
        ("select sum(x) from t9", "405"),
        ("select string_agg(pubname, ',') from pg_publication", "of_sold"),
        ("select obj_description(oid, 'pg_statistic_ext') from pg_statistic_ext", "comes along"),
        ("select count(*) from pg_indexes where tablename ~ '^t[0-9]+$'", &TABLES.to_string()),
        ("select count(*) from pg_tables where schemaname = 'public'", &(TABLES + 3).to_string()),
    ] {
        assert_eq!(one(&client, sql).await, wanted, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_is_imported() {
    let Some(source) = Foreign::start(15) else { return note("PostgreSQL 15 is not installed") };
    if !has_tools(15) {
        return note("the client programs of PostgreSQL 15 are not installed");
    }
    let server = Server::start(&[]);
    fill(&server, &source).await;
    let temp = tempfile::tempdir().unwrap();
    let place = temp.path().to_str().unwrap();

    // Into the same version, as the address says.
    let report = server.cli_json(&["import", &source.address("shop"), "--jobs", "2", "--temp", place]);
    assert_eq!((report["pg_version"].as_u64(), report["project"].as_str()), (Some(15), Some("shop")));
    let notes = report["notes"].to_string();
    assert!(notes.contains("PUBLICATION everything"), "{notes}");
    check_shop(&server, &report).await;
    let client =
        server.try_connect(report["databases"][0]["connection_uri"].as_str().unwrap()).await.unwrap();
    let owners = "select string_agg(distinct tableowner, ',') from pg_tables where schemaname in ('public', 'Odd name')";
    assert_eq!(one(&client, owners).await, "shop_owner");
    drop(client);

    // Again into the same project: only with consent.
    let project = report["project_id"].as_str().unwrap();
    let again = server.cli(&["import", &source.address("shop"), "--into", project]);
    assert_eq!(again.status.code(), Some(2), "{}", talk(&again));
    assert!(talk(&again).contains("is not empty") && talk(&again).contains("--clean"), "{}", talk(&again));
    let again = ["import", &source.address("shop"), "--into", project, "--clean", "--roles", "--temp", place];
    let report = server.cli_json(&again);
    check_shop(&server, &report).await;
    let client =
        server.try_connect(report["databases"][0]["connection_uri"].as_str().unwrap()).await.unwrap();
    assert_eq!(one(&client, "select tableowner from pg_tables where tablename = 'sold'").await, "seller");
    assert_eq!(one(&client, "select has_table_privilege('auditor', 'sold', 'select')").await, "true");
    assert_eq!(one(&client, "select has_schema_privilege('seller', 'public', 'create')").await, "false");

    // Definitions alone, under another name, into another version.
    if has_tools(18) {
        let report = server.cli_json(&["import", &source.address(""), "--pg-version", "18", "--temp", place]);
        assert_eq!(report["pg_version"].as_u64(), Some(18));
        check_shop(&server, &report).await;
    } else {
        note("the client programs of PostgreSQL 18 are not installed: scripts/postgres --extras");
    }
    let bare =
        ["import", &source.address("shop"), "--database", "shop=empty", "--schema-only", "--temp", place];
    let report = server.cli_json(&bare);
    let client =
        server.try_connect(report["databases"][0]["connection_uri"].as_str().unwrap()).await.unwrap();
    assert_eq!(one(&client, "select current_database()").await, "empty");
    assert_eq!(one(&client, "select count(*) from t9").await, "0");
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0, "dumps are removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_view_and_short_timeouts_of_the_source_are_no_reason_to_fail() {
    let Some((source, server)) = shop().await else { return };
    let admin = server.try_connect(&source.address("postgres")).await.unwrap();
    let shop = server.try_connect(&source.address("shop")).await.unwrap();
    shop.batch_execute(
        "create table t(id serial, n int); insert into t(n) select n from generate_series(1, 4) n;
         create materialized view v as select * from t; insert into t(n) values (5)",
    )
    .await
    .unwrap();
    // A dump takes longer than any of them.
    for name in
        ["idle_in_transaction_session_timeout = 20", "idle_session_timeout = 300", "lock_timeout = 300"]
    {
        admin.batch_execute(&format!("alter database shop set {name}")).await.unwrap();
    }
    let report = server.cli_json(&["import", &source.address("shop")]);
    assert!(report["databases"][0]["verified"].as_bool().unwrap(), "{report}");
    assert_eq!(report["databases"][0]["rows"].as_i64(), Some(5), "rows of tables: {report}");
    let client =
        server.try_connect(report["databases"][0]["connection_uri"].as_str().unwrap()).await.unwrap();
    assert_eq!(one(&client, "select count(*) from v").await, "5", "refreshed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_imported_says_why_and_leaves_nothing() {
    let Some(source) = Foreign::start(15) else { return note("PostgreSQL 15 is not installed") };
    if !has_tools(15) {
        return note("the client programs of PostgreSQL 15 are not installed");
    }
    let server = Server::start(&[]);
    let temp = tempfile::tempdir().unwrap();
    let fails = |arguments: &[&str], code: i32, words: &[&str]| {
        let mut all = vec!["import", "--temp", temp.path().to_str().unwrap()];
        all.extend(arguments);
        let output = server.cli(&all);
        let talk = talk(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {talk}");
        for word in words {
            assert!(talk.contains(word), "{arguments:?} does not say `{word}`: {talk}");
        }
        assert!(!talk.contains("s3/cr@t") && !talk.contains("wr0ng"), "{talk}");
    };
    fails(&[&source.address_with("wr0ng", "postgres")], 5, &["does not accept the login"]);
    fails(&["postgresql://ann@127.0.0.1:1/x"], 4, &["cannot be reached"]);
    fails(&[&source.address("nope")], 3, &["nope"]);
    fails(&[&source.address("postgres")], 3, &["--database postgres=NAME"]);
    fails(&["mysql://x"], 2, &["not an address"]);
    fails(
        &[&source.address("postgres"), "--database", "postgres=x", "--pg-version", "14"],
        2,
        &["older version"],
    );

    // Programs that are too old.
    let tools = tempfile::tempdir().unwrap();
    fake_tools(tools.path(), 14);
    let old = ["--database", "postgres=x", "--tools", tools.path().to_str().unwrap()];
    let address = source.address("postgres");
    let arguments = [&[address.as_str()], &old[..]].concat();
    fails(&arguments, 1, &["version 15 or newer: the newest here is 14", "scripts/postgres --extras"]);

    // An extension that is not there: PostgreSQL itself does not notice that its files are gone.
    let admin = server.try_connect(&source.address("postgres")).await.unwrap();
    admin.batch_execute("create database shop").await.unwrap();
    let shop = server.try_connect(&source.address("shop")).await.unwrap();
    let made_up =
        "create extension hstore; update pg_extension set extname = 'no_such_thing' where extname = 'hstore'";
    shop.batch_execute(made_up).await.unwrap();
    fails(&[&source.address("shop")], 1, &["lacks extensions", "no_such_thing (in `shop`)"]);
    let projects = server.cli_json(&["project", "list"]);
    assert_eq!(projects["projects"].as_array().unwrap().len(), 1, "only the default one: {projects}");
    shop.batch_execute("update pg_extension set extname = 'hstore' where extname = 'no_such_thing'")
        .await
        .unwrap();

    // Rows that the target does not take: all that is wrong is told, and the project stays for another try.
    let picky = "create function picky() returns bool language plpgsql as
           $$ begin if current_user <> 'postgres' then raise 'not here'; end if; return true; end $$;
         create table fussy(n int check (picky())); insert into fussy values (1), (2);
         create table fine(n int); insert into fine values (1)";
    shop.batch_execute(picky).await.unwrap();
    let words =
        ["not here", "table public.fussy: 2 rows in the source, 0 here", "--clean", "All of them are in"];
    fails(&[&source.address("shop")], 1, &words);
    let log = std::fs::read_dir(temp.path()).unwrap().next().unwrap().unwrap().path();
    assert!(std::fs::read_to_string(&log).unwrap().contains("fussy"));
    let projects = server.cli_json(&["project", "list"]);
    assert_eq!(projects["projects"].as_array().unwrap().len(), 2, "{projects}");
    shop.batch_execute("drop table fussy").await.unwrap();
    let temp = temp.path().to_str().unwrap();
    let report =
        server.cli_json(&["import", &source.address("shop"), "--into", "shop", "--clean", "--temp", temp]);
    assert_eq!(report["databases"][0]["rows"].as_i64(), Some(1), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_ends_the_programs_and_removes_the_dump() {
    let Some((source, server)) = shop().await else { return };
    // A pg_dump that takes its time.
    let (tools, temp) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fake_tools(tools.path(), 15);
    let (file, pid) = (tools.path().join("pg_dump"), tools.path().join("pid"));
    let script = std::fs::read_to_string(&file).unwrap();
    let end = script.find("exec ").unwrap();
    let sleep = format!("{}echo $$ > {}\nexec sleep 100\n", &script[..end], pid.display());
    std::fs::write(&file, sleep).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let child = Command::new(dormouse_tests::binary())
        .args(["--data", &text(server.data()), "import", &source.address("shop")])
        .args(["--tools", &text(tools.path()), "--temp", &text(temp.path())])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    server
        .until_true("pg_dump runs", || std::fs::read_to_string(&pid).is_ok_and(|text| text.ends_with('\n')));
    process::signal(child.id(), Signal::INT);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", talk(&output));
    assert!(talk(&output).contains("interrupted") && talk(&output).contains("--clean"), "{}", talk(&output));
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
    let pid = std::fs::read_to_string(&pid).unwrap();
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "pg_dump lives on");
}

/// A cluster with what must not come along as it is.
async fn prepare(server: &Server, source: &Foreign) {
    let admin = server.try_connect(&source.address("postgres")).await.unwrap();
    let roles = "create role clerk login password 'old'; create role boss superuser login password 'old';
        grant pg_execute_server_program to clerk; alter system set archive_mode = on; select pg_create_physical_replication_slot('old', true)";
    for statement in roles.split(';') {
        admin.batch_execute(statement).await.unwrap();
    }
    admin.batch_execute("create database shop").await.unwrap();
    admin.batch_execute("create database clerks owner clerk").await.unwrap();
    let shop = server.try_connect(&source.address("shop")).await.unwrap();
    shop.batch_execute(
        "create extension hstore;
         create schema s; create table s.t(id serial, n int generated always as identity, h hstore);
         insert into s.t(h) select 'a=>1' from generate_series(1, 500);
         create type s.colour as enum ('red'); create domain s.small as int check (value < 10);
         create view s.v as select count(*) n from s.t;
         create function s.who() returns text language sql security definer as 'select current_user::text';
         create function s.spy() returns event_trigger language plpgsql as 'begin perform 1; end';
         create event trigger watch on ddl_command_end execute function s.spy();
         create table s.parted(k int, n int) partition by range (k, (n + 1));
         create table s.part partition of s.parted default;
         create table s.clerks_own(n int); alter table s.clerks_own owner to clerk; grant usage on schema s to clerk;
         select lo_from_bytea(4711, 'large')",
    )
    .await
    .unwrap();
    admin.batch_execute("alter role postgres set search_path = evil").await.unwrap();
}

async fn a_directory(major: u16) {
    let Some(mut source) = Foreign::start(major) else {
        return note(&format!("PostgreSQL {major} is not installed"));
    };
    let server = Server::start(&[]);
    prepare(&server, &source).await;
    let data = source.data();
    let path = data.to_str().unwrap();
    let running = server.cli(&["import", path]);
    assert_eq!(running.status.code(), Some(2), "{}", talk(&running));
    assert!(talk(&running).contains("it runs (process "), "{}", talk(&running));
    source.stop();

    let made = server.cli_json(&["import", path, "--name", "legacy", "--owner", "postgres"]);
    assert_eq!(made["project"]["pg_version"].as_u64(), Some(u64::from(major)), "{made}");
    let uri = |database: &str| {
        let all = made["connection_uris"].as_array().unwrap();
        let parameters = |u: &&Value| u["connection_parameters"]["database"] == database;
        all.iter().find(parameters).unwrap()["connection_uri"].as_str().unwrap().to_owned()
    };
    assert_eq!(made["databases"].as_array().unwrap().len(), 2, "{made}");
    owner_checks(&server, &uri("shop")).await;
    security_checks(&server, &uri("shop")).await;

    // The roles are known after the first wake, and those that came along have their passwords.
    let roles = server.cli_json(&["role", "list", "--project", "legacy"]);
    let names: Vec<&str> =
        roles["roles"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    assert_eq!(names.iter().filter(|n| ["boss", "clerk", "postgres"].contains(n)).count(), 3, "{names:?}");
    let as_clerk = uri("shop").replacen("postgres:", "clerk:", 1);
    let password = made["roles"][0]["password"].as_str().unwrap();
    let as_clerk = as_clerk.replacen(password, "old", 1);
    let clerk = server.try_connect(&as_clerk).await.unwrap();
    clerk.batch_execute("insert into s.clerks_own values (1)").await.unwrap();
    // The source is as it was.
    source.run();
    let old = server.try_connect(&source.address("shop")).await.unwrap();
    assert_eq!(one(&old, "select count(*) from s.t").await, "500");
}

async fn owner_checks(server: &Server, uri: &str) {
    let client = server.try_connect(uri).await.unwrap();
    for (sql, wanted) in [
        ("select count(*) from s.t where h -> 'a' = '1'", "500"),
        ("select n from s.v", "500"),
        ("select s.who()", "postgres"),
        ("select convert_from(lo_get(4711), 'UTF8')", "large"),
        ("select pg_get_userbyid(datdba) from pg_database where datname = current_database()", "postgres"),
        (
            "select count(*) from pg_class where relowner = 10 and oid >= 16384 and relkind in ('r', 'p', 'v', 'S')",
            "0",
        ),
        ("select current_setting('archive_mode')", "off"),
        ("select count(*) from pg_replication_slots where slot_name = 'old'", "0"),
    ] {
        assert_eq!(one(&client, sql).await, wanted, "{sql}");
    }
    let changes = "alter table s.t add x int; alter table s.parted add x int; drop view s.v; alter type s.colour add value 'blue';
        alter domain s.small drop not null; drop function s.who(); create schema mine; create table mine.t(n int);
        alter role clerk password 'old'; select lo_unlink(4711)";
    for change in changes.split(';') {
        client.batch_execute(change).await.unwrap_or_else(|error| panic!("{change}: {error:?}"));
    }
}

async fn security_checks(server: &Server, uri: &str) {
    let client = server.try_connect(uri).await.unwrap();
    for (sql, wanted) in [
        (
            "select string_agg(rolname, ',') from pg_roles where rolsuper and rolname !~ '^pg_'",
            "dormouse_admin",
        ),
        ("select count(*) from pg_roles where rolreplication and rolname <> 'dormouse_admin'", "0"),
        ("select pg_has_role('clerk', 'pg_execute_server_program', 'member')", "false"),
        ("select string_agg(evtenabled::text, ',') from pg_event_trigger", "D"),
        ("select count(*) from pg_db_role_setting where setrole = 10", "0"),
    ] {
        assert_eq!(one(&client, sql).await, wanted, "{sql}");
    }
    assert!(client.batch_execute("copy (select 1) to program 'true'").await.is_err());
    let admin = uri.replacen("postgres:", "dormouse_admin:", 1);
    assert!(server.try_connect(&admin).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_directory_is_imported_oldest() {
    a_directory(15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_directory_is_imported_newest() {
    a_directory(18).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_cannot_be_imported_leaves_nothing() {
    let server = Server::start(&[]);
    let count = || server.cli_json(&["project", "list"])["projects"].as_array().unwrap().len();
    let before = count();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let output = server.cli(&["import", path]);
    assert_eq!(output.status.code(), Some(2), "{}", talk(&output));
    assert!(talk(&output).contains("no PG_VERSION"), "{}", talk(&output));
    let own = server.data().to_str().unwrap();
    assert!(talk(&server.cli(&["import", own])).contains("own data directory"));
    assert_eq!(server.cli(&["import", "/no/such/place"]).status.code(), Some(3));
    let output = server.cli(&["import", path, "--jobs", "2"]);
    assert!(talk(&output).contains("`--jobs` is for addresses"), "{}", talk(&output));
    assert!(Path::new(path).exists());
    assert_eq!(count(), before);
}
