//! How long clients waited for a backend: a few fixed buckets, in the shape that Prometheus wants.

use std::time::Duration;

use super::counters::micros;

/// Upper ends of the buckets, in microseconds; one more is for all that is longer. From "there was one idle"
/// over "one was opened" to "the endpoint woke" and "something is wrong".
pub const BOUNDS: [u64; 10] =
    [100, 500, 1_000, 5_000, 20_000, 100_000, 500_000, 2_000_000, 10_000_000, 60_000_000];

/// Waits by length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Histogram {
    counts: [u64; BOUNDS.len() + 1],
    sum: u64,
}

impl Histogram {
    /// Counts one wait.
    pub fn record(&mut self, wait: Duration) {
        let wait = micros(wait);
        self.counts[BOUNDS.partition_point(|bound| *bound < wait)] += 1;
        self.sum += wait;
    }

    /// Adds another pool's waits.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.sum += other.sum;
    }

    /// How many waits were not longer than each bound, in order; the last is all of them.
    #[must_use]
    pub fn cumulative(&self) -> [u64; BOUNDS.len() + 1] {
        let mut total = 0;
        self.counts.map(|count| {
            total += count;
            total
        })
    }

    /// All waits together, in microseconds.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_inclusive_and_nothing_is_lost() {
        let mut waits = Histogram::default();
        for wait in [0, 100, 101, 60_000_000, 60_000_001] {
            waits.record(Duration::from_micros(wait));
        }
        let counts = waits.cumulative();
        assert_eq!((counts[0], counts[1], counts[9], counts[10]), (2, 3, 4, 5));
        assert_eq!(waits.sum(), 120_000_202);
        let mut twice = waits;
        twice.add(&waits);
        assert_eq!((twice.cumulative()[10], twice.sum()), (10, 240_000_404));
    }
}
