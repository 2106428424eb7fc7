//! A server whose default project is used through its pooled name, and programs that are told when
//! the endpoint was put to sleep under them.
//!
//! A program of `tests/drivers` prints `SLEEP` and waits for a line; [`House::drive`] suspends the
//! endpoint in between, as its owner would, and answers. Through the pool the program goes on with the
//! connections that it has; without it they end. Which of the two is expected is said once, in
//! [`pooled`].

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use dormouse_tests::programs::driver_home;
use dormouse_tests::raw::Raw;
use dormouse_tests::{Project, Server, checkout, note};
use serde_json::json;

/// Whether `-pooler` names lead to the transaction pool. Until then they lead to PostgreSQL itself, and
/// the same tests show that they are right.
const POOLER_IS_HERE: bool = true;

/// Overrides it: `yes` or `no`.
const VARIABLE: &str = "DORMOUSE_TEST_POOLED";

/// Seconds; a program that runs longer is ended and has failed.
const LIMIT: &str = "120";

/// What a program prints when the endpoint shall be suspended.
const SLEEP: &str = "SLEEP";

/// Whether connections by a pooled name share backends and outlive a sleep of the endpoint.
pub(crate) fn pooled() -> bool {
    match std::env::var(VARIABLE).as_deref() {
        Ok("yes") => true,
        Ok("no") => false,
        Ok(other) => panic!("{VARIABLE} is yes or no, not {other}"),
        Err(_) => POOLER_IS_HERE,
    }
}

/// Why a language cannot be tested on this machine, in the words of `scripts/setup --tests`.
pub(crate) fn missing(language: &str) -> Option<String> {
    std::fs::read_to_string(driver_home().join(format!("{language}.missing"))).ok()
}

/// Says loudly that a test does not run; returns whether that is so.
pub(crate) fn skipped(language: &str, test: &str) -> bool {
    let Some(why) = missing(language) else { return false };
    note(&format!("SKIPPED {test}: {}", why.trim()));
    true
}

/// The server that all houses of this moment share: building its template takes longer than most tests.
static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

fn shared() -> Arc<Server> {
    // A test that failed in here has failed; the next may try.
    let mut place = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = place.upgrade() {
        return server;
    }
    let server = Arc::new(Server::start(&[]));
    *place = Arc::downgrade(&server);
    server
}

/// A project of its own on a server that tests share, by its pooled name. Whoever drops it last ends the
/// server.
pub(crate) struct House {
    pub(crate) server: Arc<Server>,
    pub(crate) project: Project,
}

impl House {
    pub(crate) fn new() -> Self {
        let server = shared();
        let project = server.create_project(&json!({}));
        Self { server, project }
    }

    /// The connection string without the pool.
    pub(crate) fn direct(&self) -> &str {
        &self.project.dsn
    }

    /// The connection string by the pooled name.
    pub(crate) fn dsn(&self) -> String {
        let pooled = self.project.dsn.replace(&self.project.endpoint, &self.pooler());
        assert_ne!(pooled, self.project.dsn, "the endpoint's name is in it");
        pooled
    }

    /// The pooled connection string with another database.
    pub(crate) fn dsn_of(&self, database: &str) -> String {
        self.dsn().replacen("/app?", &format!("/{database}?"), 1)
    }

    /// The owner's password.
    pub(crate) fn password(&self) -> String {
        let config: tokio_postgres::Config = self.project.dsn.parse().unwrap();
        String::from_utf8(config.get_password().unwrap().to_vec()).unwrap()
    }

    /// Nobody complained, except about WAL that could not be filed because the endpoint was suspended.
    #[track_caller]
    pub(crate) fn assert_clean_log(&self) {
        self.server.assert_clean_log(&["cannot file WAL; will try again"]);
    }

    /// The endpoint's pooled name.
    pub(crate) fn pooler(&self) -> String {
        format!("{}-pooler", self.project.endpoint)
    }

    /// Logs in by the pooled name, byte by byte; `more` are further startup parameters.
    pub(crate) async fn raw(&self, more: &[(&str, &str)]) -> Raw {
        self.raw_with_key(more).await.0
    }

    /// The same with the key for cancelling: process ID and secret.
    pub(crate) async fn raw_with_key(&self, more: &[(&str, &str)]) -> (Raw, (u32, Vec<u8>)) {
        let database = format!("app@{}", self.pooler());
        let mut parameters = vec![("user", "app_owner"), ("database", database.as_str())];
        parameters.extend(more);
        let packet = dormouse_tests::raw::startup(dormouse_tests::raw::PROTOCOL_3_0, &parameters);
        let mut raw = Raw::open(self.server.pg_port()).await;
        raw.stream.set_nodelay(true).unwrap();
        let welcome = raw.login(&packet, &self.password()).await.unwrap();
        let key = welcome.key.unwrap();
        (raw, (key.pid, key.secret.expose().clone()))
    }

    /// Puts the endpoint to sleep, as `dormouse endpoint suspend` does.
    pub(crate) fn suspend(&self) {
        let said = self.server.cli(&["endpoint", "suspend", &self.project.endpoint]);
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        self.server.until_state(&self.project, "stopped");
    }

    /// Runs a program of `tests/drivers` (`interpreter`, its options, then the program and what it is
    /// told) and returns what it printed last, which must begin with `ok`.
    pub(crate) fn drive(
        &self,
        interpreter: &Path,
        before: &[&str],
        program: &str,
        after: &[&str],
        dsn: &str,
    ) {
        let path = checkout().join("tests/drivers").join(program);
        assert!(path.is_file(), "{} is missing", path.display());
        let survives = if pooled() { "yes" } else { "no" };
        let mut arguments: Vec<&str> = before.to_vec();
        arguments.push(path.to_str().unwrap());
        arguments.extend(after);
        arguments.extend(["--survives", survives]);
        let (said, slept) = self.run(interpreter, &arguments, &[("DSN", dsn)]);
        let last = said.lines().last().unwrap_or_default();
        assert!(last.starts_with("ok pool_"), "{program}:\n{said}");
        assert_eq!(slept, 1, "{program} sleeps once:\n{said}");
        note(last);
    }

    /// Runs any program; suspends the endpoint whenever it says so. Returns its output and how often it
    /// slept; it must end well.
    pub(crate) fn run(
        &self,
        program: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> (String, u32) {
        let (ok, said, slept) = self.try_run(program, arguments, environment);
        assert!(ok, "{} {arguments:?}:\n{said}", program.display());
        (said, slept)
    }

    /// The same for a program that may fail.
    pub(crate) fn try_run(
        &self,
        program: &Path,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> (bool, String, u32) {
        let mut child = start(program, arguments, environment);
        let mut stdin = child.stdin.take().unwrap();
        let mut complaints = child.stderr.take().unwrap();
        // Two pipes, one reader each: a full one would stop the program.
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        dormouse_runtime::task::thread("read-stderr", move || {
            let mut text = String::new();
            let _closed = complaints.read_to_string(&mut text);
            let _gone = sender.send(text);
        });
        let (mut said, mut slept) = (String::new(), 0);
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap_or_default();
            if line == SLEEP {
                self.suspend();
                slept += 1;
                // It may have ended in between; then its exit code tells.
                let _gone = stdin.write_all(b"\n");
                continue;
            }
            said.push_str(&line);
            said.push('\n');
        }
        let ok = child.wait().unwrap().success();
        let complaints = receiver.recv().unwrap_or_default();
        if !ok {
            said.push_str(&complaints);
        }
        (ok, said, slept)
    }
}

/// Starts a program under a time limit, with this environment and little else.
fn start(program: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Child {
    let mut command = Command::new("timeout");
    command.args(["-k", "2", LIMIT]).arg(program).args(arguments).env_clear();
    for kept in ["PATH", "DORMOUSE_TEST_HOME"] {
        command.envs(std::env::var(kept).map(|value| (kept, value)));
    }
    command.env("HOME", "/nonexistent").env("LANG", "C.UTF-8").envs(environment.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.current_dir(std::env::temp_dir()).spawn().unwrap()
}

/// The Python of the drivers.
pub(crate) fn python() -> PathBuf {
    let python = driver_home().join("python/bin/python");
    assert!(python.is_file(), "the Python drivers are missing: run scripts/setup --tests");
    python
}
