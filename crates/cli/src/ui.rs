//! Everything a person or a script sees. Data goes to standard output, talk to standard error, so
//! that output can be piped; nothing else in this crate prints.
//!
//! `--output json` prints what the API replied, so its fields are those of the API reference.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use serde::Serialize;

use crate::error::Error;

mod progress;
mod prompt;
mod table;

pub(crate) use progress::{Bar, Progress};
pub(crate) use table::{Table, bytes, seconds, time};

/// How data is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Columns, for people.
    #[default]
    Table,
    /// JSON, for programs.
    Json,
}

/// The two streams and the wanted format.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ui {
    format: Format,
}

impl Ui {
    /// A user interface that prints data in `format`.
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    /// The wanted format.
    pub(crate) fn format(self) -> Format {
        self.format
    }

    /// Prints a value: as JSON, or as the table that `table` makes of it.
    pub(crate) fn show<T: Serialize>(self, value: &T, table: impl FnOnce(&T) -> Table) -> Result<(), Error> {
        match self.format {
            Format::Table => self.text(&table(value).to_string()),
            Format::Json => {
                let json = serde_json::to_string_pretty(value)
                    .map_err(|error| Error::failed("cannot write this as JSON").because(error))?;
                self.text(&json)
            }
        }
    }

    /// Prints a value as JSON in one line, for whoever reads line by line.
    pub(crate) fn json_line<T: Serialize>(self, value: &T) -> Result<(), Error> {
        let json = serde_json::to_string(value)
            .map_err(|error| Error::failed("cannot write this as JSON").because(error))?;
        self.text(&json)
    }

    /// Prints text to standard output, with a line end if it has none. Empty text prints nothing.
    pub(crate) fn text(self, text: &str) -> Result<(), Error> {
        let mut out = io::stdout().lock();
        let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
        match write!(out, "{text}{end}").and_then(|()| out.flush()) {
            // The reader has seen enough (`| head`): not a failure.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            done => done.map_err(|error| Error::failed("cannot write to standard output").because(error)),
        }
    }

    /// Tells the person something; programs do not read it.
    pub(crate) fn note(self, text: &str) {
        talk(text);
    }

    /// Prints the error that a command ended with.
    pub(crate) fn error(self, error: &Error) {
        talk(&error.report().to_string());
    }

    /// Shows that work is going on, when somebody watches.
    pub(crate) fn progress(self, what: &str) -> Progress {
        Progress::start(what)
    }

    /// Shows how much of `total` bytes is done, when somebody watches.
    pub(crate) fn bar(self, what: &str, total: u64) -> Bar {
        Bar::start(what, total)
    }

    /// Makes sure that the person means it.
    ///
    /// # Errors
    /// When the answer is not `yes`, or when there is nobody to ask and `--yes` is not given.
    pub(crate) fn confirm(self, question: &str, yes: bool) -> Result<(), Error> {
        if yes {
            return Ok(());
        }
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return Err(Error::usage(format!("{question} There is no terminal to ask on"))
                .hint("Add `--yes` if you mean it."));
        }
        prompt::ask(question)
    }
}

/// Prints what clap says about the command line: help to standard output, mistakes to standard error.
pub(crate) fn command_line(error: &clap::Error) -> ExitCode {
    // When even this cannot be printed there is nobody to tell.
    let _unprintable = error.print();
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

fn talk(text: &str) {
    // Standard error may be closed; that must not end the command.
    let _closed = writeln!(io::stderr().lock(), "{text}");
}
