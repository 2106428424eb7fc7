//! When a compute gets larger or smaller: data in, data out.
//!
//! ```text
//!             used > 80 % of the size for two samples, or ≥ 95 % for one      ┐
//!   larger ◄─ clients wait for a backend in two samples                       ├ doubled, at most once in 500 ms
//!             memory that cannot be dropped > 80 %, or work stalls for it     ┘
//!
//!   smaller ◄ used < 30 % in each second of the last 60, and nobody waited: to where its peak second is 60 % of it
//! ```
//!
//! Only what was seen since the last change counts, so a change is judged by its own effect. Up is quick and
//! in steps, because a client waits; down is late and in one step, because the peak of a whole minute is known.
//! What is 60 % used after a step down is far enough from the 80 % that would take it back: that is what keeps it
//! from flapping. Numbers to change are the constants; a new reason is a variant of [`Reason`].

use std::collections::VecDeque;
use std::time::Duration;

use dormouse_base::Cu;
use dormouse_base::cu::MEMORY_PER_CU;
use serde::{Deserialize, Serialize};

use super::Bounds;

/// Between two samples.
pub const SAMPLE_EVERY: Duration = Duration::from_millis(250);

/// A size is doubled at most once in this time.
pub const DOUBLE_EVERY: Duration = Duration::from_millis(500);

/// So long it must have been idle to become smaller.
pub const IDLE_FOR: Duration = Duration::from_secs(60);

/// Used share of the size above which it is doubled, mean of two samples.
pub const HIGH: f64 = 0.8;

/// Used share in one sample that needs no second one: it is held back for all of the time.
pub const FULL: f64 = 0.95;

/// Used share below which a second counts as idle.
pub const LOW: f64 = 0.3;

/// How much of a smaller size its peak may take.
pub const FITS: f64 = 0.6;

/// How far below what makes a size grow the short peaks of a smaller one must be.
pub const SPARE: f64 = 0.05;

/// Memory that cannot be dropped, as a share of the size's, above which it is doubled.
pub const MEMORY_HIGH: f64 = 0.8;

/// How much of a smaller size's memory that may take.
pub const MEMORY_FITS: f64 = 0.6;

/// Share of a second in which some process stood still for memory, above which it is doubled.
pub const STALLED: f64 = 0.1;

/// Sizes that it shrinks to are multiples of this, thousandths.
const STEP: u32 = 250;

/// Samples in one second, over which a peak is taken.
pub(super) const SECOND: usize = 4;

/// The most samples that are kept; [`IDLE_FOR`] has 240.
const MAX_SAMPLES: usize = 512;

/// Why a size changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The processors of its size were used up.
    Cpu,
    /// Clients waited for a backend.
    PoolWait,
    /// Its memory was used up.
    Memory,
    /// It needed much less for a while.
    Idle,
    /// What its owner allows changed.
    Bounds,
}

impl Reason {
    /// The name in events and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Reason::Cpu => "cpu",
            Reason::PoolWait => "pool_wait",
            Reason::Memory => "memory",
            Reason::Idle => "idle",
            Reason::Bounds => "bounds",
        }
    }
}

/// What memory looked like.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct MemorySeen {
    /// What the kernel cannot drop: the processes' own, and shared memory. Bytes.
    pub held_bytes: u64,
    /// Share of the time, since it was looked at before, in which some process stood still for memory.
    pub stalled: f64,
}

/// One sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// When, since any fixed moment.
    pub at: Duration,
    /// Processors used since the sample before.
    pub cores: f64,
    /// Clients that waited for a backend.
    pub waiting: u32,
    /// Memory, in those samples that looked at it.
    pub memory: Option<MemorySeen>,
}

/// A size, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// How large.
    pub cu: Cu,
    /// Since when, on the clock of [`Seen::at`].
    pub since: Duration,
}

/// A change that is due.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// The new size.
    pub to: Cu,
    /// Why.
    pub reason: Reason,
    /// Processors used in the last sample.
    pub cores: f64,
    /// Clients that waited then.
    pub waiting: u32,
}

/// The samples since the last change, of a minute at most.
#[derive(Debug, Clone)]
pub struct Window {
    samples: VecDeque<Seen>,
    memory: Option<MemorySeen>,
    idle_for: Duration,
}

impl Default for Window {
    fn default() -> Self {
        Self::new(IDLE_FOR)
    }
}

impl Window {
    /// An empty one, of a size that must have been idle for so long to become smaller: [`IDLE_FOR`] anywhere but in
    /// tests.
    #[must_use]
    pub fn new(idle_for: Duration) -> Self {
        Self { samples: VecDeque::new(), memory: None, idle_for }
    }

    /// One more sample.
    pub fn push(&mut self, seen: Seen) {
        self.memory = seen.memory.or(self.memory);
        self.samples.push_back(seen);
        let most = self.idle_for + 2 * SAMPLE_EVERY;
        let too_old = |first: &Seen| seen.at.saturating_sub(first.at) > most;
        while self.samples.len() > MAX_SAMPLES || self.samples.front().is_some_and(too_old) {
            self.samples.pop_front();
        }
    }

    /// Forgets all of it: the size is another one, or time stood still.
    pub fn clear(&mut self) {
        *self = Self::new(self.idle_for);
    }

    /// The newest sample.
    #[must_use]
    pub fn last(&self) -> Option<&Seen> {
        self.samples.back()
    }

    /// The last two samples, the newest first.
    fn two(&self) -> Option<[&Seen; 2]> {
        let mut newest = self.samples.iter().rev();
        Some([newest.next()?, newest.next()?])
    }

    /// The most processors that were used in so many samples, mean.
    fn peak(&self, samples: usize) -> f64 {
        let (mut sum, mut most) = (0.0, 0.0_f64);
        let mut leaving = self.samples.iter();
        for (index, seen) in self.samples.iter().enumerate() {
            sum += seen.cores;
            if index >= samples {
                sum -= leaving.next().map_or(0.0, |seen| seen.cores);
            }
            most = most.max(sum);
        }
        most / to_f64(samples as u64)
    }

    /// Whether clients were seen waiting twice in a row.
    fn waited(&self) -> bool {
        let waits = |seen: &Seen| seen.waiting > 0;
        self.samples.iter().zip(self.samples.iter().skip(1)).any(|(one, next)| waits(one) && waits(next))
    }
}

/// What a size should become, given what was seen since it began; `None`: it stays.
#[must_use]
pub fn decide(window: &Window, size: Size, bounds: Bounds) -> Option<Change> {
    let last = window.last().copied();
    let change = |to, reason| {
        let (cores, waiting) = last.map_or((0.0, 0), |seen| (seen.cores, seen.waiting));
        Some(Change { to, reason, cores, waiting })
    };
    let allowed = size.cu.clamp(bounds.min, bounds.max.max(bounds.min));
    if allowed != size.cu {
        return change(allowed, Reason::Bounds);
    }
    let last = last?;
    if let Some(reason) = wants_more(window, &last, size.cu) {
        let doubled = Cu::from_milli(size.cu.milli().saturating_mul(2)).min(bounds.max);
        let may = last.at.saturating_sub(size.since) >= DOUBLE_EVERY;
        return if may && doubled > size.cu { change(doubled, reason) } else { None };
    }
    let smaller = fits(window, &last, size, bounds.min)?;
    change(smaller, Reason::Idle)
}

fn wants_more(window: &Window, last: &Seen, cu: Cu) -> Option<Reason> {
    let two = window.two();
    let busy = two.is_some_and(|[a, b]| (a.cores + b.cores) / 2.0 > HIGH * cu.cores());
    if busy || last.cores >= FULL * cu.cores() {
        return Some(Reason::Cpu);
    }
    if two.is_some_and(|[a, b]| a.waiting > 0 && b.waiting > 0) {
        return Some(Reason::PoolWait);
    }
    let memory = last.memory?;
    let full = to_f64(memory.held_bytes) > MEMORY_HIGH * to_f64(cu.memory_bytes());
    (full || memory.stalled > STALLED).then_some(Reason::Memory)
}

/// The size that is enough for what was seen in the last minute, if that is smaller.
fn fits(window: &Window, last: &Seen, size: Size, min: Cu) -> Option<Cu> {
    let idle = last.cores < LOW * size.cu.cores();
    if size.cu <= min || !idle || last.at.saturating_sub(size.since) < window.idle_for {
        return None;
    }
    let covered = window
        .samples
        .front()
        .is_some_and(|first| last.at.saturating_sub(first.at) + 2 * SAMPLE_EVERY >= window.idle_for);
    let peak = window.peak(SECOND);
    if !covered || peak >= LOW * size.cu.cores() || window.waited() {
        return None;
    }
    let held = window.memory.map_or(0, |memory| memory.held_bytes);
    // Short peaks fit too, or the first one would take it back.
    let needed = [
        peak / FITS,
        window.peak(2) / (HIGH - SPARE),
        window.peak(1) / (FULL - SPARE),
        to_f64(held) / MEMORY_FITS / to_f64(MEMORY_PER_CU),
    ];
    let needed = Cu::nearest(needed.into_iter().fold(0.0, f64::max)).milli().div_ceil(STEP) * STEP;
    let smaller = Cu::from_milli(needed).max(min);
    // A small step is not worth that the next load begins with less.
    let half = size.cu.milli().div_ceil(2 * STEP) * STEP;
    let is_worth_it = smaller == min || smaller.milli() <= half;
    is_worth_it.then_some(smaller)
}

#[allow(clippy::cast_precision_loss, reason = "bytes of memory are far below 2^52")]
fn to_f64(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests;
