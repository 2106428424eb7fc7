//! What leads nowhere: refused before anything starts, and without a word on what exists.

use dormouse_tests::raw::{PROTOCOL_3_0, Raw, startup};
use serde_json::Value;

use super::{PASSWORD, Town};

/// Names that must not appear in an error for a client that has not logged in.
fn names(town: &Town) -> Vec<String> {
    let (first, second) = (&town.first, &town.second);
    [&first.id, &second.id, &first.endpoint, &second.endpoint].map(String::clone).into()
}

#[tokio::test]
async fn nowhere() {
    let town = Town::new().await;
    two_forms_that_disagree(&town).await;
    unknown_places_start_nothing_and_tell_nothing(&town).await;
    authenticated_callers_learn_what_exists(&town).await;
}

async fn unknown_places_start_nothing_and_tell_nothing(town: &Town) {
    for project in [&town.first, &town.second] {
        assert_eq!(town.server.act(project, "suspend").0, 200);
    }
    let events = |town: &Town| -> usize {
        [&town.first, &town.second].iter().map(|p| town.server.events_of(p).len()).sum()
    };
    town.server.until_event(&town.second, "stopped");
    town.server.until_event(&town.first, "stopped");
    let before = events(town);
    for (database, options, named) in [
        ("app", "endpoint=ep-no-such-x7x7x7x7", "ep-no-such-x7x7x7x7"),
        ("app@nowhere", "", "nowhere"),
        ("app@no-project/main", "", "no-project"),
        ("app@second/nowhere", "", "nowhere"),
        ("app@ep-no-such-x7x7x7x7", "", "ep-no-such-x7x7x7x7"),
    ] {
        let params = [("user", "app_owner"), ("database", database), ("options", options)];
        let mut raw = Raw::open(town.server.pg_port()).await;
        raw.send(&startup(PROTOCOL_3_0, &params)).await;
        let error = raw.error().await.fields;
        assert_eq!((error.severity(), error.code()), ("FATAL", "3D000"), "{error:?}");
        assert!(error.message().contains(named), "{error:?}");
        let all = format!("{error:?}");
        assert!(!names(town).iter().any(|name| all.contains(name.as_str())), "{all}");
        assert!(!all.contains("other"), "no branch is named: {all}");
        assert!(raw.message().await.is_none(), "the connection is closed");
    }
    // A database that does not exist is PostgreSQL's own answer, after the login.
    let error = town.plain("no_such_database").await.unwrap_err();
    assert_eq!(error.code().map(tokio_postgres::error::SqlState::code), Some("3D000"), "{error}");
    assert_eq!(town.server.state_of(&town.second), "stopped");
    let woke = events(town) - before;
    assert!(woke <= 1, "only the last one, with its right password, may wake: {woke}");
    town.server.assert_clean_log(&[]);
}

async fn two_forms_that_disagree(town: &Town) {
    let (first, second) = (&town.first.endpoint, &town.second.endpoint);
    for (database, options) in [
        (format!("app@{first}"), format!("endpoint={second}")),
        ("app@second/other".to_owned(), format!("endpoint={first}")),
    ] {
        let params = [("user", "app_owner"), ("database", &database), ("options", &options)];
        let mut raw = Raw::open(town.server.pg_port()).await;
        raw.send(&startup(PROTOCOL_3_0, &params)).await;
        let error = raw.error().await.fields;
        assert_eq!(error.code(), "08004", "{error:?}");
        assert!(error.message().contains("two different endpoints"), "{error:?}");
        assert!(error.hint().is_some_and(|hint| hint.contains("endpoint-routes-differ")), "{error:?}");
    }
    let options = format!("options='endpoint={first}'");
    let error = town.psql(&format!("{second}.localhost"), "app", &options, PASSWORD).bad();
    assert!(error.contains("two different endpoints"), "{error}");
    // A password with an endpoint in it is only looked at where nothing else names one.
    let password = format!("endpoint={second};{PASSWORD}");
    let error = town.psql(&format!("{first}.localhost"), "app", "", &password).bad();
    assert!(error.contains("password authentication failed"), "{error}");

    let mut raw = Raw::open(town.server.pg_port()).await;
    raw.send(&startup(PROTOCOL_3_0, &[("user", "app_owner"), ("database", "app@")])).await;
    let error = raw.error().await.fields;
    assert!(error.message().contains("does not name a branch"), "{error:?}");
}

async fn authenticated_callers_learn_what_exists(town: &Town) {
    let (server, second) = (&town.server, &town.second);
    let output = server.cli(&["connection-string", "nowhere", "--project", "second"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("nowhere") && error.contains("other"), "{error}");
    let output = server.cli(&["endpoint", "list", "--project", "no-project"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("no-project") && error.contains("second"), "{error}");
    let (status, reply) =
        server.api("GET", &format!("/projects/{}/branches/nowhere", second.id), &Value::Null);
    assert_eq!(status, 404, "{reply}");
    assert!(reply["code"].is_string() && reply["message"].is_string(), "{reply}");
    let told = reply.to_string();
    assert!(told.contains("other"), "the API names the branches that exist: {told}");
}
