//! The machine, because figures without it mean nothing.

use std::fmt;
use std::fs;

use serde::Serialize;

/// More load than this per processor means that others are measured too.
const QUIET: f64 = 0.5;

/// Where and how undisturbed the measurements were made.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    /// Processors that this process may use.
    cpus: usize,
    /// Memory, MiB.
    memory_mib: u64,
    /// Linux's version.
    kernel: String,
    /// Load averages (1, 5, 15 minutes) before the first part.
    load_before: [f64; 3],
    /// The same after the last.
    pub(crate) load_after: [f64; 3],
}

impl Machine {
    /// Looks at this machine.
    pub(crate) fn look() -> Self {
        let load_before = load();
        Self {
            cpus: cpus(),
            memory_mib: memory_mib(),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_before,
            load_after: load_before,
        }
    }
}

/// Processors that this process may use.
pub(crate) fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Load averages over 1, 5 and 15 minutes.
pub(crate) fn load() -> [f64; 3] {
    let mut load = [0.0; 3];
    for (to, word) in load.iter_mut().zip(read("/proc/loadavg").split_whitespace()) {
        *to = word.parse().unwrap_or_default();
    }
    load
}

fn memory_mib() -> u64 {
    let text = read("/proc/meminfo");
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}

/// A file of /proc; empty when there is none.
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpus, memory_mib, kernel, load_before: before, load_after: after } = self;
        writeln!(f, "machine: {cpus} CPUs, {memory_mib} MiB, Linux {kernel}")?;
        writeln!(f, "load average: {} before, {} after (1 minute)", before[0], after[0])?;
        if before[0] > QUIET * *cpus as f64 {
            writeln!(f, "  note: others were at work; read the ratios, not the milliseconds")?;
        }
        Ok(())
    }
}
