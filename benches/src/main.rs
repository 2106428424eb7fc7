//! `make bench`: how fast a sleeping database wakes, what the proxy costs, what sleep costs.
//!
//! Figures of one machine at one moment mean little, so each is measured next to its baseline in
//! the same run, turn by turn, and the answer is the ratio. It measures the release binary from
//! outside, as a client: what it knows of the inside is the API and the compute's own socket.
//! This is a benchmark, not a test: a missed target is a word in a table, not a failure.
//!
//! Reading order: [`measure`] has one file for each part; [`server`], [`bare`], [`session`] and
//! [`pgbench`] are what they measure with; [`stats`] and [`report`] are what they say. A new figure
//! is a [`report::Row`] in one of the parts; a new part is a file there and a word in [`args`].

mod args;

mod measure;

mod bare;
mod pgbench;
mod server;
mod session;

mod binary;
mod cpu;
mod crew;
mod machine;
mod stop;

mod report;
mod stats;
mod talk;
mod target;
mod tool;

mod error;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::args::Args;
use crate::error::Error;
use crate::report::Report;

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(walk) = &args.walk {
        return match walk.run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                talk::say(&dormouse_base::with_causes(&error));
                ExitCode::FAILURE
            }
        };
    }
    match run(&args) {
        Ok(broken) if broken.is_empty() => ExitCode::SUCCESS,
        Ok(broken) => {
            talk::say(&format!("these parts broke: {}", broken.join(", ")));
            ExitCode::FAILURE
        }
        Err(Error::Interrupted) => {
            talk::say("interrupted; everything that was started has been stopped");
            ExitCode::from(130)
        }
        Err(error) => {
            talk::say(&dormouse_base::with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

/// Runs the parts that were asked for, and tells which of them broke. A broken part does not take
/// the others' figures with it.
fn run(args: &Args) -> Result<Vec<&'static str>, Error> {
    stop::listen()?;
    let binary = match &args.binary {
        Some(given) => given.clone(),
        None if args.parts().iter().all(|part| !part.needs_server()) => PathBuf::new(),
        None => binary::build()?,
    };
    let mut report = Report::new();
    let mut broken = Vec::new();
    for part in args.parts() {
        talk::say(&format!("== {} ==", part.name()));
        match measure::run(part, &binary, args) {
            Ok(part) => report.parts.push(part),
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => {
                talk::say(&format!("{} broke: {}", part.name(), dormouse_base::with_causes(&error)));
                broken.push(part.name());
            }
        }
    }
    report.machine.load_after = machine::load();
    talk::print(&if args.json { report.json() } else { report.to_string() })?;
    Ok(broken)
}
