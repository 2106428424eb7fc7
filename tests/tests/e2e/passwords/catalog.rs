//! Roles and databases made and changed with SQL count for the next login, also across sleep.

use dormouse_tests::Server;

use super::{refused, right, wrong};

/// Every way a database can lie between a change and the next login.
const SLEEPS: [&str; 3] = ["", "pause", "suspend"];

async fn after(server: &Server, sleep: &str) {
    if !sleep.is_empty() {
        assert_eq!(server.act(&server.default_project(), sleep).0, 200);
    }
}

async fn sql(server: &Server, sql: &str) {
    let owner = server.login("app_owner", &server.password()).await.unwrap();
    owner.batch_execute(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
}

#[tokio::test]
async fn made_changed_and_refused() {
    let server = Server::start(&[]);
    names_that_need_care(&server).await;
    md5_passwords_are_refused_with_the_reason(&server).await;
    made_with_sql(&server).await;
}

async fn made_with_sql(server: &Server) {
    for (number, sleep) in SLEEPS.into_iter().enumerate() {
        let (role, database) = (format!("maker{number}"), format!("made{number}"));
        sql(server, &format!("create role {role} login password 'pw'")).await;
        sql(server, &format!("create database {database}")).await;
        after(server, sleep).await;
        let mut config: tokio_postgres::Config = server.dsn().parse().unwrap();
        config.user(&role).password("pw").dbname(&database);
        let client = server.connect_with(&config).await.unwrap_or_else(|e| panic!("{sleep}: {e}"));
        let row = client.query_one("select current_user::text, current_database()::text", &[]).await.unwrap();
        assert_eq!((row.get::<_, String>(0), row.get::<_, String>(1)), (role.clone(), database.clone()));
        drop(client);
        // Known to the API after a sleep, and at once while awake.
        let listed = server.cli_json(&["role", "list"]).to_string();
        assert!(listed.contains(&role), "{sleep}: {listed}");
        let listed = server.cli_json(&["database", "list"]).to_string();
        assert!(listed.contains(&database), "{sleep}: {listed}");
    }
    server.assert_clean_log(&[]);
}

#[tokio::test]
async fn taken_away_with_sql() {
    let server = Server::start(&[]);
    for (number, sleep) in SLEEPS.into_iter().enumerate() {
        // Another role each time, so that this is not taken for guessing.
        let (leaver, stayer) = (&format!("leaver{number}"), &format!("stayer{number}"));
        sql(&server, &format!("create role {leaver} login password 'pw'")).await;
        right(&server, leaver, "pw").await;
        sql(&server, &format!("drop role {leaver}")).await;
        after(&server, sleep).await;
        wrong(&server, leaver, "pw").await;

        sql(&server, &format!("create role {leaver} login password 'pw' valid until '2001-01-01'")).await;
        after(&server, sleep).await;
        wrong(&server, leaver, "pw").await;
        sql(&server, &format!("alter role {leaver} valid until 'infinity'")).await;
        after(&server, sleep).await;
        right(&server, leaver, "pw").await;

        sql(&server, &format!("alter role {leaver} nologin")).await;
        after(&server, sleep).await;
        let (code, text) = refused(&server, leaver, "pw").await;
        assert_eq!(code, "28000", "{text}");
        assert!(text.contains("not permitted to log in"), "{text}");
        let (code, _) = refused(&server, leaver, "wrong").await;
        assert_eq!(code, "28P01", "who does not know the password does not learn that either");
        sql(&server, &format!("alter role {leaver} login; alter role {leaver} rename to {stayer}")).await;
        after(&server, sleep).await;
        wrong(&server, leaver, "pw").await;
        right(&server, stayer, "pw").await;
        sql(&server, &format!("drop role {stayer}")).await;
    }
    server.assert_clean_log(&[]);
}

async fn names_that_need_care(server: &Server) {
    let password = "p'w\"; \\ä€ ";
    sql(server, r#"create role "Ro'le ""x"" ä" login"#).await;
    let name = r#"Ro'le "x" ä"#;
    sql(
        server,
        &format!(
            r#"alter role "Ro'le ""x"" ä" password E'{}'"#,
            password.replace('\\', "\\\\").replace('\'', "\\'")
        ),
    )
    .await;
    sql(server, r#"create database "Da'ta ""b"" ä""#).await;
    after(server, "suspend").await;
    let mut config: tokio_postgres::Config = server.dsn().parse().unwrap();
    config.user(name).password(password).dbname(r#"Da'ta "b" ä"#);
    let client = server.connect_with(&config).await.unwrap();
    let user: String = client.query_one("select current_user::text", &[]).await.unwrap().get(0);
    assert_eq!(user, name);
    wrong(server, name, "p").await;
}

async fn md5_passwords_are_refused_with_the_reason(server: &Server) {
    sql(server, "set password_encryption = 'md5'; create role old login password 'pw'").await;
    for sleep in SLEEPS {
        after(server, sleep).await;
        let (code, text) = refused(server, "old", "pw").await;
        assert_eq!(code, "28000", "{text}");
        assert!(text.contains("MD5"), "{text}");
    }
    sql(server, "alter role old password 'pw'").await;
    right(server, "old", "pw").await;
}
