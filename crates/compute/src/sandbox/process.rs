//! Processes that cannot be mistaken for others.
//!
//! A process ID is reused; a file with a number in it proves nothing. A process is identified here
//! by ID *and* start time *and* boot, and held by a pidfd, which stays bound to the one process
//! whatever happens to the number. A process belongs to a data directory when that is its working
//! directory: PostgreSQL changes into its data directory at start, and its children (workers,
//! `COPY … PROGRAM`) inherit it.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};
use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;

use super::descriptor;

/// What tells one process from all others, across time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Process ID.
    pub pid: u32,
    /// Start time in clock ticks since boot (`/proc/PID/stat`, field 22).
    pub start_ticks: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
}

impl Fingerprint {
    /// Of a process that exists now.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn of(pid: u32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let start_ticks = start_ticks(&stat).ok_or(io::ErrorKind::InvalidData)?;
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
        Ok(Self { pid, start_ticks, boot_id })
    }

    /// Whether this very process still exists.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid).is_ok_and(|now| now == *self)
    }
}

/// Field 22 of `/proc/PID/stat`; the command name (field 2) may contain spaces and brackets.
fn start_ticks(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// A held process: it can be signalled and waited for without any race.
#[derive(Debug)]
pub struct Held {
    pid: u32,
    fd: AsyncFd<OwnedFd>,
}

/// How a process ended, as far as can be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// `exit(code)`.
    Code(i32),
    /// Killed by a signal.
    Signal(i32),
    /// It was not our child (adopted), so the kernel does not tell.
    Unknown,
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ending::Code(code) => write!(f, "exit code {code}"),
            Ending::Signal(signal) => write!(f, "signal {signal}"),
            Ending::Unknown => f.write_str("unknown end (adopted process)"),
        }
    }
}

impl Held {
    /// Holds a child that was just started, by the pidfd that `clone` gave.
    ///
    /// # Errors
    /// When the pidfd cannot be watched.
    pub fn new(pid: u32, fd: OwnedFd) -> io::Result<Self> {
        Ok(Self { pid, fd: descriptor::watch(fd)? })
    }

    /// Holds a process by its fingerprint; fails when the number belongs to another process by now.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn adopt(fingerprint: &Fingerprint) -> io::Result<Self> {
        let pid =
            i32::try_from(fingerprint.pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
        let fd = rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK)?;
        if !fingerprint.is_alive() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Self::new(fingerprint.pid, fd)
    }

    /// The process ID.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal; a process that is gone already is not an error.
    ///
    /// # Errors
    /// When the process may not be signalled.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match rustix::process::pidfd_send_signal(self.fd.get_ref(), signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for its end, and reaps it when it is our child. May be called again.
    pub async fn ended(&self) -> Ending {
        // A pidfd that cannot be polled any more belongs to a process that is gone.
        let _readable = self.fd.readable().await;
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        match rustix::process::waitid(WaitId::PidFd(self.fd.get_ref().as_fd()), options) {
            Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Ending::Code(code),
                (None, Some(signal)) => Ending::Signal(signal),
                (None, None) => Ending::Unknown,
            },
            Ok(None) | Err(_) => Ending::Unknown,
        }
    }
}

/// All processes whose working directory is `data` (or below it). Needs permission to look: own
/// processes, or root.
#[must_use]
pub fn in_directory(data: &Path) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(data)))
        .collect()
}

/// Whether any process of a user lives. One that has ended but was not waited for holds nothing.
#[must_use]
pub fn any_of_user(uid: u32) -> bool {
    let Ok(entries) = fs::read_dir("/proc") else { return true };
    entries.flatten().any(|entry| {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        pid.is_some_and(|pid| user_of(pid) == Some(uid)) && !has_ended(&entry.path())
    })
}

/// A zombie, or gone by now.
fn has_ended(process: &Path) -> bool {
    fs::read_to_string(process.join("stat"))
        .ok()
        .and_then(|stat| stat.rsplit_once(')')?.1.trim_start().chars().next())
        .is_none_or(|state| matches!(state, 'Z' | 'X'))
}

/// All processes of a cluster: they work in its directory, as the user who owns it. An operator's
/// shell that happens to stand there is not one of them.
#[must_use]
pub fn of_cluster(data: &Path) -> Vec<u32> {
    let Ok(owner) = fs::metadata(data).map(|meta| meta.uid()) else { return Vec::new() };
    in_directory(data).into_iter().filter(|pid| user_of(*pid) == Some(owner)).collect()
}

/// Whether `pid` works in exactly this data directory, as the user who owns it.
#[must_use]
pub fn works_in(pid: u32, data: &Path) -> bool {
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == data)
        && fs::metadata(data).is_ok_and(|meta| user_of(pid) == Some(meta.uid()))
}

/// The user of a process. The owner of `/proc/PID` would not do: a process can make that root.
fn user_of(pid: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    users.split_whitespace().next()?.parse().ok()
}

/// Signals a process by number. Only for processes that were just looked up.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // Gone already is what we want.
        let _gone = rustix::process::kill_process(pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_full_of_brackets_does_not_confuse_the_start_time() {
        let stat = "12 (a) b) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20";
        assert_eq!(start_ticks(stat), Some(4242));
        assert_eq!(start_ticks("garbage"), None);
    }

    #[test]
    fn a_reused_number_is_not_the_same_process() {
        let me = Fingerprint::of(std::process::id()).unwrap();
        assert!(me.is_alive());
        let other = Fingerprint { start_ticks: me.start_ticks + 1, ..me };
        assert!(!other.is_alive());
    }
}
