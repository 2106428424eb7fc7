//! Commands for people who work on Dormouse: `cargo run -p xtask -- tidy`.
//!
//! This is a program and not a shell script because the rules it checks need a Rust parser, and because the
//! same checks run again as a test (`cargo test -p xtask`), so nobody can forget them.
//!
//! Reading order: [`finding`] (what a check says), [`tree`] and [`source`] (what a check sees), [`tidy`] (the
//! checks, one file each), [`workspace`] (the only file that touches the disk). A new command gets its own
//! module and a line in [`main`].

mod finding;
mod source;
mod tree;

mod tidy;
mod workspace;

use std::io::Write as _;
use std::process::ExitCode;

const USAGE: &str = "usage: cargo run -p xtask -- tidy\n\n  tidy   check the rules of the house over every tracked file (see CONTRIBUTING.md)\n";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["tidy"] => tidy_command(),
        ["help" | "--help" | "-h"] => {
            say(USAGE);
            ExitCode::SUCCESS
        }
        _ => {
            complain(USAGE);
            ExitCode::from(2)
        }
    }
}

/// Prints every finding, then one line of sums. Warnings alone leave the exit code at 0.
fn tidy_command() -> ExitCode {
    let tree = match workspace::load(&workspace::root()) {
        Ok(tree) => tree,
        Err(error) => {
            complain(&format!("tidy: {error}\n"));
            return ExitCode::from(2);
        }
    };
    let findings = tidy::run(&tree);
    for finding in &findings {
        say(&format!("{finding}\n"));
    }
    let failures = findings.iter().filter(|finding| finding.is_failure()).count();
    let warnings = findings.len() - failures;
    say(&format!("tidy: {} files, {failures} failures, {warnings} warnings\n", tree.files.len()));
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Writes to standard output. A closed pipe (`tidy | head`) is not worth an error.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Writes to standard error, for the same reason without an error.
fn complain(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
}
