//! `dormouse pool`: who it runs as, whether in the background, and where it logs.
//!
//! A process cannot change its user safely once it has threads, and cannot go to the background without a fork:
//! so it starts itself anew, with `--child`, as who and how it is to run.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dormouse_runtime::telemetry::{self, LogFile};
use dormouse_server::standalone::{self, Start};
use nix::unistd::User;

use crate::commands::Context;
use crate::commands::pool::Pool;
use crate::error::Error;

/// What it says on standard output when it is ready.
const READY: &str = "ready: ";

/// Runs a pooler until a signal ends it.
pub(crate) fn pool(args: &Pool, cx: &Context) -> Result<(), Error> {
    if args.version {
        return cx.ui.text(&standalone::version());
    }
    let file = args.config.clone().or_else(|| args.file.clone()).unwrap_or_default();
    let plan =
        standalone::load(&file).map_err(|error| Error::failed("the pooler cannot start").because(error))?;
    let setting = |name: &str| plan.ini.settings.get(name).filter(|value| !value.is_empty());
    let logfile = setting("logfile").map(PathBuf::from);
    if !args.child {
        let user = args.user.clone().or_else(|| setting("user"));
        if args.daemon && setting("pidfile").is_none() {
            return Err(Error::failed("-d needs `pidfile` in the configuration"));
        }
        let user = match user {
            Some(user) => become_user(account(&user)?, rustix::process::geteuid().as_raw())
                .ok_or_else(|| Error::failed(format!("only root can run it as `{user}`")))?,
            None => None,
        };
        if args.daemon || user.is_some() {
            return start_again(args, &file, user);
        }
    }
    if args.child && args.daemon {
        // A session leader already (when a supervisor made it one) is as good.
        let _is_leader = rustix::process::setsid();
    }
    let failed = |error| Error::failed("the pooler cannot take over").because(error);
    let log = start_logging(args, logfile.as_deref())?;
    let inherited =
        if args.reboot { standalone::take_over(&plan).map_err(failed)? } else { Default::default() };
    let start = Start { file, plan, log, verbose: usize::from(args.verbose), inherited };
    let ui = cx.ui;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::failed("cannot start the pooler").because(error))?
        .block_on(standalone::run(start, move |addresses| {
            // A pooler goes on when nobody reads what it says.
            let _unread = ui.text(&format!("{READY}{}", addresses.join(", ")));
        }))
        .map_err(|error| Error::failed("the pooler cannot go on").because(error))
}

fn start_logging(args: &Pool, file: Option<&Path>) -> Result<LogFile, Error> {
    let also_stderr = !args.quiet && !args.daemon;
    telemetry::start_logging_to(file, also_stderr, standalone::log_filter(usize::from(args.verbose))).map_err(
        |error| {
            let path = file.unwrap_or_else(|| Path::new("standard error"));
            Error::failed(format!("cannot write to {}", path.display())).because(error)
        },
    )
}

/// Starts itself as this user, in the background if wanted.
fn start_again(args: &Pool, file: &Path, user: Option<(u32, u32)>) -> Result<(), Error> {
    let failed = |error| Error::failed("cannot start again").because(error);
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    // Whatever the file is called: the name could mean `pool` by itself.
    command.arg0("dormouse").args(["pool", "--child"]);
    command.args(args.quiet.then_some("-q")).args(args.daemon.then_some("-d"));
    command.args(args.reboot.then_some("-R"));
    command.args(std::iter::repeat_n("-v", usize::from(args.verbose)));
    command.arg("--config").arg(file);
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    if !args.daemon {
        return Err(failed(command.exec()));
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    let mut first = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out).read_line(&mut first).map_err(failed)?;
    }
    if first.starts_with(READY) {
        return Ok(());
    }
    let mut why = String::new();
    if let Some(mut said) = child.stderr.take() {
        said.read_to_string(&mut why).map_err(failed)?;
    }
    child.wait().map_err(failed)?;
    Err(Error::failed("the pooler did not start").hint(why.trim()))
}

/// Who to become; itself as itself is nothing to do. `None`: it may not.
fn become_user(wanted: (u32, u32), own: u32) -> Option<Option<(u32, u32)>> {
    match own {
        0 => Some(Some(wanted)),
        _ if own == wanted.0 => Some(None),
        _ => None,
    }
}

/// User and group of an account of this machine.
fn account(name: &str) -> Result<(u32, u32), Error> {
    let found =
        User::from_name(name).map_err(|error| Error::failed("cannot look users up").because(error))?;
    let ids = found.map(|user| (user.uid.as_raw(), user.gid.as_raw()));
    ids.ok_or_else(|| Error::failed(format!("there is no user `{name}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_becomes_somebody_else() {
        assert_eq!(become_user((7, 8), 0), Some(Some((7, 8))));
        assert_eq!(become_user((7, 8), 7), Some(None));
        assert_eq!(become_user((7, 8), 9), None);
    }

    #[test]
    fn accounts_are_looked_up() {
        assert_eq!(account("root").unwrap(), (0, 0));
        assert!(account("nobody-of-this-name").is_err());
    }
}
