//! The `main` of the programs that break things for as long as they are told: torture, fuzz, crowd. Each has options with a
//! first seed, and runs one seed after the other.

use std::fmt::Display;
use std::process::ExitCode;

use crate::note;

/// A seed that nobody chose.
const SEEDS: u64 = 1_000_000;

/// What a program is.
pub struct Program<O, R> {
    /// What its words are.
    pub usage: &'static str,
    /// Reads them; without `--seed` it gets one from the clock.
    pub parse: fn(u64, &[String]) -> Result<O, String>,
    /// The first seed and how many.
    pub seeds: fn(&O) -> (u64, u64),
    /// Runs one.
    pub run: R,
}

impl<O, R> Program<O, R> {
    /// Runs it with the words of its command line.
    pub fn main<F: Display>(self, mut before: impl FnMut(&O)) -> ExitCode
    where
        R: Fn(&O, u64) -> Result<String, F>,
    {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let by_clock = u64::try_from(dormouse_base::clock::now().as_millisecond()).unwrap_or(1) % SEEDS;
        let options = match (self.parse)(by_clock, &words) {
            Ok(options) => options,
            Err(why) => {
                note(&format!("{why}\n{}", self.usage));
                return ExitCode::from(2);
            }
        };
        before(&options);
        let (first, runs) = (self.seeds)(&options);
        let mut failed = 0;
        for seed in first..first + runs {
            match (self.run)(&options, seed) {
                Ok(summary) => note(&summary),
                Err(failure) => {
                    failed += 1;
                    note(&format!("seed {seed} FAILED: {failure}"));
                }
            }
        }
        note(&format!("{runs} runs, {failed} failed"));
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}
