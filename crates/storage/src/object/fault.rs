//! A store that misbehaves on purpose, for tests and for torture of the whole product.
//!
//! ```text
//! DORMOUSE_STORE_FAULTS="seed=1,latency=20ms,error=1%,truncate=1%,timeout_after_success=1%,stale_list=1%,corrupt=0.1%"
//! ```
//!
//! It wraps a backend. What happens to the n-th request of a kind follows from the seed, the kind and n
//! alone, so a run with one writer repeats exactly, and one with many repeats in kind. A plan can be
//! exchanged while the store is in use ([`FaultHandle::set`]), and everything injected is counted.

mod backend;
mod plan;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use object_store::ObjectStore;
use parking_lot::RwLock;

pub use plan::{Chance, FaultPlan};

/// The environment variable that switches faults on.
pub const VARIABLE: &str = "DORMOUSE_STORE_FAULTS";

/// What can be injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request fails and has done nothing.
    Error,
    /// The request was carried out, and its answer is an error.
    AfterSuccess,
    /// A body ends early.
    Truncated,
    /// One bit of a body is flipped.
    Corrupt,
    /// A listing does not show what was written lately.
    StaleList,
}

const KINDS: usize = 5;

/// The kinds of requests that are counted and decided on separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    Put,
    Get,
    List,
    Delete,
}

#[derive(Debug, Default)]
struct Shared {
    plan: RwLock<FaultPlan>,
    /// Requests so far, by [`Request`].
    requests: [AtomicU64; 4],
    /// Injected so far, by [`Fault`].
    injected: [AtomicU64; KINDS],
}

/// Switches and counters of a [`FaultStore`]. Clones are the same switch.
#[derive(Debug, Clone, Default)]
pub struct FaultHandle {
    shared: Arc<Shared>,
}

impl FaultHandle {
    /// Exchanges the plan; requests that begin later follow it.
    pub fn set(&self, plan: FaultPlan) {
        *self.shared.plan.write() = plan;
    }

    /// Ends all faults.
    pub fn clear(&self) {
        self.set(FaultPlan::default());
    }

    /// The plan now.
    #[must_use]
    pub fn plan(&self) -> FaultPlan {
        self.shared.plan.read().clone()
    }

    /// How often this fault was injected.
    #[must_use]
    pub fn injected(&self, fault: Fault) -> u64 {
        self.shared.injected[fault as usize].load(Ordering::Relaxed)
    }

    /// All requests so far: puts, gets, lists, deletes.
    #[must_use]
    pub fn requests(&self) -> [u64; 4] {
        self.shared.requests.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    /// Begins a request: its dice, and the plan that it follows.
    fn begin(&self, request: Request) -> (Dice, FaultPlan) {
        let plan = self.plan();
        let n = self.shared.requests[request as usize].fetch_add(1, Ordering::Relaxed);
        (Dice::new(plan.seed, request as u64, n), plan)
    }

    /// Throws the dice for a fault, and counts it when it is to happen.
    fn strikes(&self, dice: &mut Dice, fault: Fault, chance: Chance) -> bool {
        let strikes = dice.strikes(chance);
        if strikes {
            self.shared.injected[fault as usize].fetch_add(1, Ordering::Relaxed);
        }
        strikes
    }
}

/// A short sequence of numbers that follows from where it begins (SplitMix64).
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn new(seed: u64, kind: u64, n: u64) -> Self {
        let mut dice = Self(seed ^ (kind << 56) ^ n.wrapping_mul(0xD134_2543_DE82_EF95));
        dice.next();
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    fn strikes(&mut self, chance: Chance) -> bool {
        self.below(Chance::ALWAYS) < chance.0
    }
}

/// The misbehaving store.
#[derive(Debug)]
pub struct FaultStore {
    inner: Arc<dyn ObjectStore>,
    handle: FaultHandle,
}

impl FaultStore {
    /// Wraps a backend.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>, plan: FaultPlan) -> Self {
        let handle = FaultHandle::default();
        handle.set(plan);
        Self { inner, handle }
    }

    /// The switches and counters.
    #[must_use]
    pub fn handle(&self) -> FaultHandle {
        self.handle.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_faults() {
        let run = |seed| -> Vec<bool> {
            (0..200).map(|n| Dice::new(seed, 1, n).strikes("10%".parse().unwrap())).collect()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        let hits = run(7).into_iter().filter(|hit| *hit).count();
        assert!((8..35).contains(&hits), "{hits} of 200 at 10 %");
    }
}
