//! `make torture ARGS="--seed 7 --seconds 120 --runs 10"`: long runs by hand. CI runs two short ones
//! as a test (`tests/tests/torture.rs`).

use std::process::ExitCode;

use dormouse_tests::note;
use dormouse_tests::torture::{self, Options, USAGE};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let by_clock = u64::try_from(dormouse_base::clock::now().as_millisecond()).unwrap_or(1) % 1_000_000;
    let options = match Options::parse(by_clock, &words) {
        Ok(options) => options,
        Err(why) => {
            note(&format!("{why}\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    let mut failed = 0;
    for run in 0..options.runs {
        match torture::run(&options, options.seed + run) {
            Ok(report) => note(&report.summary),
            Err(failure) => {
                failed += 1;
                note(&format!("seed {} FAILED: {failure}", options.seed + run));
            }
        }
    }
    note(&format!("{} runs, {failed} failed", options.runs));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
