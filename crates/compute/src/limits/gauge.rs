//! One run's size: its samples, what they say, and its limits.
//!
//! ```text
//!  sample, settle ─► Resize ─► its limits are set, which may block ─► resized: the size is another one
//!                      └ nothing else is decided meanwhile              └ or could not be set: not before a while
//! ```

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use dormouse_base::clock::Mono;
use dormouse_base::{Cu, Timestamp, clock};

use super::decide::{Change, MemorySeen, SECOND, Seen, Size, Window, decide};
use super::sizing::{Fit, Sizing, Usage};
use super::{Bounds, Live};

/// Memory is looked at in every so many samples.
const MEMORY_EVERY: u32 = 4;

/// A sample that took longer than this to come says nothing about a moment: time stood still.
const STALE: Duration = Duration::from_secs(2);

/// Limits that could not be set, or not all of them, are tried again after this long.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// A run's size. Made when its first client has been served.
#[derive(Debug)]
pub struct Gauge {
    sizing: Option<Arc<Sizing>>,
    machine_cores: f64,
    epoch: Mono,
    size: Size,
    /// The largest size that the limits know of.
    max: Cu,
    /// Limits are being set.
    setting: bool,
    /// They could not be set: nothing is tried before this moment.
    refused_until: Option<Mono>,
    /// Not all of them hold: they are set again at this moment.
    again_at: Option<Mono>,
    window: Window,
    last: Option<(Mono, Usage)>,
    samples: u32,
    stalled_us: Option<(Mono, u64)>,
    /// Processors used in the samples of the last second.
    recent: VecDeque<f64>,
    seen: Timestamp,
    memory: Option<u64>,
}

/// New limits, to be set where that may block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Resize {
    /// The size before.
    pub from: Cu,
    /// The size.
    pub to: Cu,
    /// The size that memory may grow to.
    pub max: Cu,
    /// What was decided; `None`: the size stays, and only its limits are set again.
    pub change: Option<Change>,
}

/// How a run begins.
#[derive(Debug, Clone, Copy)]
pub struct Begun {
    /// Its size.
    pub cu: Cu,
    /// The size that it may grow to.
    pub max: Cu,
    /// How its limits were set; `None`: they could not be.
    pub fit: Option<Fit>,
}

impl Gauge {
    /// Of a run that begins like that. Without `sizing` it keeps to its smallest and measures nothing.
    #[must_use]
    pub fn new(sizing: Option<Sizing>, machine_cores: f64, begun: Begun, window: Window) -> Self {
        let Begun { cu, max, fit } = begun;
        let max = if sizing.is_some() { max } else { cu };
        let again_at = (sizing.is_some() && fit != Some(Fit::Now)).then(|| Mono::now().plus(AGAIN_AFTER));
        Self {
            sizing: sizing.map(Arc::new),
            machine_cores,
            epoch: Mono::now(),
            size: Size { cu, since: Duration::ZERO },
            max,
            setting: false,
            refused_until: None,
            again_at,
            window,
            last: None,
            samples: 0,
            stalled_us: None,
            recent: VecDeque::with_capacity(SECOND),
            seen: clock::now(),
            memory: None,
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

    /// Goes by what is known: after a sample, and when the bounds have changed. Whoever gets a [`Resize`] tells by
    /// [`Gauge::resized`] what came of it.
    pub fn settle(&mut self, bounds: Bounds) -> Option<Resize> {
        let now = Mono::now();
        if self.setting || self.refused_until.is_some_and(|until| now < until) {
            return None;
        }
        let bounds = Self::possible(bounds, self.machine_cores);
        let bounds = if self.is_measured() { bounds } else { Bounds { max: bounds.min, ..bounds } };
        let change = decide(&self.window, self.size, bounds);
        let is_due = bounds.max != self.max || self.again_at.is_some_and(|at| now >= at);
        if change.is_none() && !is_due {
            return None;
        }
        self.setting = true;
        let from = self.size.cu;
        Some(Resize { from, to: change.map_or(from, |change| change.to), max: bounds.max, change })
    }

    /// The limits are set, or are not. Tells whether the size is another one.
    pub fn resized(&mut self, resize: &Resize, outcome: &io::Result<Fit>) -> bool {
        let later = Mono::now().plus(AGAIN_AFTER);
        self.setting = false;
        self.refused_until = outcome.is_err().then_some(later);
        let Ok(fit) = outcome else { return false };
        self.again_at = (*fit == Fit::Later).then_some(later);
        self.max = resize.max;
        if resize.change.is_some() {
            self.size = Size { cu: resize.to, since: self.epoch.elapsed() };
            self.window.clear();
        }
        resize.change.is_some()
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

#[cfg(test)]
mod tests;
