//! Results go to standard output, everything else to standard error.

use std::io::{self, Write};

use crate::error::Error;

/// Tells the person what is going on.
pub(crate) fn say(text: &str) {
    // Standard error may be closed; that must not end a measurement.
    let _closed = writeln!(io::stderr().lock(), "{text}");
}

/// Prints the result.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()) {
        // The reader has seen enough (`| head`).
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done.map_err(Error::system("write to standard output")),
    }
}
