//! The parts of the benchmark, one file each. Each starts a server of its own, so that no part
//! measures what another has left behind.

mod wake;

mod storm;

mod direct;

mod idle;

mod api;

mod usage;

mod pool;

mod http;

mod scale;

mod storage;

pub(crate) use self::pool::walk::Walk;

use std::path::Path;

use crate::args::{Args, Part};
use crate::error::Error;
use crate::report::PartReport;

/// Idle time never ends a measurement: what sleeps was told to.
const STAY_AWAKE: [&str; 2] = ["--idle-timeout=-1", "--pause-timeout=-1"];

/// Runs one part.
///
/// # Errors
/// When something broke; a missed target is not an error.
pub(crate) fn run(part: Part, binary: &Path, args: &Args) -> Result<PartReport, Error> {
    match part {
        Part::Wake => wake::run(binary, args.n),
        Part::Storm => storm::run(binary),
        Part::Direct => direct::run(binary, args.seconds()),
        Part::Idle => idle::run(binary),
        Part::Api => api::run(binary),
        Part::Usage => usage::run(binary),
        Part::Pool => pool::run(binary, args),
        Part::Http => http::run(binary, args),
        Part::Scale => scale::run(binary, args),
        Part::PoolInstructions => pool::instructions::run(args),
        Part::StorageSnapshot => storage::snapshot::run(args),
        Part::StorageStart => storage::start::run(binary, args),
        Part::StorageBranch => storage::branch::run(binary, args),
        Part::StorageFront => storage::front::run(args),
        Part::StorageWal => storage::wal::run(binary, args),
        Part::All | Part::Storage => Err(Error::unexpected("these are more than one part")),
    }
}
