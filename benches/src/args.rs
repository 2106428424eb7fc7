//! The command line of the benchmark.

use std::path::PathBuf;

use clap::builder::TypedValueParser as _;

use crate::measure::Walk;

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

    /// Length of each pgbench run, seconds; 5 for `direct` and `storage`, 2 for `pool`, which has many, 3 for `http`.
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: Option<u32>,

    /// Small databases and few rounds: whether it works, not what it says. For `storage`, `pool`, `http` and `scale`.
    #[arg(long)]
    pub(crate) quick: bool,

    /// Of `pool`, only pgbench cases whose name in the table contains this.
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Option<String>,

    /// Hold `pool` against this PgBouncer instead of the one that is installed: one from 1.21 on prepares.
    #[arg(long, value_name = "PATH")]
    pub(crate) pgbouncer: Option<PathBuf>,

    /// Rounds of `pool`'s cases; 5 by default, the fewest that tell a missed target from noise.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub(crate) rounds: Option<u16>,

    /// 10 adds a database of 10 GiB to what `storage` measures of starts and branches.
    #[arg(long, default_value_t = 1, value_name = "GIB", value_parser = clap::builder::PossibleValuesParser::new(["1", "10"]).map(|text| if text == "10" { 10_u32 } else { 1 }))]
    pub(crate) size: u32,

    /// Write what `pool-instructions` counts down as what it should be from now on.
    #[arg(long)]
    pub(crate) record: bool,

    /// What `pool-instructions` has counted: one exchange, so many rounds.
    #[arg(long, hide = true, value_name = "EXCHANGE:ROUNDS")]
    pub(crate) walk: Option<Walk>,

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
    /// What the control plane takes: new projects, long lists, many changes.
    Api,
    /// Reports of what was used: a year of 100 branches.
    Usage,
    /// The pooled host name, beside PgBouncer and no pooler.
    Pool,
    /// SQL over HTTP and WebSocket, beside the pooled wire protocol.
    Http,
    /// Instructions that the pooler's hot path takes, beside those written down.
    PoolInstructions,
    /// How soon a loaded compute gets more processors, and what looking after sizes costs.
    Scale,
    /// All that begins with `storage-`.
    Storage,
    /// Snapshots and directories made of them, beside `pg_basebackup` and pgBackRest.
    StorageSnapshot,
    /// Starts from the store alone, beside starts of what is there.
    StorageStart,
    /// Branches of a running database, beside copies of it.
    StorageBranch,
    /// pgbench behind the hydration front, beside plain PostgreSQL.
    StorageFront,
    /// pgbench with the WAL service on, beside plain PostgreSQL and `pg_receivewal`.
    StorageWal,
    /// Everything.
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
            Part::Api => "api",
            Part::Usage => "usage",
            Part::Pool => "pool",
            Part::Http => "http",
            Part::PoolInstructions => "pool-instructions",
            Part::Scale => "scale",
            Part::Storage => "storage",
            Part::StorageSnapshot => "storage-snapshot",
            Part::StorageStart => "storage-start",
            Part::StorageBranch => "storage-branch",
            Part::StorageFront => "storage-front",
            Part::StorageWal => "storage-wal",
            Part::All => "all",
        }
    }
}

impl Part {
    /// Whether it starts the program under test.
    pub(crate) fn needs_server(self) -> bool {
        self != Part::PoolInstructions
    }
}

/// The parts of `storage`.
const STORAGE: [Part; 5] =
    [Part::StorageSnapshot, Part::StorageStart, Part::StorageBranch, Part::StorageFront, Part::StorageWal];

/// Seconds of a pgbench run that is not one of very many.
const USUAL_SECONDS: u32 = 5;

impl Args {
    /// Length of each pgbench run of most parts, seconds.
    pub(crate) fn seconds(&self) -> u32 {
        self.seconds_or(USUAL_SECONDS)
    }

    /// Length of each pgbench run, seconds, where the part has its own idea of the usual.
    pub(crate) fn seconds_or(&self, usual: u32) -> u32 {
        self.seconds.unwrap_or(usual)
    }

    /// The parts to run, in order.
    pub(crate) fn parts(&self) -> Vec<Part> {
        match self.part {
            Part::All => {
                let first = [
                    Part::Wake,
                    Part::Storm,
                    Part::Direct,
                    Part::Idle,
                    Part::Api,
                    Part::Usage,
                    Part::Pool,
                    Part::Http,
                    Part::Scale,
                    Part::PoolInstructions,
                ];
                first.into_iter().chain(STORAGE).collect()
            }
            Part::Storage => STORAGE.to_vec(),
            one => vec![one],
        }
    }
}
