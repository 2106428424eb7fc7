//! `pool`: the pooled host name, beside PgBouncer and beside no pooler at all.
//!
//! ```text
//!  idle       10,000 clients with nothing to do: memory of each, processor time of all   (first: a fresh process)
//!  matrix     pgbench, by work, protocol and number of clients; and one connection per transaction
//!  wait       1,000 clients on 25 backends
//!  syscalls   system calls per transaction
//!  woken      an open pooled client asks a database that sleeps, beside a new connection to it
//! ```
//!
//! [`stage`] is what runs: a Dormouse server, and a bare PostgreSQL with the same program, settings and data.
//! PgBouncer is before both, so that each of ours has a rival with the same server: `dormouse pool` that of the bare
//! one, and the pooled name that of the compute, whose sandbox costs something that is no pooler's. All clients come
//! by TCP with the same SCRAM verifier; all poolers reach their server by its Unix socket without a password. Each is in a
//! session of its own, as under a service manager ([`crate::tool::in_session`]). [`case`] and [`meter`] are one pgbench run and what is
//! read off it. Rounds are interleaved and their order rotates; what is compared are ratios within a round.
//! [`instructions`] is a part of its own: no clock, no noise, only the bytes' way through the pooler ([`walk`]).

mod case;
mod logins;
mod matrix;
mod meter;

mod idle;
mod syscalls;
mod wait;
mod woken;

pub(crate) mod instructions;
pub(crate) mod walk;

mod bouncer;
mod stage;

use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use self::bouncer::PgBouncer;
use self::case::Case;
use self::stage::Stage;
use crate::args::Args;
use crate::error::Error;
use crate::report::{PartReport, Section, Target};

/// Connections to a server: Dormouse's default, and what PgBouncer is told.
const POOL: u32 = 25;

/// Seconds of a pgbench run.
const SECONDS: u32 = 2;

/// Rounds: the fewest that tell a missed target from noise.
const ROUNDS: usize = 5;

/// How much is measured.
#[derive(Debug, Clone)]
struct Plan {
    /// pgbench's size.
    scale: u32,
    /// Seconds of a pgbench run.
    seconds: u32,
    /// Times that everything is measured.
    rounds: usize,
    cases: Vec<Case>,
    idle_clients: usize,
    idle_seconds: u64,
    wakes: usize,
}

impl Plan {
    fn of(args: &Args) -> Self {
        let mut plan = Self::usual(args);
        if let Some(only) = &args.only {
            plan.cases.retain(|case| case.name().contains(only.as_str()));
        }
        if let Some(rounds) = args.rounds {
            plan.rounds = rounds.into();
        }
        plan
    }

    fn usual(args: &Args) -> Self {
        if args.quick {
            return Self {
                scale: 5,
                seconds: args.seconds_or(1),
                rounds: 2,
                cases: case::few(),
                idle_clients: 1000,
                idle_seconds: 2,
                wakes: 3,
            };
        }
        Self {
            scale: 10,
            seconds: args.seconds_or(SECONDS),
            rounds: ROUNDS,
            cases: case::all(),
            idle_clients: 10_000,
            idle_seconds: 10,
            wakes: 15,
        }
    }
}

/// What a measurement adds to the report.
#[derive(Debug, Default)]
struct Found {
    sections: Vec<Section>,
    targets: Vec<Target>,
    notes: Vec<String>,
}

impl Found {
    fn extend(&mut self, other: Found) {
        self.sections.extend(other.sections);
        self.targets.extend(other.targets);
        self.notes.extend(other.notes);
    }
}

/// Measures.
///
/// # Errors
/// When something broke; what one of the ways does not offer or cannot do is a word in the report.
pub(crate) fn run(binary: &Path, args: &Args) -> Result<PartReport, Error> {
    raise_open_files();
    let plan = Plan::of(args);
    if plan.cases.is_empty() {
        return Err(Error::unexpected("no case of `pool` has a name that contains what `--only` says"));
    }
    let stage = Stage::set(binary, PgBouncer::find(args.pgbouncer.as_deref())?, plan.scale)?;
    let mut found = Found::default();
    if args.only.is_some() {
        found.extend(matrix::measure(&stage, &plan)?);
    } else {
        found.extend(idle::measure(&stage, &plan)?);
        found.extend(matrix::measure(&stage, &plan)?);
        found.extend(syscalls::measure(&stage, &plan)?);
        found.extend(wait::measure(&stage, &plan)?);
        found.extend(woken::measure(&stage, &plan)?);
    }
    found.notes.extend([
        format!("direct: TCP to a bare PostgreSQL; PgBouncer {}: transaction mode, in front of the same, and once more in front of the one that Dormouse runs, which is in a sandbox", stage.pgbouncer.version),
        "everybody logs in with SCRAM (of one round, from PostgreSQL 16 on), once per pgbench client but with one connection per transaction; all poolers reach their server by its Unix socket, trusted".into(),
        "pgbench, poolers and servers share the processors, each in a session of its own; ratios are medians of those within a round, and a range holds the true one nine times in ten; CPU is counted from when all had logged in".into(),
    ]);
    Ok(PartReport { name: "pool", sections: found.sections, targets: found.targets, notes: found.notes })
}

/// As many open files as the system lets us have: for the clients here, and for all that is started.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    // Where it cannot be raised, fewer clients are connected, which the report says.
    let _refused = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}
