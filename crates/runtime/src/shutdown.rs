//! The end of a process: which signals ask for it, and how long an orderly end may take.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// From the first signal to the end of the process. Contract: SIGTERM stops cleanly within 30 s.
pub const STOP_WITHIN: Duration = Duration::from_secs(30);

/// The signals that ask for the end. Made early, so that none is missed while the process starts.
#[derive(Debug)]
pub struct Signals {
    term: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the operating system refuses a signal handler.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next one and tells its name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
