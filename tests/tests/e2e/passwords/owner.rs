//! What the owner role may do, and what not, on the oldest and the newest PostgreSQL.

use std::path::Path;

use dormouse_tests::{Project, Server, note};
use serde_json::json;
use tokio_postgres::Client;

/// Extensions that a platform is expected to have.
const EXPECTED: [&str; 8] =
    ["pg_stat_statements", "pgcrypto", "pg_trgm", "hstore", "citext", "uuid-ossp", "postgres_fdw", "vector"];

async fn code_of(client: &Client, sql: &str) -> String {
    match client.batch_execute(sql).await {
        Ok(()) => format!("`{sql}` was allowed"),
        Err(error) => error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned()),
    }
}

async fn extensions(client: &Client, major: u16) {
    let installed = client.query("select name::text from pg_available_extensions", &[]).await.unwrap();
    let installed: Vec<String> = installed.iter().map(|row| row.get(0)).collect();
    for name in EXPECTED {
        if !installed.iter().any(|i| i == name) {
            assert!(major == 16 || name == "vector", "{name} is part of PostgreSQL {major}");
            note(&format!("{name} is not installed for PostgreSQL {major}"));
            continue;
        }
        let made = client.batch_execute(&format!("create extension \"{name}\"")).await;
        made.unwrap_or_else(|error| panic!("create extension {name}: {error:?}"));
        if name == "vector" {
            let distance: f64 =
                client.query_one("select '[1,2]'::vector <-> '[4,6]'::vector", &[]).await.unwrap().get(0);
            assert!((distance - 5.0).abs() < 1e-9);
        }
    }
    let has = |name: &str| installed.iter().any(|i| i == name);
    if has("pgcrypto") {
        let sql = "select digest('x', 'sha256'), similarity('a', 'b'), uuid_generate_v4()";
        client.batch_execute(sql).await.unwrap();
    }
    if has("pg_stat_statements") {
        statistics(client).await;
    }
    if has("dblink") {
        no_back_door(client).await;
    }
    for name in EXPECTED.iter().filter(|name| has(name)) {
        client.batch_execute(&format!("drop extension \"{name}\" cascade")).await.unwrap();
    }
}

/// The private socket trusts whoever reaches it, so PostgreSQL itself must not reach it in the
/// owner's name.
async fn no_back_door(client: &Client) {
    client.batch_execute("create extension dblink").await.unwrap();
    let socket: String = client.query_one("show unix_socket_directories", &[]).await.unwrap().get(0);
    let to = format!("host={socket} dbname=postgres user=dormouse_admin password=x");
    let code = code_of(client, &format!("select dblink_connect('{to}')")).await;
    assert_eq!(code, "2F003", "dblink");
    let code = code_of(client, &format!("select dblink_connect_u('{to}')")).await;
    assert_eq!(code, "42501", "dblink_connect_u");
    let setup = format!(
        "create server back foreign data wrapper postgres_fdw options (host '{socket}', dbname 'postgres');
        create user mapping for app_owner server back options (user 'dormouse_admin', password 'x');
        create foreign table stolen(rolpassword text) server back options (schema_name 'pg_catalog', table_name 'pg_authid')"
    );
    client.batch_execute(&setup).await.unwrap();
    assert_eq!(code_of(client, "select * from stolen").await, "2F003", "postgres_fdw");
    let sql = "alter user mapping for app_owner server back options (add password_required 'false')";
    assert_eq!(code_of(client, sql).await, "42501");
    client.batch_execute("drop extension dblink").await.unwrap();
}

async fn statistics(client: &Client) {
    client.batch_execute("create table seen_by_statistics(n int)").await.unwrap();
    client.batch_execute("select * from seen_by_statistics").await.unwrap();
    let seen: i64 = client
        .query_one("select count(*) from pg_stat_statements where query like '%seen_by_statistics%'", &[])
        .await
        .unwrap()
        .get(0);
    assert!(seen >= 1, "pg_stat_statements is loaded and shows the owner's statements");
}

async fn limits(client: &Client) {
    let superuser: String = client.query_one("show is_superuser", &[]).await.unwrap().get(0);
    assert_eq!(superuser, "off");
    for sql in [
        "select pg_read_file('/etc/passwd')",
        "select pg_read_file('postgresql.conf')",
        "select pg_ls_dir('.')",
        "copy (select 1) to '/tmp/owner-was-here'",
        "copy (select 1) to program 'true'",
        "create role r superuser",
        "create role r replication",
        "alter role app_owner superuser",
        "alter role dormouse_admin password 'x'",
        "alter role postgres password 'x'",
        "grant pg_execute_server_program to app_owner",
        "grant pg_read_server_files to app_owner",
        "grant pg_write_server_files to app_owner",
        "create role r in role pg_execute_server_program",
        "alter system set archive_command = 'true'",
        "load '/tmp/x.so'",
        "set session_preload_libraries = 'x'",
        "create function f() returns int language c as 'libc', 'getpid'",
        "set role dormouse_admin",
        "set session authorization dormouse_admin",
    ] {
        let code = code_of(client, sql).await;
        let denied = ["42501", "58P01", "42704", "0LP01"].contains(&code.as_str());
        assert!(denied, "{sql}: {code}");
    }
    assert!(!Path::new("/tmp/owner-was-here").exists());
    // What an owner needs day by day.
    for sql in [
        "create role helper login password 'x' createdb createrole",
        "grant pg_read_all_data to helper",
        "create schema s authorization app_owner; create table s.t(n int); grant usage on schema s to helper",
        "create publication p for table s.t",
        "alter database app set work_mem = '8MB'",
        "drop publication p; drop schema s cascade; drop role helper",
        "vacuum; analyze; checkpoint",
        "create procedure c() language sql as 'select 1'; call c(); drop procedure c()",
    ] {
        for one in sql.split("; ") {
            client.batch_execute(one).await.unwrap_or_else(|error| panic!("{one}: {error:?}"));
        }
    }
}

async fn owner_of(major: u16) {
    let server = Server::start(&[]);
    let project: Project = server.create_project(&json!({ "name": "owned", "pg_version": major }));
    let client = server.try_connect(&project.dsn).await.unwrap();
    let version: String = client.query_one("show server_version_num", &[]).await.unwrap().get(0);
    assert_eq!(version.parse::<u32>().unwrap() / 10_000, u32::from(major));
    extensions(&client, major).await;
    limits(&client).await;
    server.assert_clean_log(&[]);
}

#[tokio::test]
async fn of_postgres_15() {
    owner_of(15).await;
}

#[tokio::test]
async fn of_postgres_16() {
    owner_of(16).await;
}

#[tokio::test]
async fn of_postgres_18() {
    owner_of(18).await;
}
