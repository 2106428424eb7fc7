//! systemd's two small protocols: telling the service manager how it stands with us, and taking sockets that it has opened.
//!
//! ```text
//!  NOTIFY_SOCKET=/path or @name    one datagram for each change: READY=1, RELOADING=1, STOPPING=1
//!  LISTEN_PID=ours LISTEN_FDS=n    descriptors 3 to 2+n are sockets on which somebody listens already
//! ```
//!
//! Without these variables nothing happens. Whatever goes wrong is logged and no more: a service manager that hears nothing
//! decides for itself. Another state of a service goes into [`State`].

#![allow(unsafe_code, reason = "descriptors that this process was started with belong to nobody yet")]

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::time::{ClockId, clock_gettime};

/// The first socket that is passed.
const FIRST: RawFd = 3;

/// Sockets that are taken at most.
const MAX_SOCKETS: RawFd = 64;

/// A service manager that does not listen may hold us up for this long.
const TELL_WITHIN: Duration = Duration::from_secs(1);

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It serves; also after [`State::Reloading`].
    Ready,
    /// It serves, in the place of another process that the service manager has started.
    ReadyInstead,
    /// It reads its configuration again.
    Reloading,
    /// It ends.
    Stopping,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("READY=1"),
            Self::ReadyInstead => write!(f, "READY=1\nMAINPID={}", std::process::id()),
            Self::Reloading => {
                let now = clock_gettime(ClockId::Monotonic);
                let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
                write!(f, "RELOADING=1\nMONOTONIC_USEC={micros}")
            }
            Self::Stopping => f.write_str("STOPPING=1"),
        }
    }
}

/// Tells the service manager, if there is one.
pub(crate) fn tell(state: State) {
    let Some(to) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return };
    if let Err(error) = send(&to, &state.to_string()) {
        tracing::warn!(%error, ?to, ?state, "cannot tell the service manager");
    }
}

fn send(to: &OsStr, text: &str) -> io::Result<()> {
    let to = match to.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(Path::new(to))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(TELL_WITHIN))?;
    socket.send_to_addr(text.as_bytes(), &to).map(drop)
}

/// The sockets that this process was started with, the first time; after that there are none.
pub(crate) fn sockets() -> Vec<OwnedFd> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let said = |name| std::env::var(name).ok();
    let count = passed(said("LISTEN_PID").as_deref(), said("LISTEN_FDS").as_deref(), std::process::id());
    if TAKEN.swap(true, Ordering::AcqRel) {
        return Vec::new();
    }
    let open = |fd: &RawFd| std::fs::symlink_metadata(format!("/proc/self/fd/{fd}")).is_ok();
    let take = |fd| {
        // SAFETY: it is open, whoever started this process says that it is for it, and nobody takes it twice.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        if let Err(error) = fcntl_setfd(&socket, FdFlags::CLOEXEC) {
            tracing::debug!(%error, fd, "a passed socket stays open in programs that are started");
        }
        socket
    };
    (FIRST..FIRST + count).filter(open).map(take).collect()
}

/// How many there are: they must be meant for this process, and not for one that passed its environment on.
fn passed(pid: Option<&str>, count: Option<&str>, own: u32) -> RawFd {
    if pid.and_then(|pid| pid.parse().ok()) != Some(own) {
        return 0;
    }
    count.and_then(|count| count.parse::<RawFd>().ok()).unwrap_or(0).clamp(0, MAX_SOCKETS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_arrives_by_path_and_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("dormouse-notify-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
        let listening =
            [UnixDatagram::bind(&path).unwrap(), UnixDatagram::bind_addr(&abstract_name).unwrap()];
        let names = [path.into_os_string(), format!("@{name}").into()];
        for (socket, to) in listening.iter().zip(&names) {
            for (state, wanted) in [(State::Ready, "READY=1"), (State::Stopping, "STOPPING=1")] {
                send(to, &state.to_string()).unwrap();
                let mut told = [0; 64];
                let length = socket.recv(&mut told).unwrap();
                assert_eq!(std::str::from_utf8(&told[..length]), Ok(wanted));
            }
        }
        assert!(send(dir.path().join("nobody").as_os_str(), "READY=1").is_err());
        assert!(State::Reloading.to_string().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    }

    #[test]
    fn sockets_are_for_the_process_that_is_named() {
        assert_eq!(passed(Some("7"), Some("2"), 7), 2);
        assert_eq!(passed(Some("7"), Some("2"), 8), 0);
        assert_eq!(passed(None, Some("2"), 7), 0);
        for count in [None, Some("x"), Some("-1"), Some("0")] {
            assert_eq!(passed(Some("7"), count, 7), 0, "{count:?}");
        }
        assert_eq!(passed(Some("7"), Some("100000"), 7), MAX_SOCKETS);
    }
}
