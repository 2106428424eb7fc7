//! Noticing the moment when PostgreSQL accepts connections.
//!
//! The postmaster writes `ready` into `postmaster.pid`; the kernel tells us through inotify. Trying
//! to connect every millisecond instead would be as fast but costs a refused backend per try
//! (measured: 5 ms of processor time a wake).

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;

use super::pidfile::PidFile;
use crate::sandbox::descriptor;

/// Watches a data directory from before the start, so that no change can be missed.
#[derive(Debug)]
pub struct Watch {
    fd: AsyncFd<OwnedFd>,
    data: PathBuf,
}

impl Watch {
    /// Begins to watch.
    ///
    /// # Errors
    /// When the system has no inotify instance left.
    pub fn new(data: &Path) -> io::Result<Self> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let events = WatchFlags::MODIFY | WatchFlags::CLOSE_WRITE | WatchFlags::CREATE | WatchFlags::MOVED_TO;
        inotify::add_watch(&fd, data, events)?;
        Ok(Self { fd: descriptor::watch(fd)?, data: data.to_owned() })
    }

    /// Returns when the postmaster `pid` is ready: for everything, or (`standby`) at least for readers.
    /// Never returns if it dies; race it with its end.
    ///
    /// # Errors
    /// When inotify fails.
    pub async fn ready(&self, pid: u32, standby: bool) -> io::Result<()> {
        self.until(pid, |file| file.is_ready(standby)).await
    }

    /// Returns when the postmaster `pid` is about to start its recovery, or further: what an earlier run left is
    /// cleared away, and signals are listened to. Never returns if it dies, as [`Self::ready`].
    ///
    /// # Errors
    /// When inotify fails.
    pub async fn starting(&self, pid: u32) -> io::Result<()> {
        self.until(pid, |file| file.status.is_some()).await
    }

    async fn until(&self, pid: u32, reached: impl Fn(&PidFile) -> bool) -> io::Result<()> {
        let mut buffer = [0u8; 4096];
        loop {
            // A file left by an earlier run says "ready" too, so the process ID must match.
            if PidFile::read(&self.data).is_some_and(|file| file.pid == pid && reached(&file)) {
                return Ok(());
            }
            let mut guard = self.fd.readable().await?;
            match rustix::io::read(self.fd.get_ref(), &mut buffer) {
                Ok(_) => {}
                Err(rustix::io::Errno::AGAIN) => guard.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
