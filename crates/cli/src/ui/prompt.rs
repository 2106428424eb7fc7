//! Asking before something is destroyed.

use std::io::{self, BufRead, Read, Write};

use crate::error::Error;

/// The longest answer that is read, bytes.
const MAX_ANSWER: u64 = 1024;

/// Asks on the terminal.
///
/// # Errors
/// When the answer is not `yes` (or `y`).
pub(super) fn ask(question: &str) -> Result<(), Error> {
    let mut screen = io::stderr().lock();
    write!(screen, "{question} Type `yes` to go on: ")
        .and_then(|()| screen.flush())
        .map_err(|error| Error::failed("cannot ask on the terminal").because(error))?;
    answer(&mut io::stdin().lock())
}

fn answer(from: &mut impl BufRead) -> Result<(), Error> {
    let mut line = String::new();
    from.take(MAX_ANSWER)
        .read_line(&mut line)
        .map_err(|error| Error::failed("cannot read the answer").because(error))?;
    match line.trim() {
        "yes" | "y" => Ok(()),
        _ => Err(Error::failed("not confirmed; nothing was changed")),
    }
}

#[cfg(test)]
mod tests {
    use super::answer;

    #[test]
    fn only_yes_is_yes() {
        assert!(answer(&mut "yes\n".as_bytes()).is_ok());
        assert!(answer(&mut " y \n".as_bytes()).is_ok());
        for no in ["", "\n", "no\n", "yes please\n", "YES\n"] {
            assert!(answer(&mut no.as_bytes()).is_err(), "{no:?}");
        }
    }
}
