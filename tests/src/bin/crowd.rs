//! `cargo run -p dormouse-tests --bin crowd -- --seed 7 --clients 10000`: long runs by hand. CI runs a short one
//! as a test (`tests/tests/e2e/pool_crowd.rs`). What it is, is told in `dormouse_tests::crowd`.

use std::process::ExitCode;

use dormouse_tests::crowd::{self, Options, USAGE};
use dormouse_tests::long_runs::Program;

fn main() -> ExitCode {
    let program = Program {
        usage: USAGE,
        parse: Options::parse,
        seeds: |options: &Options| (options.seed, options.runs),
        run: |options: &Options, seed| {
            crowd::run(options, seed).map(|report| format!("seed {seed}: {}", report.summary))
        },
    };
    program.main(|_| {})
}
