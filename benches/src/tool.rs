//! Programs: others' run to their end, with their processor time; daemons in a session of their own.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_compute::sandbox::identity::Identity;

use crate::error::Error;
use crate::{cpu, stop};

/// How often a program is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What a program took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Took {
    /// From its start to its end.
    pub(crate) wall: Duration,
    /// Its processor time, its children's included.
    pub(crate) cpu: Duration,
}

/// A program that is run as `identity`, with no more of our environment than it needs.
pub(crate) fn command(program: &Path, identity: Identity) -> Command {
    let mut command = plain(Command::new(program), identity);
    command.process_group(0);
    command
}

/// The same for a daemon, see [`in_session`].
pub(crate) fn service(program: &Path, identity: Identity) -> Command {
    plain(in_session(program), identity)
}

/// A program as a service manager starts it: in a session of its own, under the number of the process that is
/// started. Linux shares processors out between sessions first (`man 7 sched`, autogroup): a daemon that is in the
/// session of its load is one among its many threads, as it is nowhere but in a benchmark. Not for what is timed from
/// its start: it begins with another program, and must not be made the leader of a process group before that.
pub(crate) fn in_session(program: &Path) -> Command {
    let mut command = Command::new("setsid");
    command.arg(program);
    command
}

fn plain(mut command: Command, identity: Identity) -> Command {
    command.env_clear().envs([("PATH", "/usr/local/bin:/usr/bin:/bin"), ("LC_ALL", "C.UTF-8")]);
    command.current_dir("/").stdin(Stdio::null());
    if !identity.is_current() {
        command.uid(identity.uid).gid(identity.gid);
    }
    command
}

/// Runs a program to its end.
///
/// # Errors
/// With what it said, when it fails.
pub(crate) fn run(command: &mut Command) -> Result<Took, Error> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut output = tempfile::tempfile().map_err(Error::system("make a temporary file"))?;
    let copy = |output: &File| output.try_clone().map_err(Error::system("share a temporary file"));
    command.stdout(copy(&output)?).stderr(copy(&output)?);
    let (start, before) = (Mono::now(), cpu::of_ended_children());
    let mut child = command.spawn().map_err(Error::system(format!("start {name}")))?;
    let ended = loop {
        if let Some(status) = child.try_wait().map_err(Error::system(format!("wait for {name}")))? {
            break status;
        }
        if let Err(interrupted) = stop::check() {
            let _ended = child.kill();
            let _reaped = child.wait();
            return Err(interrupted);
        }
        std::thread::sleep(LOOK_EVERY);
    };
    let took = Took { wall: start.elapsed(), cpu: cpu::of_ended_children().saturating_sub(before) };
    if ended.success() {
        return Ok(took);
    }
    let mut text = String::new();
    let read = output.rewind().and_then(|()| output.read_to_string(&mut text));
    read.map_err(Error::system(format!("read what {name} said")))?;
    Err(Error::unexpected(format!("{name} failed ({ended}): {}", text.trim())))
}

/// Bytes of all files below a directory.
pub(crate) fn bytes_below(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_below(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.filter_map(Result::ok).map(size).sum()
}
