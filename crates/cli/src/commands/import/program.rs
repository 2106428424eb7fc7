//! Runs PostgreSQL's programs: passwords in the environment, a reader for what they say, and an
//! orderly end when somebody interrupts.

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dormouse_base::Secret;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::error::Error;

/// How long a program may take to end after it was asked to.
const END_WITHIN: Duration = Duration::from_secs(5);

/// How long everything may take to end after an interrupt.
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// Seconds to reach a server, unless the environment says otherwise.
const CONNECT_SECONDS: &str = "15";

/// Whether [`run`] has a program to end before this one may end.
static BUSY: AtomicBool = AtomicBool::new(false);

/// How to reach one database.
#[derive(Debug, Clone)]
pub(super) struct Login {
    /// A connection string without a password.
    pub(super) connection: String,
    pub(super) password: Option<Secret<String>>,
    /// The host name means this machine, but no resolver knows it.
    pub(super) needs_loopback: bool,
    /// One of ours: the variables that a person set for their own servers do not apply.
    pub(super) ours: bool,
}

impl Login {
    /// A command that connects there once it gets `--dbname`.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if self.ours {
            for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG"))
            {
                command.env_remove(name);
            }
            command.env("PGAPPNAME", "dormouse-import");
        }
        if std::env::var_os("PGCONNECT_TIMEOUT").is_none() || self.ours {
            command.env("PGCONNECT_TIMEOUT", CONNECT_SECONDS);
        }
        if let Some(password) = &self.password {
            command.env("PGPASSWORD", password.expose());
        }
        if self.needs_loopback {
            command.env("PGHOSTADDR", "127.0.0.1");
        }
        // Messages are read by `psql::failed` and `failures`.
        command.env("LC_ALL", "C").env("PGCLIENTENCODING", "UTF8").kill_on_drop(true).stdin(Stdio::null());
        command.arg(format!("--dbname={}", self.connection)).arg("--no-password");
        command
    }
}

/// Runs a program to its end and hands each line of its standard error to `line`.
pub(super) async fn run(mut command: Command, mut line: impl FnMut(&str)) -> Result<ExitStatus, Error> {
    let name = format!("{}", Path::new(command.as_std().get_program()).display());
    let cannot = |error| Error::failed(format!("cannot run {name}")).because(error);
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(cannot)?;
    BUSY.store(true, Ordering::SeqCst);
    let _idle = Idle;
    let mut lines = child.stderr.take().map(|stderr| BufReader::new(stderr).split(b'\n'));
    loop {
        let next = async {
            match &mut lines {
                Some(lines) => lines.next_segment().await,
                None => Ok(None),
            }
        };
        tokio::select! {
            text = next => match text.map_err(cannot)? {
                Some(text) => line(String::from_utf8_lossy(&text).trim_end()),
                None => break,
            },
            _ = interrupt.recv() => return Err(end(&mut child).await),
            _ = terminate.recv() => return Err(end(&mut child).await),
        }
    }
    tokio::select! {
        status = child.wait() => status.map_err(cannot),
        _ = interrupt.recv() => Err(end(&mut child).await),
        _ = terminate.recv() => Err(end(&mut child).await),
    }
}

/// Says that no program runs any more, when dropped.
struct Idle;

impl Drop for Idle {
    fn drop(&mut self) {
        BUSY.store(false, Ordering::SeqCst);
    }
}

/// Asks a program to end, so that its own children end and its sessions close; then insists.
async fn end(child: &mut Child) -> Error {
    if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
        // It may have ended by itself: a terminal tells everybody.
        let _gone = kill_process(pid, Signal::TERM);
    }
    if tokio::time::timeout(END_WITHIN, child.wait()).await.is_err() {
        let _gone = child.kill().await;
    }
    interrupted()
}

pub(super) fn interrupted() -> Error {
    Error::failed("interrupted")
}

fn listen(kind: SignalKind) -> Result<tokio::signal::unix::Signal, Error> {
    signal(kind).map_err(|error| Error::failed("cannot listen for signals").because(error))
}

/// Work that an interrupt ends in an orderly way: [`run`] notices by itself and is given
/// a moment, everything else is dropped. What must be removed is removed by destructors.
pub(super) async fn interruptible<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let mut work = pin!(work);
    tokio::select! {
        result = &mut work => return result,
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    if !BUSY.load(Ordering::SeqCst) {
        return Err(interrupted());
    }
    tokio::time::timeout(STOP_WITHIN, work).await.unwrap_or_else(|_| Err(interrupted()))
}
