//! Read-only endpoints: the past to look at, without a way to change it.

use dormouse_tests::Project;

use super::{FILL, ROWS, Site};

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_reader_shows_the_past_and_refuses_writes() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    let place = site.place(&main).await;
    site.run(&main, "delete from t").await;
    let reader = site.server.read_only(&main, "main", &place);
    assert_eq!(site.number(&reader, ROWS).await, 1000);
    let client = site.open(&reader).await;
    for statement in ["insert into t values (0, '')", "create table x(n int)", "create temp table y(n int)"] {
        let error = client.batch_execute(statement).await.unwrap_err();
        assert_eq!(error.code().map(|c| c.code()), Some("25006"), "{statement}: {error:?}");
    }
    // Not even by asking for it.
    let error = client.batch_execute("set transaction_read_only = off; delete from t").await;
    assert!(error.is_err());
    drop(client);
    site.run(&main, "insert into t values (0, '')").await;
    assert_eq!(site.server.act(&reader, "suspend").0, 200);
    assert_eq!(site.number(&reader, ROWS).await, 1000, "it stays where it is");
    assert!(site.server.stop().1);
}

/// Its roles prove themselves as its branch's do now, and a name may have become another's.
#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_reader_lets_nobody_in_as_who_had_the_name_then() {
    let mut site = Site::new(&[]);
    let main = site.server.default_project();
    site.run(&main, FILL).await;
    let two =
        "create role a login password 'of a'; create role b login password 'of b'; grant select on t to a";
    site.run(&main, two).await;
    let place = site.place(&main).await;
    let reader = site.server.read_only(&main, "main", &place);
    let at = |name: &str, password: &str, mark: &str| Project {
        dsn: reader
            .dsn
            .replace("app_owner", name)
            .replace(&site.server.password(), password)
            .replace(&reader.endpoint, &format!("{}{mark}", reader.endpoint)),
        ..reader.clone()
    };
    for mark in ["", "-pooler"] {
        assert_eq!(site.number(&at("a", "of%20a", mark), ROWS).await, 1000, "{mark:?}");
    }
    site.run(&main, "alter role a rename to c; alter role b rename to a").await;
    for mark in ["", "-pooler"] {
        let told = match site.server.try_connect(&at("a", "of%20b", mark).dsn).await {
            Ok(client) => client.simple_query(ROWS).await.unwrap_err(),
            Err(told) => told,
        };
        assert_eq!(told.code().map(|code| code.code()), Some("28000"), "{mark:?}: {told:?}");
    }
    assert!(site.server.stop().1);
}

/// Enough to replay that a client would be there first.
const MORE: &str = "insert into t select g, md5(g::text) from generate_series(1001, 200000) g";

#[cfg_attr(not(feature = "storage-e2e"), ignore = "needs the storage")]
#[tokio::test]
async fn a_reader_answers_nobody_before_it_has_replayed_to_its_point() {
    for major in [15, 16, 17, 18] {
        let mut site = Site::new(&["--idle-timeout", "-1"]);
        let wishes = serde_json::json!({ "name": "read", "pg_version": major });
        let main = site.server.create_project(&wishes);
        site.run(&main, FILL).await;
        site.server.branch_verb(&main, "snapshot", "main", &[]).unwrap();
        site.run(&main, MORE).await;
        let place = site.place(&main).await;
        site.run(&main, "delete from t").await;
        let reader = site.server.read_only(&main, "main", &place);
        assert_eq!(site.number(&reader, ROWS).await, 200_000, "PostgreSQL {major}");
        // Nor after a start from a clean snapshot, on the timeline of another branch.
        assert_eq!(site.server.act(&main, "suspend").0, 200);
        let branch = site.server.branch(&main, "feature", &[]);
        assert_eq!(site.number(&branch.at, ROWS).await, 0);
        assert_eq!(site.server.act(&branch.at, "suspend").0, 200);
        site.run(&branch.at, "insert into t select g, md5(g::text) from generate_series(1, 200000) g").await;
        let reader = site.server.read_only(&main, "feature", &site.place(&branch.at).await);
        assert_eq!(site.number(&reader, ROWS).await, 200_000, "PostgreSQL {major}");
        // Nor the next time.
        assert_eq!(site.server.act(&reader, "suspend").0, 200);
        assert_eq!(site.number(&reader, ROWS).await, 200_000, "PostgreSQL {major}");
        assert!(site.server.stop().1);
    }
}
