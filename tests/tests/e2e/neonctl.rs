//! Neon's own command line, `neonctl` 5.0.1, unchanged, against a server of ours: every command that makes
//! sense here, on real data. What it may not do here must fail with words, not with a stack trace.
//!
//! `scripts/setup --tests` installs it (`tests/drivers/neonctl`).

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use dormouse_tests::Server;
use dormouse_tests::programs::{driver_home, psql};
use serde_json::Value;

use crate::pool_house::skipped;

/// One server with a project, and the command line beside it.
struct Neonctl {
    server: Server,
    home: tempfile::TempDir,
    project: String,
}

fn program() -> PathBuf {
    driver_home().join("neonctl/node_modules/neonctl/bin/cli.js")
}

impl Neonctl {
    fn new() -> Self {
        let server = Server::start(&[]);
        let project = server.ready()["project_id"].as_str().unwrap().to_owned();
        Self { server, home: tempfile::tempdir().unwrap(), project }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let text = |key: &str| self.server.ready()[key].as_str().unwrap().to_owned();
        Command::new("node")
            .arg(program())
            .args(arguments)
            .args([
                "--api-host",
                &text("api"),
                "--api-key",
                &text("api_key"),
                "--no-analytics",
                "--output",
                "json",
            ])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("CI", "1")
            .env("NO_COLOR", "1")
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .output()
            .expect("node is there: scripts/setup --tests")
    }

    /// It must succeed; what it printed, as JSON where it is.
    #[track_caller]
    fn ok(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "neonctl {arguments:?}\n{out}\n{err}");
        serde_json::from_str(&out).unwrap_or_else(|_| Value::String(out.trim().to_owned()))
    }

    /// The same in the project.
    #[track_caller]
    fn here(&self, arguments: &[&str]) -> Value {
        let mut all = arguments.to_vec();
        all.extend(["--project-id", &self.project]);
        self.ok(&all)
    }

    /// It must fail, with these words.
    #[track_caller]
    fn refused(&self, arguments: &[&str], words: &str) {
        let output = self.run(arguments);
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "neonctl {arguments:?} succeeded: {output:?}");
        assert!(err.contains(words), "neonctl {arguments:?}: {err}");
        assert!(!err.contains("    at "), "a stack trace: {err}");
    }

    async fn client(&self, branch: &str) -> tokio_postgres::Client {
        let uri = self.server.api(
            "GET",
            &format!("/projects/{}/branches/{branch}/endpoints", self.project),
            &Value::Null,
        );
        let endpoint = uri.1["endpoints"][0]["id"].as_str().unwrap().to_owned();
        let path = format!(
            "/projects/{}/connection_uri?database_name=app&role_name=app_owner&endpoint_id={endpoint}",
            self.project
        );
        let uri = self.server.api("GET", &path, &Value::Null).1["uri"].as_str().unwrap().to_owned();
        self.server.try_connect(&uri).await.unwrap()
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

fn names(list: &Value) -> Vec<&str> {
    let list = list.as_array().unwrap_or_else(|| panic!("no list: {list}"));
    list.iter().map(|item| text(item, "name")).collect()
}

#[test]
fn projects_and_the_caller() {
    if skipped("neonctl", "neonctl") {
        return;
    }
    let neon = Neonctl::new();
    assert_eq!(text(&neon.ok(&["me"]), "login"), "local");
    assert_eq!(neon.ok(&["orgs", "list"]), serde_json::json!([]));
    let made = neon.ok(&["projects", "create", "--name", "shop", "--database", "stock", "--role", "keeper"]);
    let id = text(&made["project"], "id").to_owned();
    let listed = neon.ok(&["projects", "list"]);
    assert_eq!(names(&listed["projects"]), ["default", "shop"], "{listed}");
    assert_eq!(text(&neon.ok(&["projects", "get", &id]), "name"), "shop");
    neon.ok(&["projects", "update", &id, "--name", "store", "--cu", "1-2"]);
    let (_, now) = neon.server.api("GET", &format!("/projects/{id}"), &Value::Null);
    assert_eq!(text(&now["project"], "name"), "store");
    assert_eq!(now["project"]["default_endpoint_settings"]["autoscaling_limit_max_cu"], 2.0);

    let list = neon.ok(&["ip-allow", "add", "192.0.2.7", "--project-id", &id]);
    assert_eq!(list["IP_addresses"], serde_json::json!(["192.0.2.7"]), "{list}");
    neon.ok(&["ip-allow", "add", "10.0.0.0/8", "--project-id", &id]);
    neon.ok(&["ip-allow", "remove", "192.0.2.7", "--project-id", &id]);
    let list = neon.ok(&["ip-allow", "list", "--project-id", &id]);
    assert_eq!(list["IP_addresses"], serde_json::json!(["10.0.0.0/8"]), "{list}");
    neon.ok(&["ip-allow", "reset", "--project-id", &id]);

    neon.refused(&["projects", "recover", &id], "is not deleted");
    neon.ok(&["projects", "delete", &id]);
    neon.refused(&["projects", "get", &id], "there is no project");
    neon.refused(&["projects", "recover", &id], "there is no project");
    // Exactly one project: it is found without being named.
    assert_eq!(names(&neon.ok(&["branches", "list"])), ["main"]);

    let key = neon.ok(&["api-keys", "create", "--name", "ci"]);
    assert!(text(&key, "key").starts_with("dm_"), "{key}");
    assert!(names(&neon.ok(&["api-keys", "list"])).contains(&"ci"));
    let raw = neon.ok(&["api", "/regions"]);
    assert_eq!(raw["regions"][0]["region_id"], "local", "{raw}");
}

#[tokio::test]
async fn branches_roles_and_databases() {
    if skipped("neonctl", "neonctl") {
        return;
    }
    let neon = Neonctl::new();
    let main = neon.client("main").await;
    main.batch_execute("create table t(n int); insert into t values (1)").await.unwrap();

    let made =
        neon.here(&["branches", "create", "--name", "dev", "--suspend-timeout", "60", "--cu", "0.25-1"]);
    let dev = text(&made["branch"], "id").to_owned();
    assert!(dev.starts_with("br-") && dev.split('-').count() == 4, "{dev}");
    let endpoint = &made["endpoints"][0];
    assert_eq!(endpoint["suspend_timeout_seconds"], 60);
    let there = neon.client("dev").await;
    assert_eq!(there.query_one("select n from t", &[]).await.unwrap().get::<_, i32>(0), 1);
    there.batch_execute("create table only_dev(n int)").await.unwrap();
    drop(there);

    let bare = neon.here(&["branches", "create", "--name", "bare", "--no-compute", "--parent", "main"]);
    assert!(bare["endpoints"].as_array().is_none_or(Vec::is_empty), "{bare}");
    neon.here(&["branches", "add-compute", "bare", "--cu", "0.5"]);
    assert_eq!(names(&neon.here(&["branches", "list"])), ["main", "dev", "bare"]);
    assert_eq!(text(&neon.here(&["branches", "get", "dev"]), "id"), dev);
    neon.here(&["branches", "rename", "bare", "spare"]);
    let later = (dormouse_base::clock::now() + std::time::Duration::from_secs(3600)).to_string();
    neon.here(&["branches", "set-expiration", "spare", "--expires-at", &later]);
    neon.here(&["branches", "set-expiration", "spare"]);
    let diff = neon.here(&["branches", "schema-diff", "main", "dev", "--database", "app"]);
    assert!(diff.as_str().unwrap().contains("+CREATE TABLE public.only_dev"), "{diff}");

    let role = neon.here(&["roles", "create", "--name", "reader", "--branch", "dev"]);
    assert_eq!(text(&role, "name"), "reader");
    neon.here(&["roles", "create", "--name", "group", "--no-login", "--branch", "dev"]);
    let roles = neon.here(&["roles", "list", "--branch", "dev"]);
    assert!(names(&roles).contains(&"reader") && names(&roles).contains(&"group"), "{roles}");
    neon.here(&["databases", "create", "--name", "stock", "--owner-name", "reader", "--branch", "dev"]);
    assert_eq!(names(&neon.here(&["databases", "list", "--branch", "dev"])), ["app", "stock"]);
    neon.here(&["databases", "delete", "stock", "--branch", "dev"]);
    neon.here(&["roles", "delete", "reader", "--branch", "dev"]);

    let uri = neon.here(&["connection-string", "dev", "--role-name", "app_owner", "--database-name", "app"]);
    let uri = uri.as_str().map_or_else(|| text(&uri, "connection_string").to_owned(), str::to_owned);
    assert!(uri.starts_with("postgresql://app_owner:") && uri.contains("sslmode=require"), "{uri}");
    let pooled = neon.here(&["cs", "dev", "--role-name", "app_owner", "--database-name", "app", "--pooled"]);
    let pooled = pooled.as_str().map_or_else(|| text(&pooled, "connection_string").to_owned(), str::to_owned);
    assert!(pooled.contains("-pooler"), "{pooled}");
    // Both lead to the branch: with TLS and channel binding, as they ask for.
    for uri in [&uri, &pooled] {
        assert_eq!(
            psql(uri, "", &["-c", "insert into only_dev values (2) returning n"]).good(),
            "2",
            "{uri}"
        );
    }

    neon.here(&["branches", "reset", "dev", "--parent", "--preserve-under-name", "dev-before"]);
    let there = neon.client("dev").await;
    assert!(there.query_one("select n from only_dev", &[]).await.is_err(), "the parent does not have it");
    drop(there);
    neon.here(&["branches", "restore", "dev", "dev-before", "--preserve-under-name", "dev-between"]);
    neon.here(&["branches", "set-default", "dev"]);
    let (_, now) = neon.server.api("GET", &format!("/projects/{}/branches/dev", neon.project), &Value::Null);
    assert_eq!(now["branch"]["default"], true);
    neon.here(&["branches", "set-default", "main"]);
    let project = neon.project.clone();
    neon.refused(&["branches", "delete", "main", "--project-id", &project], "default branch");
    neon.here(&["branches", "delete", "spare"]);
    let operations = neon.here(&["operations", "list"]);
    let actions: Vec<&str> = operations.as_array().unwrap().iter().map(|o| text(o, "action")).collect();
    assert!(actions.contains(&"create_branch") && actions.contains(&"apply_config"), "{actions:?}");
}

#[tokio::test]
async fn snapshots() {
    if skipped("neonctl", "neonctl") {
        return;
    }
    let neon = Neonctl::new();
    let client = neon.client("main").await;
    client.batch_execute("create table t(n int); insert into t values (1)").await.unwrap();
    let made = neon.here(&["snapshots", "create", "--branch", "main", "--name", "before"]);
    let id = text(&made, "id").to_owned();
    assert!(id.starts_with("snap-"), "{made}");
    client.batch_execute("insert into t values (2)").await.unwrap();
    assert_eq!(names(&neon.here(&["snapshots", "list"])), ["before"]);
    assert_eq!(text(&neon.here(&["snapshots", "get", "before"]), "id"), id);
    assert_eq!(names(&neon.here(&["branches", "list"])), ["main"], "a snapshot is no branch");
    neon.here(&["snapshots", "update", &id, "--name", "first", "--expires-at", "2199-01-01T00:00:00Z"]);
    let now = neon.here(&["snapshots", "update", &id, "--clear-expiration"]);
    assert_eq!((text(&now, "name"), now.get("expires_at")), ("first", None));

    // To look at first, then to be put in the place of main.
    let restored = neon.here(&["snapshots", "restore", "first", "--name", "look"]);
    assert!(restored.to_string().contains("look"), "{restored}");
    neon.here(&["branches", "add-compute", "look"]);
    let look = neon.client("look").await;
    let count = |client: tokio_postgres::Client| async move {
        client.query_one("select count(*) from t", &[]).await.unwrap().get::<_, i64>(0)
    };
    assert_eq!(count(look).await, 1);
    drop(client);
    neon.here(&["snapshots", "finalize", "look", "--name", "main-before"]);
    assert_eq!(count(neon.client("main").await).await, 1);
    let mut all = neon.here(&["branches", "list"]);
    let branches = names(&all);
    assert!(branches.contains(&"main-before"), "{branches:?}");
    all = neon.here(&[
        "snapshots",
        "restore",
        "first",
        "--target-branch",
        "main",
        "--finalize",
        "--name",
        "again",
    ]);
    assert!(all.to_string().contains("main"), "{all}");

    assert_eq!(neon.here(&["snapshots", "schedule", "get", "--branch", "main"]), serde_json::json!([]));
    let project = neon.project.clone();
    neon.refused(
        &[
            "snapshots",
            "schedule",
            "set",
            "--branch",
            "main",
            "--frequency",
            "daily",
            "--project-id",
            &project,
        ],
        "takes no snapshots by itself",
    );
    let unused = neon.here(&["snapshots", "create", "--branch", "main", "--name", "unused"]);
    neon.here(&["snapshots", "delete", text(&unused, "id")]);
    assert_eq!(names(&neon.here(&["snapshots", "list"])), ["first"]);
}
