//! The end of a process: which signals ask for it, and how long an orderly end may take.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

/// From the first signal to the end of the process. Contract: SIGTERM stops cleanly within 30 s.
pub const STOP_WITHIN: Duration = Duration::from_secs(30);

/// Waits for SIGTERM or SIGINT and tells its name.
///
/// # Errors
/// When the operating system refuses a signal handler.
pub async fn requested() -> std::io::Result<&'static str> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = term.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}
