//! The command line of the benchmark.

use std::path::PathBuf;

/// How fast sleeping databases wake, what the proxy costs, what sleep costs.
#[derive(Debug, clap::Parser)]
#[command(name = "benches")]
pub(crate) struct Args {
    /// What to measure.
    #[arg(value_enum, default_value_t = Part::All)]
    part: Part,

    /// Print one JSON document instead of tables.
    #[arg(long)]
    pub(crate) json: bool,

    /// Rounds of `wake`; each takes about a second.
    #[arg(long, default_value_t = 60, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) n: u32,

    /// Length of each pgbench run of `direct`, seconds.
    #[arg(long, default_value_t = 5, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) seconds: u32,

    /// Measure this program instead of building the checkout's own.
    #[arg(long, value_name = "PATH")]
    pub(crate) binary: Option<PathBuf>,
}

/// A part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Stopped and paused → first row, beside a bare PostgreSQL.
    Wake,
    /// 50 sleeping databases woken at once.
    Storm,
    /// pgbench through the proxy and past it.
    Direct,
    /// 1,000 sleeping databases.
    Idle,
    /// All of these.
    All,
}

impl Part {
    /// The word on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Part::Wake => "wake",
            Part::Storm => "storm",
            Part::Direct => "direct",
            Part::Idle => "idle",
            Part::All => "all",
        }
    }
}

impl Args {
    /// The parts to run, in order.
    pub(crate) fn parts(&self) -> Vec<Part> {
        match self.part {
            Part::All => vec![Part::Wake, Part::Storm, Part::Direct, Part::Idle],
            one => vec![one],
        }
    }
}
