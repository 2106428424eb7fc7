use super::Announcement;

const READY: Announcement<'_> = Announcement {
    project_id: Some("quiet-meadow-k3v9x2ab"),
    branch: Some("main"),
    connection_string: Some("postgresql://app_owner:s3cret@ep-calm-oak-abcd2345.localhost:5455/app"),
    pooled_connection_string: Some(
        "postgresql://app_owner:s3cret@ep-calm-oak-abcd2345-pooler.localhost:5455/app",
    ),
    api: "http://127.0.0.1:5480/api/v2",
    api_key: "dm_AbCd",
    console: "http://127.0.0.1:5480/",
    console_link: Some("http://127.0.0.1:5480/console/#code=AbCd"),
};

#[test]
fn for_people() {
    insta::assert_snapshot!(READY, @r"
    Dormouse is ready. Databases sleep when nobody works and wake on the next connection.

      Connect  postgresql://app_owner:s3cret@ep-calm-oak-abcd2345.localhost:5455/app
      Pooled   postgresql://app_owner:s3cret@ep-calm-oak-abcd2345-pooler.localhost:5455/app
      Console  http://127.0.0.1:5480/console/#code=AbCd
      API      http://127.0.0.1:5480/api/v2

      In another terminal: `dormouse psql` connects, `dormouse status` shows what sleeps,
      `dormouse console` prints a link that signs in; such a link works once, for 15 minutes.
      Ctrl-C stops the server and its databases.
    ");
}

#[test]
fn for_programs_it_is_one_line() {
    let line = serde_json::to_string(&READY).unwrap();
    assert!(!line.contains('\n'));
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&line).unwrap();
    let mut names: Vec<&str> = fields.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "api",
            "api_key",
            "branch",
            "connection_string",
            "console",
            "pooled_connection_string",
            "project_id"
        ]
    );
}
