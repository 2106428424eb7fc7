//! `cargo run -p dormouse-tests --bin fuzz -- --seed 7 --seconds 300 --runs 4`: long runs by hand. CI runs a short one
//! as a test (`tests/tests/e2e/pool_fuzz.rs`). What it is, is told in `dormouse_tests::fuzz`.

use std::process::ExitCode;

use dormouse_tests::fuzz::{self, Options, USAGE};
use dormouse_tests::note;

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
    // What the proxy says of it, for whoever looks for the reason of a failure.
    tracing_subscriber::fmt().with_max_level(options.log).with_writer(std::io::stderr).init();
    let mut failed = 0;
    for seed in options.seed..options.seed + options.runs {
        match fuzz::run(&options, seed) {
            Ok(report) => note(&format!("seed {seed}: {}", report.summary)),
            Err(failure) => {
                failed += 1;
                note(&format!("seed {seed} FAILED: {failure}"));
            }
        }
    }
    note(&format!("{} runs, {failed} failed", options.runs));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
