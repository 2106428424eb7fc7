//! What every end-to-end test needs: a server of its own (the real binary on a temporary directory),
//! the command line and the HTTP API against it, and clients.
//!
//! A test starts what it needs and breaks what it wants to see broken; dropping a [`Server`] ends
//! every process that it or its computes started, by process ID, whatever state they are in.
//! Each file in `tests/e2e/` is one area of behaviour.

#![allow(clippy::unwrap_used, missing_docs, reason = "a test that cannot be set up has failed")]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_compute::sandbox::process;
use dormouse_runtime::task::Scope;
use rustix::process::Signal;
use serde_json::Value;
use tokio_postgres::{Client, NoTls};

pub mod crowd;
pub mod foreign;
pub mod fuzz;
pub mod long_runs;
pub mod pooled;
mod project;
mod remains;
pub mod programs;
pub mod raw;
pub mod say;
mod seed;
mod sessions;
pub mod storage;
mod template;
pub mod torture;
mod wire;

pub use project::{Project, free_port, note, posix_segments, sysv_segments};
pub use sessions::Session;

/// A server must be ready within this time, even on a busy machine (it builds a template first).
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A state that does not come within this time does not come.
const STATE_WITHIN: Duration = Duration::from_secs(40);

/// A running `dormouse up` with a data directory of its own.
#[derive(Debug)]
pub struct Server {
    child: Child,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    data: PathBuf,
    ready: Value,
    _dir: Option<tempfile::TempDir>,
}

/// The binary under test.
pub fn binary() -> PathBuf {
    let path = std::env::current_exe().unwrap();
    // target/debug/deps/e2e-… or target/debug/torture → target/debug/dormouse
    let dir = path.parent().unwrap();
    let dir = if dir.ends_with("deps") { dir.parent().unwrap() } else { dir };
    let binary = dir.join("dormouse");
    assert!(binary.is_file(), "build it first: cargo build -p dormouse-cli");
    binary
}

/// The root of the checkout.
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A temporary directory that computes (other users) can pass through.
pub fn passable_dir() -> tempfile::TempDir {
    passable_dir_in(&std::env::temp_dir())
}

/// The same somewhere else.
pub fn passable_dir_in(parent: &Path) -> tempfile::TempDir {
    let dir = tempfile::tempdir_in(parent).unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    dir
}

impl Server {
    /// Starts a server on any free ports. `arguments` are further options of `dormouse up`, such as
    /// `["--idle-timeout", "1s"]`.
    pub fn start(arguments: &[&str]) -> Self {
        let dir = passable_dir();
        let data = dir.path().join("data");
        let mut server = Self::start_on(&data, arguments);
        server._dir = Some(dir);
        server
    }

    /// Starts a server on a given data directory.
    pub fn start_on(data: &Path, arguments: &[&str]) -> Self {
        Self::start_in(data, arguments, &[])
    }

    /// Starts a server on a given data directory with further environment variables.
    pub fn start_in(data: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        let environment = owned(environment);
        if !data.exists() {
            template::lay_out(data);
        }
        let (child, ready) = launch(data, &arguments, &environment).unwrap_or_else(|why| panic!("{why}"));
        template::keep(data);
        Self { child, arguments, environment, data: data.to_owned(), ready, _dir: None }
    }

    /// Starts a server as another user (user ID, group ID) with a home of its own. Only root can.
    pub fn start_as((uid, gid): (u32, u32), arguments: &[&str]) -> Self {
        let home = passable_dir();
        std::os::unix::fs::chown(home.path(), Some(uid), Some(gid)).unwrap();
        // The checkout may be closed to others.
        let program = home.path().join("dormouse");
        std::fs::copy(binary(), &program).unwrap();
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        let data = home.path().join("data");
        let mut command = launcher(&program, &data, &arguments);
        command.uid(uid).gid(gid).env("HOME", home.path()).current_dir(home.path());
        let (child, ready) = run_until_ready(command, &data).unwrap_or_else(|why| panic!("{why}"));
        Self { child, arguments, environment: Vec::new(), data, ready, _dir: Some(home) }
    }

    /// What `dormouse up --output json` printed.
    pub fn ready(&self) -> &Value {
        &self.ready
    }

    fn text(&self, key: &str) -> &str {
        self.ready[key].as_str().unwrap_or_else(|| panic!("`up` did not print {key}: {}", self.ready))
    }

    /// The connection string of the default project's owner.
    pub fn dsn(&self) -> &str {
        self.text("connection_string")
    }

    /// The port for PostgreSQL clients.
    pub fn pg_port(&self) -> u16 {
        self.config().get_ports()[0]
    }

    /// The owner's password.
    pub fn password(&self) -> String {
        String::from_utf8(self.config().get_password().unwrap().to_vec()).unwrap()
    }

    /// As its owner logs in.
    pub fn config(&self) -> tokio_postgres::Config {
        self.dsn().parse().unwrap()
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The server's process ID.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(log_path(&self.data)).unwrap_or_default()
    }

    /// Calls the API with the server's own key; `body` of `Null` sends none.
    pub fn api(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        self.api_as(self.text("api_key"), method, path, body)
    }

    /// Calls the API with any key.
    pub fn api_as(&self, key: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(90)))
            .allow_non_standard_methods(true)
            .build()
            .into();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.text("api")))
            .header("authorization", format!("Bearer {key}"))
            .header("content-type", "application/json")
            .body(body)
            .unwrap();
        let mut reply = agent.run(request).unwrap();
        let text = reply.body_mut().read_to_string().unwrap();
        (reply.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// All metrics, as text.
    pub fn metrics(&self) -> String {
        let console = self.text("console").trim_end_matches('/');
        let reply = ureq::get(format!("{console}/metrics")).call();
        reply.unwrap().body_mut().read_to_string().unwrap()
    }

    /// Runs the command line against this server.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        Command::new(binary())
            .arg("--data")
            .arg(&self.data)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Runs the command line, which must succeed and print JSON.
    pub fn cli_json(&self, arguments: &[&str]) -> Value {
        let mut all = arguments.to_vec();
        all.extend(["--output", "json"]);
        let output = self.cli(&all);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The first endpoint of `dormouse status`: `{id, project_id, branch, state, pid, …}`.
    pub fn endpoint(&self) -> Value {
        self.api("GET", "/status", &Value::Null).1["endpoints"][0].clone()
    }

    /// Its state.
    pub fn state(&self) -> String {
        self.endpoint()["state"].as_str().unwrap().to_owned()
    }

    /// The postmaster's process ID.
    pub fn postmaster(&self) -> u32 {
        u32::try_from(self.endpoint()["pid"].as_u64().expect("it runs")).unwrap()
    }

    /// Waits for a state.
    pub fn until(&self, state: &str) {
        let start = Mono::now();
        while self.state() != state {
            assert!(
                start.elapsed() < STATE_WITHIN,
                "still {}, wanted {state}:\n{}",
                self.state(),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Connects with the connection string, without TLS.
    pub async fn connect(&self) -> Client {
        self.try_connect(self.dsn()).await.unwrap()
    }

    /// Connects with any connection string, without TLS.
    pub async fn try_connect(&self, dsn: &str) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = dsn.parse::<tokio_postgres::Config>()?.connect(NoTls).await?;
        Scope::new().spawn("test-client", async move {
            let _ended = connection.await;
        });
        Ok(client)
    }

    /// Kills the server the hard way and waits for its end; its computes live on.
    pub fn kill_9(&mut self) {
        process::signal(self.child.id(), Signal::KILL);
        self.child.wait().unwrap();
    }

    /// Asks the server to stop and waits; tells how long it took and whether it ended well.
    pub fn stop(&mut self) -> (Duration, bool) {
        let start = Mono::now();
        process::signal(self.child.id(), Signal::TERM);
        let status = self.child.wait().unwrap();
        (start.elapsed(), status.success())
    }

    /// Starts it again, and kills it the hard way after this long, ready or not.
    pub fn die_starting(&mut self, after: Duration) {
        self.child = launcher(&binary(), &self.data, &self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(after);
        self.kill_9();
    }

    /// Starts it again on the same data, with the same options. Ports and passwords stay the same
    /// only if they were fixed; use [`Server::dsn`] again.
    pub fn start_again(&mut self) {
        let started = launch(&self.data, &self.arguments, &self.environment);
        (self.child, self.ready) = started.unwrap_or_else(|why| panic!("{why}"));
    }

    /// The same with other environment variables from now on, for a start that may fail.
    ///
    /// # Errors
    /// It ended, or was not ready in time; the text says what it printed.
    pub fn try_start_again(&mut self, environment: &[(&str, &str)]) -> Result<(), String> {
        self.environment = owned(environment);
        (self.child, self.ready) = launch(&self.data, &self.arguments, &self.environment)?;
        Ok(())
    }

    /// Has a new server take over from this one, with further options. Back comes the old one.
    ///
    /// # Errors
    /// The new one ended, or was not ready in time; the text says what it printed. The old one stays.
    pub fn take_over(&mut self, options: &[&str], environment: &[(&str, &str)]) -> Result<Replaced, String> {
        let mut arguments = self.arguments.clone();
        arguments.push("--takeover".to_owned());
        arguments.extend(options.iter().map(|option| (*option).to_owned()));
        let (child, ready) = launch(&self.data, &arguments, &owned(environment))?;
        self.ready = ready;
        Ok(Replaced(std::mem::replace(&mut self.child, child)))
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// All processes that work in a compute's data directory.
    pub fn computes(&self) -> Vec<u32> {
        process::in_directory(&self.data.canonicalize().unwrap().join("computes"))
    }
}

/// A server from which another one took over.
#[derive(Debug)]
pub struct Replaced(Child);

impl Replaced {
    /// Waits for its end; tells whether it ended well.
    pub fn ended(&mut self) -> bool {
        let start = Mono::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.success();
            }
            assert!(start.elapsed() < STATE_WITHIN, "the old server stays");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether it is still there.
    pub fn lives(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Replaced {
    fn drop(&mut self) {
        // Dead already, unless the test failed.
        let _dead = self.0.kill();
        let _reaped = self.0.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Dead already in tests that killed it.
        let _dead = self.child.kill();
        let _reaped = self.child.wait();
        remains::remove(&self.data.canonicalize().unwrap_or_default().join("computes"));
        if std::thread::panicking() {
            eprintln_log(&self.log());
        }
    }
}

#[allow(clippy::print_stderr, reason = "what a failed test's server said")]
fn eprintln_log(log: &str) {
    let lines: Vec<&str> = log.lines().collect();
    eprintln!("--- server log ---\n{}", lines[lines.len().saturating_sub(60)..].join("\n"));
}

fn log_path(data: &Path) -> PathBuf {
    data.with_extension("log")
}

fn owned(environment: &[(&str, &str)]) -> Vec<(String, String)> {
    environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn launch(
    data: &Path,
    arguments: &[String],
    environment: &[(String, String)],
) -> Result<(Child, Value), String> {
    let mut command = launcher(&binary(), data, arguments);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    run_until_ready(command, data)
}

fn run_until_ready(mut command: Command, data: &Path) -> Result<(Child, Value), String> {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(log_path(data)).unwrap();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    dormouse_runtime::task::thread("read-ready", move || {
        let mut line = String::new();
        let _closed = stdout.read_line(&mut line);
        let _gone = sender.send(line);
    });
    let line = receiver.recv_timeout(READY_WITHIN).unwrap_or_default();
    match serde_json::from_str(&line) {
        Ok(ready) => Ok((child, ready)),
        Err(error) => {
            let _dead = child.kill();
            let _reaped = child.wait();
            let log = std::fs::read_to_string(log_path(data)).unwrap_or_default();
            Err(format!("the server did not start ({error}): {line}\n{log}"))
        }
    }
}

/// `dormouse up`, on any free port where `arguments` do not name one.
fn launcher(program: &Path, data: &Path, arguments: &[String]) -> Command {
    let mut command = Command::new(program);
    command.args(["up", "--output", "json", "--data"]).arg(data).args(arguments);
    for port in ["--pg-port", "--http-port"] {
        if !arguments.iter().any(|a| a == port) {
            command.args([port, "0"]);
        }
    }
    command
}
