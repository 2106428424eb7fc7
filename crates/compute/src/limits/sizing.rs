//! The limits of one running compute, and what it uses of them. Files that are read often stay open.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use dormouse_base::Cu;

use super::controllers::{Controllers, V1};
use super::files::{self, MemoryStat};

mod memory;
pub(super) mod processors;

/// The longest of the files that are read.
const MAX_FILE: usize = 8192;

/// What a compute has used and uses.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// CPU time since its group was made, microseconds.
    pub cpu_us: u64,
    /// Memory, when it was asked for and is counted.
    pub memory: Option<MemoryUsage>,
}

/// What a compute uses of memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryUsage {
    /// All of it but files that the kernel would drop first, bytes.
    pub working_set: u64,
    /// What the kernel cannot drop, bytes.
    pub held: u64,
    /// Time in which some process stood still for memory since the group was made, microseconds.
    pub stalled_us: u64,
}

/// Whether the memory that a compute holds fits into its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// All limits are set.
    Now,
    /// It holds more than its largest size has. That limit is wider until it does not.
    Later,
}

/// The machine that sizes are cut to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Machine {
    /// Processors.
    pub cores: f64,
    /// Memory, bytes.
    pub memory: u64,
}

impl Machine {
    /// This one.
    #[must_use]
    pub fn this() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let kib = total.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        #[allow(clippy::cast_precision_loss, reason = "a number of processors")]
        Self { cores: cores as f64, memory: kib.map_or(u64::MAX, |kib| kib * 1024) }
    }
}

/// The groups of one compute.
#[derive(Debug)]
pub struct Sizing {
    cpu: Counter,
    memory: Option<Memory>,
    stalls: Option<File>,
    knobs: Knobs,
    machine: Machine,
}

#[derive(Debug)]
enum Counter {
    /// `cpu.stat`
    V2(File),
    /// `cpuacct.usage`
    V1(File),
}

#[derive(Debug)]
struct Memory {
    usage: File,
    stat: File,
}

#[derive(Debug)]
enum Knobs {
    V2(PathBuf),
    V1(V1),
}

impl Sizing {
    /// Of an endpoint whose processes are in its groups; `v2` is its group in the unified hierarchy, if it has one.
    ///
    /// # Errors
    /// When there are no controllers, or their files cannot be opened.
    pub fn open(
        controllers: &Controllers,
        endpoint: &str,
        v2: Option<&Path>,
        machine: Machine,
    ) -> io::Result<Self> {
        let nothing = || io::Error::from(io::ErrorKind::NotFound);
        // Even without controllers a group of version 2 counts CPU time and stalls, and has from its birth.
        let counted = v2.and_then(|dir| File::open(dir.join("cpu.stat")).ok()).map(Counter::V2);
        let stalls = v2.and_then(|dir| File::open(dir.join("memory.pressure")).ok());
        match controllers {
            Controllers::V2 => {
                let dir = v2.ok_or_else(nothing)?;
                let memory = Memory::open(dir, "memory.current").ok();
                let cpu = counted.ok_or_else(nothing)?;
                Ok(Self { cpu, memory, stalls, knobs: Knobs::V2(dir.to_owned()), machine })
            }
            Controllers::V1(base) => {
                let groups = base.of(endpoint);
                let accounts = || {
                    let dir = groups.cpuacct.as_ref().ok_or_else(nothing)?;
                    File::open(dir.join("cpuacct.usage")).map(Counter::V1)
                };
                let cpu = counted.map_or_else(accounts, Ok)?;
                let memory =
                    groups.memory.as_ref().and_then(|dir| Memory::open(dir, "memory.usage_in_bytes").ok());
                Ok(Self { cpu, memory, stalls, knobs: Knobs::V1(groups), machine })
            }
            Controllers::Missing(_) => Err(nothing()),
        }
    }

    /// What it uses. Memory costs about ten times what CPU time does.
    ///
    /// # Errors
    /// When its group is gone.
    pub fn read(&self, with_memory: bool) -> io::Result<Usage> {
        let mut buffer = [0; MAX_FILE];
        let odd = || io::Error::from(io::ErrorKind::InvalidData);
        let cpu_us = match &self.cpu {
            Counter::V2(file) => files::cpu_stat(text(file, &mut buffer)?),
            Counter::V1(file) => files::cpuacct_usage(text(file, &mut buffer)?),
        };
        let cpu_us = cpu_us.ok_or_else(odd)?;
        let memory = match self.memory.as_ref().filter(|_| with_memory) {
            Some(memory) => Some(self.read_memory(memory, &mut buffer)?),
            None => None,
        };
        Ok(Usage { cpu_us, memory })
    }

    fn read_memory(&self, memory: &Memory, buffer: &mut [u8; MAX_FILE]) -> io::Result<MemoryUsage> {
        let total: u64 = text(&memory.usage, buffer)?.trim().parse().unwrap_or(0);
        let MemoryStat { held, inactive_file } = files::memory_stat(text(&memory.stat, buffer)?);
        let stalled_us = match &self.stalls {
            // A kernel may have the file and refuse to count.
            Some(file) => text(file, buffer).ok().and_then(files::pressure).unwrap_or(0),
            None => 0,
        };
        Ok(MemoryUsage { working_set: total.saturating_sub(inactive_file), held, stalled_us })
    }

    /// Whether memory is counted and limited.
    #[must_use]
    pub fn limits_memory(&self) -> bool {
        self.memory.is_some()
    }

    /// Sets the limits to a size that may grow up to `max`. Blocks: less memory may mean that some is written out.
    ///
    /// # Errors
    /// When the kernel refuses the limit of processors. Memory is best effort.
    pub fn apply(&self, cu: Cu, max: Cu) -> io::Result<Fit> {
        let limited = cu.cores() < self.machine.cores;
        match &self.knobs {
            Knobs::V2(dir) => processors::of_v2(dir, cu, limited)?,
            Knobs::V1(groups) => processors::of_v1(&groups.cpu, cu, limited)?,
        }
        let bytes = |cu: Cu| Some(cu.memory_bytes()).filter(|bytes| *bytes < self.machine.memory);
        let (size, most) = (bytes(cu), bytes(max));
        let fit = match &self.knobs {
            Knobs::V2(dir) => memory::of_v2(dir, size, most),
            Knobs::V1(groups) => {
                groups.memory.as_ref().map_or(Ok(Fit::Now), |dir| memory::of_v1(dir, size, most))
            }
        };
        Ok(fit.unwrap_or_else(|error| {
            tracing::debug!(%error, "memory is not limited as it should be");
            Fit::Now
        }))
    }

    /// The processors that it is limited to now; infinite when it is not.
    #[must_use]
    pub fn limit(&self) -> Option<f64> {
        match &self.knobs {
            Knobs::V2(dir) => files::cpu_max(&fs::read_to_string(dir.join("cpu.max")).ok()?),
            Knobs::V1(groups) => {
                let read = |name| fs::read_to_string(groups.cpu.join(name)).ok();
                files::cfs_quota(&read("cpu.cfs_quota_us")?, &read("cpu.cfs_period_us")?)
            }
        }
    }
}

impl Memory {
    fn open(dir: &Path, usage: &str) -> io::Result<Self> {
        Ok(Self { usage: File::open(dir.join(usage))?, stat: File::open(dir.join("memory.stat"))? })
    }
}

fn write(dir: &Path, name: &str, text: &str) -> io::Result<()> {
    let path = dir.join(name);
    // Not `fs::write`: what is not there must not be made.
    let result = fs::OpenOptions::new().write(true).open(&path).and_then(|mut file| {
        use io::Write;
        file.write_all(text.as_bytes())
    });
    result.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn text<'a>(file: &File, buffer: &'a mut [u8; MAX_FILE]) -> io::Result<&'a str> {
    let mut length = 0;
    while length < buffer.len() {
        let offset = u64::try_from(length).unwrap_or(u64::MAX);
        match rustix::io::pread(file, &mut buffer[length..], offset)? {
            0 => break,
            read => length += read,
        }
        // These files come in one piece, of whole lines.
        if buffer[..length].ends_with(b"\n") {
            break;
        }
    }
    std::str::from_utf8(&buffer[..length]).map_err(|_| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests;
