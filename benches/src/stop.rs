//! Ctrl-C and SIGTERM: a flag that everything that waits looks at.
//!
//! Nothing is torn down from here. The work returns [`Error::Interrupted`], and on the way out each
//! server and PostgreSQL is stopped by its own `Drop`, so nothing is left running.

use std::sync::atomic::{AtomicBool, Ordering};

use dormouse_runtime::{shutdown, task};

use crate::error::Error;

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Starts listening for signals.
///
/// # Errors
/// When no signal handler can be installed.
pub(crate) fn listen() -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::system("listen for signals"))?;
    // Ends with the process.
    let _listener = task::thread("signals", move || {
        let asked = async { Ok::<_, std::io::Error>(shutdown::Signals::new()?.next().await) };
        if runtime.block_on(asked).is_ok() {
            REQUESTED.store(true, Ordering::Release);
        }
    });
    Ok(())
}

/// Returns an error once the end was asked for; called between measurements and in every wait.
///
/// # Errors
/// [`Error::Interrupted`].
pub(crate) fn check() -> Result<(), Error> {
    if REQUESTED.load(Ordering::Acquire) { Err(Error::Interrupted) } else { Ok(()) }
}
