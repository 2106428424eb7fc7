//! Without TLS: options, database names, nothing at all. Over TLS: the password.

use dormouse_tests::programs::{psql, python};

use super::{PASSWORD, Town};
use crate::drivers::drive;

#[tokio::test]
async fn without_host_names() {
    let town = Town::new().await;
    options_and_database_names(&town).await;
    without_tls_no_password_is_asked_for_in_the_clear(&town).await;
    the_endpoint_in_the_password(&town).await;
}

async fn options_and_database_names(town: &Town) {
    let (first, second) = (&town.first, &town.second);
    let branch = town.server.ready()["branch"].as_str().unwrap();
    let second_branch = town.server.endpoint_of(second)["branch_id"].as_str().unwrap().to_owned();
    for (url_end, place) in [
        ("app".to_owned(), "first"),
        (format!("app?options=endpoint%3D{}", second.endpoint), "second"),
        (format!("app?options=-c%20geqo%3Doff%20endpoint%3D{}", second.endpoint), "second"),
        (format!("app?options=endpoint%3D{}-pooler", second.endpoint), "second"),
        (format!("app?options=endpoint%3D{}", first.endpoint), "first"),
        (format!("app%40{branch}"), "first"),
        (format!("app%40{}%2F{branch}", first.id), "first"),
        ("app%40second%2Fother".to_owned(), "second"),
        (format!("app%40{}%2Fother", second.id), "second"),
        (format!("app%40second%2F{second_branch}"), "second"),
        ("app%40second%2Fother-pooler".to_owned(), "second"),
        (format!("app%40{}", second.endpoint), "second"),
        // Two forms that agree are as good as one.
        (format!("app%40{}?options=endpoint%3D{}", second.endpoint, second.endpoint), "second"),
    ] {
        let got = town.plain(&url_end).await;
        assert_eq!(got.as_deref().map_err(ToString::to_string), Ok(place), "{url_end}");
    }
    town.server.assert_clean_log(&[]);
}

async fn the_endpoint_in_the_password(town: &Town) {
    for (endpoint, place) in [(&town.first.endpoint, "first"), (&town.second.endpoint, "second")] {
        for separator in [";", "$", "-pooler;"] {
            let password = format!("endpoint={endpoint}{separator}{PASSWORD}");
            let said = town.psql("localhost", "app", "", &password).good();
            assert_eq!(said, place, "psql, {separator}");
        }
    }
    // Who says so is pooled: the next one is given the same backend. Others have one of their own.
    for (suffix, is_pooled) in [("-pooler", true), ("", false)] {
        let password = format!("endpoint={}{suffix};{PASSWORD}", town.second.endpoint);
        let connection = town.server.conninfo("");
        let backend = || psql(&connection, &password, &["-c", "select pg_backend_pid()"]).good();
        assert_eq!(backend() == backend(), is_pooled, "{suffix}");
    }
    // A right endpoint does not make a wrong password right, and the right password of the default
    // project is none for another.
    let password = format!("endpoint={};wrong", town.second.endpoint);
    let error = town.psql("localhost", "app", "", &password).bad();
    assert!(error.contains("password authentication failed"), "{error}");
    let error = town.psql("localhost", "app", "channel_binding=require", &password).bad();
    assert!(error.contains("channel binding"), "a client that insists is not asked in the clear: {error}");

    // Drivers of other languages. Both projects have a database of their own name for them.
    for (project, name) in [(&town.first, "one"), (&town.second, "two")] {
        let client = town.server.try_connect(&with_password(&project.dsn)).await.unwrap();
        client.batch_execute(&format!("create database {name}")).await.unwrap();
        let password = format!("endpoint%3D{}%3B{}", project.endpoint, encoded(PASSWORD));
        let port = town.server.pg_port();
        let dsn = format!("postgresql://app_owner:{password}@127.0.0.1:{port}/{name}?sslmode=require");
        for driver in ["psycopg", "asyncpg", "pg", "jdbc"] {
            let said = drive(driver, "whoami", &dsn, &[]).good();
            assert!(said.contains(&format!("\"{name}\"")), "{driver}: {said}");
        }
    }
    town.server.assert_clean_log(&[]);
}

async fn without_tls_no_password_is_asked_for_in_the_clear(town: &Town) {
    let port = town.server.pg_port();
    let program = "import os, psycopg\n\
        try: psycopg.connect(os.environ['DSN'])\n\
        except psycopg.OperationalError as e: print(e)";
    let password = format!("endpoint={};{}", town.second.endpoint, PASSWORD.replace(['\\', '\''], ""));
    let dsn =
        format!("host=127.0.0.1 port={port} user=app_owner dbname=app sslmode=disable password='{password}'");
    let said = python(program, &[("DSN", &dsn)]).good();
    assert!(said.contains("password authentication failed"), "{said}");
}

/// `text` for a URL.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The connection string with the password that both projects have.
fn with_password(dsn: &str) -> String {
    let (_, rest) = dsn.split_once('@').unwrap();
    format!("postgresql://app_owner:{}@{rest}", encoded(PASSWORD))
}
