//! Roles handled through the command line and the API, awake and asleep.

use dormouse_tests::Server;
use serde_json::{Value, json};

use super::{right, wrong};

/// The API path of the default branch's roles.
fn roles(server: &Server) -> String {
    let endpoint = server.endpoint_of(&server.default_project());
    let text = |key: &str| endpoint[key].as_str().unwrap().to_owned();
    format!("/projects/{}/branches/{}/roles", text("project_id"), text("branch_id"))
}

#[tokio::test]
async fn made_reset_and_removed() {
    let server = Server::start(&[]);
    let path = roles(&server);
    for (number, sleep) in ["suspend", "pause", "start"].into_iter().enumerate() {
        let lie = || assert_eq!(server.act(&server.default_project(), sleep).0, 200);
        let name = format!("managed{number}");
        right(&server, "app_owner", &server.password()).await;
        lie();
        let (status, made) = server.api("POST", &path, &json!({ "role": { "name": name } }));
        assert_eq!(status, 201, "{made}");
        let first = made["role"]["password"].as_str().unwrap().to_owned();
        right(&server, &name, &first).await;
        let (status, shown) = server.api("GET", &format!("{path}/{name}/reveal_password"), &Value::Null);
        assert_eq!((status, shown["password"].as_str()), (200, Some(first.as_str())));

        lie();
        let state = server.state();
        let (status, reset) = server.api("POST", &format!("{path}/{name}/reset_password"), &Value::Null);
        assert_eq!(status, 200, "{reset}");
        let second = reset["role"]["password"].as_str().unwrap().to_owned();
        assert_ne!(first, second);
        wrong(&server, &name, &first).await;
        assert!(sleep == "pause" || server.state() == state, "a reset wakes nobody who is stopped");
        right(&server, &name, &second).await;

        lie();
        let (status, reply) = server.api("DELETE", &format!("{path}/{name}"), &Value::Null);
        assert_eq!(status, 200, "{reply}");
        wrong(&server, &name, &second).await;
        let (status, _) = server.api("GET", &format!("{path}/{name}"), &Value::Null);
        assert_eq!(status, 404);
        // Gone in PostgreSQL too, not only at the door.
        let owner = server.connect().await;
        let count: i64 = owner
            .query_one("select count(*) from pg_roles where rolname = $1", &[&name])
            .await
            .unwrap()
            .get(0);
        assert_eq!(count, 0, "{name}");
    }
    server.assert_clean_log(&[]);
}

#[tokio::test]
async fn by_command_line() {
    let server = Server::start(&[]);
    let made = server.cli_json(&["role", "create", "helper"]);
    let password = find_password(&made);
    assert_eq!(server.state(), "stopped", "nobody was woken");
    right(&server, "helper", &password).await;
    let reset = find_password(&server.cli_json(&["role", "reset-password", "helper", "--yes"]));
    wrong(&server, "helper", &password).await;
    right(&server, "helper", &reset).await;
    let made = server.cli_json(&["database", "create", "shop"]);
    assert!(made.to_string().contains("shop"), "{made}");
    let mut config: tokio_postgres::Config = server.dsn().parse().unwrap();
    config.dbname("shop");
    server.connect_with(&config).await.unwrap();
    // A password changed by SQL is one that Dormouse cannot reveal.
    let owner = server.connect().await;
    owner.batch_execute("alter role helper password 'by sql'").await.unwrap();
    right(&server, "helper", "by sql").await;
    assert_eq!(server.act(&server.default_project(), "suspend").0, 200);
    let output = server.cli(&["role", "reveal", "helper"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success() && !text.contains(&reset), "an old password is not shown: {text}");
    right(&server, "helper", "by sql").await;
}

/// The password in a reply, wherever it stands.
fn find_password(reply: &Value) -> String {
    let found = reply.pointer("/role/password").or_else(|| reply.get("password"));
    found.and_then(Value::as_str).unwrap_or_else(|| panic!("no password in {reply}")).to_owned()
}
