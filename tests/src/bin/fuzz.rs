//! `cargo run -p dormouse-tests --bin fuzz -- --seed 7 --seconds 300 --runs 4`: long runs by hand. CI runs a short one
//! as a test (`tests/tests/e2e/pool_fuzz.rs`). What it is, is told in `dormouse_tests::fuzz`.

use std::process::ExitCode;

use dormouse_tests::fuzz::{self, Options, USAGE};
use dormouse_tests::long_runs::Program;

fn main() -> ExitCode {
    let program = Program {
        usage: USAGE,
        parse: Options::parse,
        seeds: |options: &Options| (options.seed, options.runs),
        run: |options: &Options, seed| {
            fuzz::run(options, seed).map(|report| format!("seed {seed}: {}", report.summary))
        },
    };
    program.main(|options| {
        // What the proxy says of it, for whoever looks for the reason of a failure.
        tracing_subscriber::fmt().with_max_level(options.log).with_writer(std::io::stderr).init();
    })
}
