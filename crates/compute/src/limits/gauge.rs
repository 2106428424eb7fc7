//! One run's size: its samples, what they say, and its limits.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_base::{Cu, Timestamp, clock};

use super::decide::{Change, MemorySeen, SECOND, Seen, Size, Window, decide};
use super::sizing::{Sizing, Usage};
use super::{Bounds, Live};

/// Memory is looked at in every so many samples.
const MEMORY_EVERY: u32 = 4;

/// A sample that took longer than this to come says nothing about a moment: time stood still.
const STALE: Duration = Duration::from_secs(2);

/// The clients of an endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClientLoad {
    /// Connections to its PostgreSQL that clients have.
    pub connections: u32,
    /// Clients that wait for one of a pool.
    pub waiting: u32,
}

/// A run's size. Made when its first client has been served.
#[derive(Debug)]
pub struct Gauge {
    sizing: Option<Arc<Sizing>>,
    machine_cores: f64,
    epoch: Mono,
    size: Size,
    window: Window,
    last: Option<(Mono, Usage)>,
    samples: u32,
    stalled_us: Option<(Mono, u64)>,
    /// Processors used in the samples of the last second.
    recent: VecDeque<f64>,
    seen: Timestamp,
    memory: Option<u64>,
    waiting: u32,
}

/// New limits, to be set where that may block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resize {
    /// The size before.
    pub from: Cu,
    /// What was decided.
    pub change: Change,
    /// The size that memory may grow to.
    pub max: Cu,
}

impl Gauge {
    /// Of a run that begins with this size. Without `sizing` it keeps to its smallest and measures nothing.
    #[must_use]
    pub fn new(sizing: Option<Sizing>, machine_cores: f64, cu: Cu) -> Self {
        Self {
            sizing: sizing.map(Arc::new),
            machine_cores,
            epoch: Mono::now(),
            size: Size { cu, since: Duration::ZERO },
            window: Window::default(),
            last: None,
            samples: 0,
            stalled_us: None,
            recent: VecDeque::with_capacity(SECOND),
            seen: clock::now(),
            memory: None,
            waiting: 0,
        }
    }

    /// Bounds as this machine can have them.
    #[must_use]
    pub fn possible(bounds: Bounds, machine_cores: f64) -> Bounds {
        let most = Cu::nearest(machine_cores);
        Bounds { min: bounds.min.min(most), max: bounds.max.min(most).max(bounds.min.min(most)) }
    }

    /// Whether it is measured and limited.
    #[must_use]
    pub fn is_measured(&self) -> bool {
        self.sizing.is_some()
    }

    /// The size now.
    #[must_use]
    pub fn cu(&self) -> Cu {
        self.size.cu
    }

    /// The limits themselves.
    #[must_use]
    pub fn sizing(&self) -> Option<Arc<Sizing>> {
        self.sizing.clone()
    }

    /// Looks at the run, and tells what is to be done. Costs a few system calls.
    ///
    /// # Errors
    /// When its group is gone.
    pub fn sample(&mut self, waiting: u32, bounds: Bounds) -> io::Result<Option<Resize>> {
        self.waiting = waiting;
        self.seen = clock::now();
        let Some(sizing) = &self.sizing else { return Ok(self.settle(bounds)) };
        let now = Mono::now();
        let with_memory = sizing.limits_memory() && self.samples.is_multiple_of(MEMORY_EVERY);
        let usage = sizing.read(with_memory)?;
        self.samples = self.samples.wrapping_add(1);
        let before = self.last.replace((now, usage));
        let Some((then, used)) = before.filter(|(then, _)| now.since(*then) < STALE) else {
            // The first, or the first after it stood still: nothing to compare with.
            self.window.clear();
            self.recent.clear();
            return Ok(self.settle(bounds));
        };
        let memory = usage.memory.map(|memory| {
            self.memory = Some(memory.working_set);
            let (since, stalled) =
                self.stalled_us.replace((now, memory.stalled_us)).unwrap_or((now, memory.stalled_us));
            MemorySeen {
                held_bytes: memory.held,
                stalled: share(memory.stalled_us.saturating_sub(stalled), now.since(since)),
            }
        });
        let cores = share(usage.cpu_us.saturating_sub(used.cpu_us), now.since(then));
        self.recent.truncate(SECOND - 1);
        self.recent.push_front(cores);
        self.window.push(Seen { at: now.since(self.epoch), cores, waiting, memory });
        Ok(self.settle(bounds))
    }

    /// Goes by what is known: after a sample, and when the bounds have changed.
    pub fn settle(&mut self, bounds: Bounds) -> Option<Resize> {
        let bounds = Self::possible(bounds, self.machine_cores);
        let bounds = if self.is_measured() { bounds } else { Bounds { max: bounds.min, ..bounds } };
        let change = decide(&self.window, self.size, bounds)?;
        let from = self.size.cu;
        self.size = Size { cu: change.to, since: self.epoch.elapsed() };
        self.window.clear();
        Some(Resize { from, change, max: bounds.max })
    }

    /// Clients that waited when it was looked at last.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.waiting
    }

    /// Processors used, mean of the last second.
    fn cores(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "four at most")]
        let count = self.recent.len().max(1) as f64;
        self.recent.iter().fold(0.0, |sum, cores| sum + cores) / count
    }

    /// What it is at the moment.
    #[must_use]
    pub fn live(&self, is_active: bool) -> Live {
        let measured = self.is_measured();
        let limit =
            self.sizing.as_ref().filter(|sizing| sizing.limits_memory()).map(|_| self.size.cu.memory_bytes());
        Live {
            at: self.seen,
            cu: self.size.cu,
            cpu_cores: if is_active { self.cores() } else { 0.0 },
            memory_bytes: self.memory.unwrap_or(0),
            memory_limit_bytes: limit,
            measured,
        }
    }
}

/// Microseconds in a time, as a share of it.
fn share(us: u64, time: Duration) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a quarter of a second")]
    let us = us as f64;
    if time.is_zero() { 0.0 } else { us / 1e6 / time.as_secs_f64() }
}
