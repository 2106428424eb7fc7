//! The server under torture, and asking things of it that it may refuse, survive or die of.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dormouse_base::clock::Mono;
use serde_json::{Value, json};

use super::chaos::branches::Branch;
use super::history::{Cut, Life};
use super::ledger::Tick;
use super::weather::Weather;
use super::world::World;
use crate::{Project, Server, binary, free_port};

/// Seconds for one command; a command that takes longer is ended and counts as unanswered.
const COMMAND_SECONDS: &str = "60";

/// The same for a check of the whole store: it reads and proves every byte, which a debug build on a busy machine does
/// at a few MiB a second.
const CHECK_SECONDS: &str = "400";

/// A start that dies of a failpoint is tried again so often before the failpoints go.
const STARTS: u32 = 3;

/// A command that was refused so often and never done does not work.
const NEVER: u32 = 4;

/// A place in the history of the main branch that can be asked for.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    pub(crate) life: Life,
    pub(crate) cut: Cut,
    pub(crate) lsn: String,
    pub(crate) time: String,
}

/// What a command was refused with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Its exit status: 1 failed, 2 wrong, 3 does not exist, 4 no server, 124 no answer.
    pub(crate) status: i32,
    pub(crate) text: String,
}

/// Runs the program with these words, and for a limited time.
pub(crate) fn run_command(words: &[&str]) -> Result<Value, Refusal> {
    let mut command = Command::new("timeout");
    let seconds = if words.first() == Some(&"fsck") { CHECK_SECONDS } else { COMMAND_SECONDS };
    command.args(["-k", "2", seconds]).arg(binary()).args(words).args(["--output", "json"]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    if output.status.success() {
        return Ok(serde_json::from_slice(&output.stdout).unwrap_or_default());
    }
    let said = [&output.stderr[..], &output.stdout[..]].concat();
    let text = String::from_utf8_lossy(&said).trim().to_owned();
    Err(Refusal { status: output.status.code().unwrap_or(-1), text })
}

/// The server, and what the torturer knows of it.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) world: Arc<World>,
    pub(crate) server: Server,
    pub(crate) project: Project,
    pub(crate) store: PathBuf,
    pub(crate) weather: Weather,
    pub(crate) branches: Vec<Branch>,
    pub(crate) marks: Vec<Mark>,
    /// Everything acknowledged before is in the store.
    pub(crate) stored: Tick,
    pub(crate) restores: u32,
    /// How often each command was done and refused while nothing was made to fail.
    tally: Mutex<BTreeMap<String, (u32, u32)>>,
    pub(crate) runtime: tokio::runtime::Handle,
    arguments: Vec<String>,
}

impl Site {
    /// Starts the server for the first time, in fair weather, and makes the project.
    pub(crate) fn open(world: Arc<World>, runtime: tokio::runtime::Handle) -> Self {
        let store = world.dir.join("store");
        let mut arguments = vec![
            "--pg-port".to_owned(),
            free_port().to_string(),
            "--http-port".to_owned(),
            free_port().to_string(),
        ];
        if world.options.storage {
            arguments.extend(["--store".to_owned(), format!("file://{}", store.display())]);
        }
        if world.plan.keep_computes {
            arguments.push("--keep-computes".to_owned());
        }
        let server = Self::start(&world.dir.join("data"), &arguments);
        let project = Self::make_project(&world, &server);
        let weather = Weather::fair();
        let (branches, marks) = (Vec::new(), Vec::new());
        Self {
            world,
            server,
            project,
            store,
            weather,
            branches,
            marks,
            stored: 0,
            restores: 0,
            tally: Mutex::default(),
            runtime,
            arguments,
        }
    }

    fn start(data: &Path, arguments: &[String]) -> Server {
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Server::start_on(data, &words)
    }

    fn make_project(world: &World, server: &Server) -> Project {
        let mut wishes = json!({ "pg_version": world.plan.pg, "settings": { "owner_is_superuser": true } });
        if let Some((idle, pause)) = world.plan.sleepy {
            wishes["default_endpoint_settings"] =
                json!({ "suspend_timeout_seconds": idle, "pause_timeout_seconds": pause });
        }
        let project = server.create_project(&wishes);
        let mut settings = json!({ "min_wal_size": "32MB", "max_wal_size": "96MB" });
        if world.plan.prepared > 0 {
            settings["max_prepared_transactions"] = json!(world.plan.prepared.to_string());
        }
        server.change_endpoint(&project, &json!({ "settings": { "pg_settings": settings } }));
        project
    }

    /// Runs a command of the command line against the project.
    pub(crate) fn ask(&self, words: &[&str]) -> Result<Value, Refusal> {
        let mut all = words.to_vec();
        if !words.contains(&"--project") {
            all.extend(["--project", &self.project.id]);
        }
        self.ask_plainly(&all)
    }

    /// The same, without naming the project.
    pub(crate) fn ask_plainly(&self, words: &[&str]) -> Result<Value, Refusal> {
        let data = self.server.data().display().to_string();
        let answer = run_command(&[words, &["--data", &data]].concat());
        let command = words.iter().take(2).filter(|word| !word.starts_with('-')).copied().collect::<Vec<_>>();
        let mut tally = self.tally.lock().unwrap();
        let (done, refused) = tally.entry(command.join(" ")).or_default();
        match &answer {
            Ok(_) => *done += 1,
            Err(_) if self.weather.is_fair() => *refused += 1,
            Err(_) => {}
        }
        drop(tally);
        answer
    }

    /// What was asked for, how often it was done, and how often refused in fair weather. A command that
    /// was only ever refused tortured nothing, and that must not pass for success.
    pub(crate) fn tally(&self) -> String {
        let tally = self.tally.lock().unwrap();
        for (command, (done, refused)) in tally.iter() {
            // An endpoint that works all the time cannot be paused.
            if *done == 0 && *refused >= NEVER && command != "endpoint pause" {
                self.world
                    .complain("torture", &format!("`{command}` was refused {refused} times and never done"));
            }
        }
        let each = tally.iter().map(|(command, (done, refused))| format!("{command} {done}+{refused}"));
        each.collect::<Vec<_>>().join(", ")
    }

    /// Kills the server the hard way, and starts it again in this weather.
    pub(crate) fn restart(&mut self, weather: Weather) {
        self.server.kill_9();
        self.start_again(weather);
    }

    /// Starts it again in this weather; in fair weather when that kills it more than once.
    pub(crate) fn start_again(&mut self, mut weather: Weather) {
        for attempt in 1..=STARTS {
            if attempt == STARTS {
                weather = Weather::fair();
            }
            self.world.say("chaos", &format!("starting the server: {weather}"));
            // Before it runs, so that nobody wonders at its first errors.
            self.world.rough.fetch_or(weather.is_rough(), std::sync::atomic::Ordering::Relaxed);
            let environment = weather.environment();
            let pairs: Vec<(&str, &str)> = environment.iter().map(|(n, v)| (*n, v.as_str())).collect();
            match self.server.try_start_again(&pairs) {
                Ok(()) => {
                    self.world.rough.store(weather.is_rough(), std::sync::atomic::Ordering::Relaxed);
                    self.weather = weather;
                    return;
                }
                Err(why) if weather.is_fair() => {
                    let end: Vec<&str> = why.lines().rev().take(12).collect();
                    self.world.complain("server", &format!("does not start: {end:?}"));
                }
                Err(_) => self.world.say("chaos", "it died while it started"),
            }
        }
    }

    /// Starts a new server on a directory that `recover` made.
    pub(crate) fn open_recovered(&mut self, data: &Path) {
        self.server = Self::start(data, &self.arguments);
        self.weather = Weather::fair();
    }

    /// Waits for a statement on the main branch to succeed; complains if it never does.
    pub(crate) fn works(&self, within: Duration) -> bool {
        self.works_at(&self.project.dsn, "the main branch", within)
    }

    /// The same for any branch.
    pub(crate) fn works_at(&self, dsn: &str, whose: &str, within: Duration) -> bool {
        let start = Mono::now();
        loop {
            let tried = self.runtime.block_on(async {
                let client = super::world::connect(dsn).await?;
                client.simple_query("select 1").await
            });
            match tried {
                Ok(_) => return true,
                Err(error) if start.elapsed() > within => {
                    let why = dormouse_base::causes::with_causes(&error);
                    self.world.complain("server", &format!("{whose} does not work within {within:?}: {why}"));
                    return false;
                }
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }
}
