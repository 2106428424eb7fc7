//! The API as others see it: everything that its document allows is asked ([`conforms`]), and the command line
//! works from anywhere.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use dormouse_tests::programs::driver_home;
use dormouse_tests::{Server, binary};
use serde_json::{Value, json};

use crate::pool_house::skipped;

/// The command line with nothing but the address and a key.
fn elsewhere(server: &Server, key: &str, directory: &Path, arguments: &[&str]) -> Output {
    Command::new(binary())
        .args(arguments)
        .env_clear()
        .env("DORMOUSE_API_HOST", server.ready()["api"].as_str().unwrap())
        .env("DORMOUSE_API_KEY", key)
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", directory)
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn the_command_line_works_from_anywhere() {
    let server = Server::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    let all = server.ready()["api_key"].as_str().unwrap().to_owned();
    let run = |key: &str, arguments: &[&str]| {
        let output = elsewhere(&server, key, dir.path(), arguments);
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().unwrap(), String::from_utf8_lossy(&output.stdout).into_owned(), err)
    };
    let ok = |key: &str, arguments: &[&str]| {
        let (code, out, err) = run(key, arguments);
        assert_eq!(code, 0, "{arguments:?}: {err}");
        out
    };
    ok(&all, &["project", "create", "shop"]);
    let key = ok(&all, &["api-key", "create", "ci", "--project", "shop"]).trim().to_owned();

    // All that a job for a pull request does, with a key for the project.
    let json = |arguments: &[&str]| -> Value {
        let all = [arguments, &["--output", "json"]].concat();
        serde_json::from_str(&ok(&key, &all)).unwrap()
    };
    let first = json(&["branch", "create", "--for-pr", "7", "--expires-in", "1h"]);
    let again = json(&["branch", "create", "--for-pr", "7", "--expires-in", "2h"]);
    assert_eq!(first["branch"]["name"], "pr-7");
    assert_eq!(again["branch"]["id"], first["branch"]["id"]);
    assert!(again["branch"]["expires_at"].as_str() > first["branch"]["expires_at"].as_str());
    assert_eq!(again["connection_uris"][0]["connection_uri"], first["connection_uris"][0]["connection_uri"]);
    assert_eq!(
        again["connection_uris"][0]["connection_parameters"],
        first["connection_uris"][0]["connection_parameters"]
    );
    ok(&key, &["init", "pr-7"]);
    let env = std::fs::read_to_string(dir.path().join(".env")).unwrap();
    let direct = first["connection_uris"][0]["connection_uri"].as_str().unwrap();
    assert!(env.contains(&format!("DATABASE_URL_UNPOOLED=\"{direct}\"")) && env.contains("-pooler"), "{env}");
    ok(&key, &["init", "pr-7"]);
    assert_eq!(std::fs::read_to_string(dir.path().join(".env")).unwrap(), env);
    std::fs::write(dir.path().join("theirs"), "DATABASE_URL=x\n").unwrap();
    assert_eq!(run(&key, &["init", "--file", "theirs"]).0, 2);

    for arguments in [
        &["status"][..],
        &["project", "list"],
        &["project", "get"],
        &["branch", "list"],
        &["branch", "size", "pr-7"],
        &["branch", "history"],
        &["role", "list"],
        &["role", "reveal", "app_owner"],
        &["database", "list"],
        &["endpoint", "list"],
        &["endpoint", "events"],
        &["operation", "list"],
        &["ip-allow", "list"],
        &["connection-string", "pr-7", "--pooled"],
        &["snapshot", "create", "kept", "--branch", "pr-7"],
        &["snapshot", "list"],
        &["snapshot", "restore", "kept", "--as", "copy"],
        &["branch", "delete", "copy", "--yes"],
        &["snapshot", "delete", "kept", "--yes"],
        &["audit", "--project", "shop"],
        &["branch", "delete", "pr-7", "--yes"],
    ] {
        ok(&key, arguments);
    }
    for arguments in
        [&["project", "delete", "shop", "--yes"][..], &["api-key", "list"], &["audit"], &["storage"]]
    {
        let (code, _, err) = run(&key, arguments);
        assert_eq!(code, 5, "{arguments:?}: {err}");
    }
    for arguments in
        [&["storage"][..], &["pooler", "show", "pools"], &["gc", "--dry-run"], &["api-key", "list"]]
    {
        ok(&all, arguments);
    }
    let audit: Value = serde_json::from_str(&ok(&all, &["audit", "--output", "json"])).unwrap();
    let entries = audit["entries"].as_array().unwrap();
    let of = |action: &str| {
        entries.iter().find(|e| e["action"] == action).unwrap_or_else(|| panic!("no {action}"))
    };
    let made = of("createSnapshot");
    assert_eq!(
        (&made["actor"]["name"], &made["from"], &made["status"]),
        (&json!("ci"), &json!("127.0.0.1"), &json!(200))
    );
    assert_eq!(of("deleteProject")["error"], "not-allowed");
}

/// The project must stay, and the pooler's console can shut the pooler down.
const NEVER: [&str; 2] = ["deleteProject", "runPoolerCommand"];

/// What starts and stops PostgreSQL, or asks it: each request takes a while.
const COMPUTE: [&str; 8] = [
    "startProjectEndpoint",
    "suspendProjectEndpoint",
    "restartProjectEndpoint",
    "pauseProjectEndpoint",
    "evictProjectEndpoint",
    "getProjectBranchSchema",
    "getProjectBranchSchemaComparison",
    "resetProjectBranchRolePassword",
];

/// What moves data.
const DATA: [&str; 6] = [
    "restoreProjectBranch",
    "restoreSnapshot",
    "createSnapshot",
    "storeProjectBranch",
    "checkStorage",
    "collectStorage",
];

/// Each value that the document allows or forbids, and some that are drawn.
const ALL_PHASES: &str = "coverage,fuzzing";

/// Schemathesis makes requests of the document, good ones and bad ones: the server may refuse, but not break,
/// and what it says must be what the document says. More of them: `DORMOUSE_API_SECONDS`, `DORMOUSE_API_EXAMPLES`,
/// `DORMOUSE_API_SEED`.
#[test]
fn conforms() {
    let left_out = NEVER.iter().chain(&COMPUTE).chain(&DATA);
    let left_out: Vec<_> = left_out.flat_map(|id| ["--exclude-operation-id", id]).collect();
    schemathesis("conforms", &left_out, ALL_PHASES, "60");
}

/// Without values that are drawn, unless there is time for them.
fn slow_ones(name: &str, operations: &[&str]) {
    let only: Vec<_> = operations.iter().flat_map(|id| ["--include-operation-id", id]).collect();
    let phases = if std::env::var_os("DORMOUSE_API_SECONDS").is_some() { ALL_PHASES } else { "coverage" };
    schemathesis(name, &only, phases, "45");
}

#[test]
fn conforms_where_postgresql_has_work() {
    slow_ones("conforms_where_postgresql_has_work", &COMPUTE);
}

#[test]
fn conforms_where_data_moves() {
    slow_ones("conforms_where_data_moves", &DATA);
}

fn schemathesis(name: &str, operations: &[&str], phases: &str, seconds: &str) {
    if skipped("api", name) {
        return;
    }
    let server = Server::start(&[]);
    let variable = |name: &str, usual: &str| std::env::var(name).unwrap_or_else(|_| usual.to_owned());
    let dir = tempfile::tempdir().unwrap();
    // Paths lead to what exists, so that requests come further than to a 404.
    let endpoint = server.endpoint();
    let settings = format!(
        "[parameters]\n\"path.project_id\" = \"{}\"\n\"path.branch_id\" = \"main\"\n\"path.endpoint_id\" = \"{}\"\n\
         \"path.role_name\" = \"app_owner\"\n\"path.database_name\" = \"app\"\n",
        endpoint["project_id"].as_str().unwrap(),
        endpoint["id"].as_str().unwrap(),
    );
    let file = dir.path().join("schemathesis.toml");
    std::fs::write(&file, settings).unwrap();
    let mut command = Command::new(driver_home().join("api/bin/schemathesis"));
    command.arg("--config-file").arg(&file).arg("run");
    command.arg(format!("{}/openapi.json", server.ready()["api"].as_str().unwrap()));
    command.args(["-H", &format!("Authorization: Bearer {}", server.ready()["api_key"].as_str().unwrap())]);
    let checks =
        "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
    command.args(["--checks", checks, "--no-color", "--request-timeout", "90", "--generation-deterministic"]);
    command.args(["--phases", phases, "--no-shrink"]);
    command.args(["--max-examples", &variable("DORMOUSE_API_EXAMPLES", "2")]);
    command.args(["--seed", &variable("DORMOUSE_API_SEED", "1")]);
    command.args(["--max-time", &variable("DORMOUSE_API_SECONDS", seconds)]);
    command.args(operations);
    let output = command.current_dir(dir.path()).stdin(Stdio::null()).output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{out}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(!server.log().contains("panicked"), "{}", server.log());
}
