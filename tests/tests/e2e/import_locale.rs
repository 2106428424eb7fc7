//! What a dump does not say of a database: how it sorts text, and what is set for it.

use dormouse_tests::foreign::Foreign;
use dormouse_tests::{Project, Server, note};
use serde_json::{Value, json};

use super::import::{has_tools, one, talk};

/// A source whose databases `shop` and `words` sort as Germans do.
async fn german(server: &Server) -> Option<Foreign> {
    let Some(source) = Foreign::start(15) else {
        note("PostgreSQL 15 is not installed");
        return None;
    };
    if !has_tools(15) {
        note("the client programs of PostgreSQL 15 are not installed");
        return None;
    }
    let admin = server.try_connect(&source.address("postgres")).await.unwrap();
    for name in ["shop", "words"] {
        let sql = format!("create database {name} template template0 locale_provider icu icu_locale 'de'");
        admin.batch_execute(&sql).await.unwrap();
        let client = server.try_connect(&source.address(name)).await.unwrap();
        let words = "create table w(t text); insert into w values ('Z'), ('neu'), ('B'), ('ä'), ('a')";
        client.batch_execute(words).await.unwrap();
        if name == "shop" {
            // Under any other order `ä` is beyond `c`.
            let parts = "create table p(t text) partition by range (t);
                 create table p1 partition of p for values from ('a') to ('c');
                 insert into p values ('ä'), ('B')";
            client.batch_execute(parts).await.unwrap();
        }
    }
    Some(source)
}

const ORDER: &str = "select string_agg(t, ',' order by t) from w";
const GERMAN: &str = "a,ä,B,neu,Z";

/// Where databases of a project are made, and who owns the first.
fn databases(server: &Server, project: &Project) -> (String, String) {
    let branch = server.endpoint_of(project)["branch_id"].as_str().unwrap().to_owned();
    let path = format!("/projects/{}/branches/{branch}/databases", project.id);
    let owner =
        server.api("GET", &path, &Value::Null).1["databases"][0]["owner_name"].as_str().unwrap().to_owned();
    (path, owner)
}

fn uri(report: &Value) -> &str {
    report["databases"][0]["connection_uri"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_text_and_the_settings_come_along() {
    let server = Server::start(&[]);
    let Some(source) = german(&server).await else { return };
    let admin = server.try_connect(&source.address("postgres")).await.unwrap();
    admin.batch_execute("create role seller; create role stranger").await.unwrap();
    for sql in [
        "alter database shop set timezone = 'Asia/Tokyo'",
        "alter database shop set search_path = \"$user\", public, \"it's\"",
        "alter database shop set default_transaction_read_only = on",
        "alter database shop set log_min_duration_statement = 100",
        "alter database shop set default_tablespace = pg_default",
        "alter role seller in database shop set work_mem = '7MB'",
        "alter role stranger in database shop set work_mem = '8MB'",
    ] {
        admin.batch_execute(sql).await.unwrap();
    }
    let shop = server.try_connect(&source.address("shop")).await.unwrap();
    let owned = "set default_transaction_read_only = off; alter table w owner to seller";
    for sql in owned.split("; ") {
        shop.batch_execute(sql).await.unwrap();
    }

    let report = server.cli_json(&["import", &source.address("shop"), "--roles"]);
    assert!(report["databases"][0]["verified"].as_bool().unwrap(), "{report}");
    let notes = report["notes"].to_string();
    for behind in ["log_min_duration_statement", "default_tablespace", "`work_mem` of role `stranger`"] {
        assert!(
            notes.contains(&format!("stays behind: setting `{}", behind.trim_start_matches('`'))),
            "{notes}"
        );
    }
    let client = server.try_connect(uri(&report)).await.unwrap();
    for (sql, wanted) in [
        (ORDER, GERMAN),
        ("select count(*) from p1", "2"),
        (
            "select concat(datlocprovider, daticulocale) from pg_database where datname = current_database()",
            "ide",
        ),
        ("select current_setting('timezone')", "Asia/Tokyo"),
        ("select current_setting('search_path')", "\"$user\", public, \"it's\""),
        ("select current_setting('default_transaction_read_only')", "on"),
        (
            "select array_to_string(setconfig, ',') from pg_db_role_setting where setrole = 'seller'::regrole",
            "work_mem=7MB",
        ),
    ] {
        assert_eq!(one(&client, sql).await, wanted, "{sql}");
    }
    drop(client);

    // Once more in its place: it is made anew, with the same locale, though read-only sessions are its default.
    let again =
        ["import", &source.address("shop"), "--into", report["project_id"].as_str().unwrap(), "--clean"];
    let report = server.cli_json(&again);
    let client = server.try_connect(uri(&report)).await.unwrap();
    assert_eq!(one(&client, ORDER).await, GERMAN);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_text_that_is_not_there_is_refused() {
    let server = Server::start(&[]);
    let Some(source) = german(&server).await else { return };
    let fails = |arguments: &[&str], code: i32, words: &[&str]| {
        let output = server.cli(&[&["import"], arguments].concat());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", talk(&output));
        for word in words {
            assert!(talk(&output).contains(word), "{arguments:?} does not say `{word}`: {}", talk(&output));
        }
    };
    // A database that is there already sorts as it does.
    let project = server.create_project(&json!({ "name": "old", "pg_version": 15 }));
    let (path, owner) = databases(&server, &project);
    let made = json!({ "database": { "name": "words", "owner_name": owner } });
    assert_eq!(server.api("POST", &path, &made).0, 201);
    let address = source.address("words");
    fails(&[&address, "--into", "old"], 2, &["ICU's locale `de`", "--clean", "--any-locale"]);
    let report = server.cli_json(&["import", &address, "--into", "old", "--any-locale"]);
    assert!(report["notes"].to_string().contains("text is sorted and compared by"), "{report}");
    let client = server.try_connect(uri(&report)).await.unwrap();
    assert_eq!(one(&client, ORDER).await, "B,Z,a,neu,ä");
    drop(client);

    // PostgreSQL 16 as Python's package index has it is built without ICU.
    if !has_tools(16) {
        return note("the client programs of PostgreSQL 16 are not installed");
    }
    let bare = server.create_project(&json!({ "name": "bare", "pg_version": 16 }));
    let client = server.try_connect(&bare.dsn).await.unwrap();
    if client.batch_execute("create collation c (provider = icu, locale = 'de')").await.is_ok() {
        return note("PostgreSQL 16 is built with ICU");
    }
    let to_16 = [address.as_str(), "--pg-version", "16", "--name", "sixteen"];
    fails(
        &to_16,
        1,
        &["cannot sort text", "`words` has ICU's locale `de`", "--any-locale", "Nothing was imported"],
    );
    let projects = server.cli_json(&["project", "list"]).to_string();
    assert!(!projects.contains("sixteen"), "{projects}");
    let report = server.cli_json(&[&["import"], &to_16[..], &["--any-locale"]].concat());
    assert!(report["notes"].to_string().contains("text is sorted and compared by"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_with_a_locale_is_made_awake_or_at_the_next_wake() {
    let server = Server::start(&[]);
    let project = server.create_project(&json!({ "name": "shop", "pg_version": 15 }));
    let (path, owner) = databases(&server, &project);
    let make = |name: &str, locale: Value| {
        let wish = json!({ "database": { "name": name, "owner_name": owner, "locale": locale } });
        server.api("POST", &path, &wish)
    };
    let (status, reply) = make("bad", json!({ "provider": "builtin", "name": "C" }));
    assert_eq!((status, &reply["code"]), (400, &"bad-locale".into()), "{reply}");

    let client = server.try_connect(&project.dsn).await.unwrap();
    let (status, reply) = make("nowhere", json!({ "provider": "libc", "name": "xx_XX" }));
    assert_eq!((status, &reply["code"]), (409, &"refused-by-postgres".into()), "{reply}");
    assert_eq!(make("awake", json!({ "provider": "icu", "name": "de" })).0, 201);
    let create = ["database", "create", "typed", "--project", &project.id, "--locale"];
    let made = server.cli(&[&create[..], &["de-AT", "--locale-provider", "icu"]].concat());
    assert!(made.status.success(), "{}", talk(&made));
    let refused = server.cli(&[&create[..], &["C", "--icu-rules", "&a < b"]].concat());
    assert!(!refused.status.success() && talk(&refused).contains("icu_rules"), "{}", talk(&refused));
    drop(client);
    assert_eq!(server.act(&project, "suspend").0, 200);
    assert_eq!(
        make("asleep", json!({ "provider": "libc", "lc_collate": "C", "lc_ctype": "C.UTF-8" })).0,
        201
    );
    let client = server.try_connect(&project.dsn).await.unwrap();
    let found = "select string_agg(concat_ws(' ', datname, datlocprovider, daticulocale, datcollate, datctype), ', ' \
         order by datname) from pg_database where datname in ('awake', 'asleep', 'nowhere', 'typed')";
    assert_eq!(
        one(&client, found).await,
        "asleep c C C.UTF-8, awake i de C.UTF-8 C.UTF-8, typed i de-AT C.UTF-8 C.UTF-8"
    );
}
