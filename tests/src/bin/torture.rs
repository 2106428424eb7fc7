//! `make torture ARGS="--seed 7 --seconds 120 --runs 10"`: long runs by hand. CI runs two short ones
//! as a test (`tests/tests/torture.rs`).

use std::process::ExitCode;

use dormouse_tests::long_runs::Program;
use dormouse_tests::torture::{self, Options, USAGE};

fn main() -> ExitCode {
    let program = Program {
        usage: USAGE,
        parse: Options::parse,
        seeds: |options: &Options| (options.seed, options.runs),
        run: |options: &Options, seed| torture::run(options, seed).map(|report| report.summary),
    };
    program.main(|_| {})
}
