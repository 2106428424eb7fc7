//! The console in Debian's Chromium, driven by Playwright; the programs are in `tests/drivers/browser`. Each has a server
//! of its own, with real PostgreSQL.
//!
//! | test | what |
//! |---|---|
//! | units | the console's own tests of what is pure, by vitest |
//! | tour | everything that people do, also with nothing but the keyboard |
//! | every page … | light, dark and on a phone: axe, layout shift, policy, nothing wider than the window, no errors |
//! | first visit … | size, first paint, a thousand branches, no data at all |
//! | sql | the SQL editor and the page of queries |
//! | figures | an endpoint's page, usage, cost and alerts, compared with the API |
//! | gone | the server dies and comes back while somebody looks |

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use dormouse_base::clock::Mono;
use dormouse_tests::programs::{Said, driver_home, run, run_within};
use dormouse_tests::{Server, checkout, free_port, note};

use crate::pool_house::skipped;

/// Seconds for one program: some twenty when nobody else uses the machine.
const LIMIT: &str = "240";

/// Whether the tests can run here; said loudly when they cannot.
fn cannot(name: &str) -> bool {
    if skipped("browser", name) {
        return true;
    }
    // `scripts/console` says why; for root it is an error of its own.
    let built = checkout().join("console/dist/index.html").is_file();
    if !built {
        note(&format!("SKIPPED {name}: this build has no console"));
    }
    !built
}

fn browse(server: &Server, name: &str, more: &[(&str, &str)]) -> Said {
    let program = checkout().join("tests/drivers/browser").join(format!("{name}.mjs"));
    let home = driver_home().join("browser");
    let text = |key: &str| server.ready()[key].as_str().unwrap().trim_end_matches('/').to_owned();
    let (http, key, project) = (text("console"), text("api_key"), text("project_id"));
    let mut environment = vec![
        ("HTTP", http.as_str()),
        ("KEY", key.as_str()),
        ("PROJECT", project.as_str()),
        ("BROWSER_HOME", home.to_str().unwrap()),
    ];
    environment.extend(more);
    let pictures = std::env::var("DORMOUSE_TEST_PICTURES").unwrap_or_default();
    if !pictures.is_empty() {
        environment.push(("PICTURES", &pictures));
    }
    run_within(LIMIT, Path::new("node"), &[program.to_str().unwrap()], &environment)
}

fn good(said: Said, name: &str) {
    let said = said.good();
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with(&format!("ok {name}")), "{said}");
    note(last);
}

#[test]
fn units() {
    let root = checkout().join("console");
    let vitest = root.join("node_modules/vitest/vitest.mjs");
    if !vitest.is_file() {
        note("SKIPPED units: the packages of the console are not installed");
        return;
    }
    let said =
        run(Path::new("node"), &[vitest.to_str().unwrap(), "run", "--root", root.to_str().unwrap()], &[]);
    let said = said.good();
    assert!(said.contains("passed") && !said.contains("failed"), "{said}");
}

#[test]
fn tour() {
    if cannot("console_tour") {
        return;
    }
    let server = Server::start(&[]);
    let printed = server.cli(&["console"]);
    let link = String::from_utf8_lossy(&printed.stdout).trim().to_owned();
    assert!(link.contains("/console/#code="), "{link}");
    good(browse(&server, "console_tour", &[("LINK", &link)]), "console_tour");
}

fn looks(part: &str) {
    if cannot("console_looks") {
        return;
    }
    let server = Server::start(&[]);
    good(browse(&server, "console_looks", &[("PART", part)]), "console_looks");
}

#[test]
fn first_visit_and_extremes() {
    looks("first");
}

#[test]
fn every_page_light() {
    looks("light");
}

#[test]
fn every_page_dark() {
    looks("dark");
}

#[test]
fn every_page_on_a_phone() {
    looks("phone");
}

#[test]
fn sql() {
    if cannot("console_sql") {
        return;
    }
    let server = Server::start(&[]);
    good(browse(&server, "console_sql", &[]), "console_sql");
}

#[test]
fn figures() {
    if cannot("console_figures") {
        return;
    }
    let server = Server::start(&[]);
    good(browse(&server, "console_figures", &[]), "console_figures");
}

#[test]
fn gone() {
    if cannot("console_gone") {
        return;
    }
    let port = free_port().to_string();
    let mut server = Server::start(&["--http-port", &port]);
    let dir = tempfile::tempdir().unwrap();
    let (go, back) = (dir.path().join("go"), dir.path().join("back"));
    let ended = AtomicBool::new(false);
    // Its parts that do not change with a restart.
    let (http, key) = (server.ready()["console"].clone(), server.ready()["api_key"].clone());
    let said = std::thread::scope(|scope| {
        let (ended, go, back) = (&ended, &go, &back);
        let project = server.ready()["project_id"].as_str().unwrap().to_owned();
        let environment = move || {
            let program = checkout().join("tests/drivers/browser/console_gone.mjs");
            let home = driver_home().join("browser");
            let said = run_within(
                LIMIT,
                Path::new("node"),
                &[program.to_str().unwrap()],
                &[
                    ("HTTP", http.as_str().unwrap().trim_end_matches('/')),
                    ("KEY", key.as_str().unwrap()),
                    ("PROJECT", &project),
                    ("BROWSER_HOME", home.to_str().unwrap()),
                    ("GO", go.to_str().unwrap()),
                    ("BACK", back.to_str().unwrap()),
                ],
            );
            ended.store(true, Ordering::Release);
            said
        };
        let browser = scope.spawn(environment);
        let seen = |file: &Path| {
            let start = Mono::now();
            while !file.exists() && !ended.load(Ordering::Acquire) && start.elapsed().as_secs() < 90 {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            file.exists()
        };
        if seen(go) {
            server.kill_9();
            let _ended_early = seen(back);
            server.start_again();
        }
        browser.join().unwrap()
    });
    good(said, "console_gone");
}
