//! What was used in one hour, in whole numbers, and how a time is cut into hours.

use std::ops::AddAssign;

use dormouse_base::{Cu, Timestamp};

/// Milliseconds of an hour.
pub const HOUR_MS: u64 = 3_600_000;

/// An hour (UTC), counted from 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(pub i64);

impl Hour {
    /// The one that a moment is in.
    #[must_use]
    pub fn of(at: Timestamp) -> Self {
        Self(at.as_second().div_euclid(3600))
    }

    /// Its first second, counted from 1970.
    #[must_use]
    pub fn start(self) -> i64 {
        self.0.saturating_mul(3600)
    }
}

/// What clients sent, got and asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes that they got.
    pub egress: u64,
    /// Bytes that they sent.
    pub ingress: u64,
    /// Statements.
    pub queries: u64,
}

impl Traffic {
    /// Whether there was none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What was used. Sums of these never round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gain {
    /// Active, milliseconds.
    pub active_ms: u64,
    /// The same, each as often as the size had thousandths of a compute unit.
    pub milli_cu_ms: u64,
    /// Paused, milliseconds.
    pub paused_ms: u64,
    /// Bytes of data, each as often as it was there for a millisecond.
    pub storage_byte_ms: u128,
    /// The same of the past.
    pub history_byte_ms: u128,
    /// Clients.
    pub traffic: Traffic,
    /// Bytes of WAL that were written.
    pub written: u64,
    /// How often it became active.
    pub wakes: u64,
}

impl Gain {
    /// So much time at a size.
    #[must_use]
    pub fn active(ms: u64, cu: Cu) -> Self {
        Self { active_ms: ms, milli_cu_ms: ms.saturating_mul(u64::from(cu.milli())), ..Self::default() }
    }

    /// So much time asleep, with memory.
    #[must_use]
    pub fn paused(ms: u64) -> Self {
        Self { paused_ms: ms, ..Self::default() }
    }

    /// So much time with these bytes.
    #[must_use]
    pub fn stored(ms: u64, storage: u64, history: u64) -> Self {
        let times = |bytes: u64| u128::from(bytes) * u128::from(ms);
        Self { storage_byte_ms: times(storage), history_byte_ms: times(history), ..Self::default() }
    }
}

impl AddAssign for Gain {
    fn add_assign(&mut self, more: Self) {
        self.active_ms = self.active_ms.saturating_add(more.active_ms);
        self.milli_cu_ms = self.milli_cu_ms.saturating_add(more.milli_cu_ms);
        self.paused_ms = self.paused_ms.saturating_add(more.paused_ms);
        self.storage_byte_ms = self.storage_byte_ms.saturating_add(more.storage_byte_ms);
        self.history_byte_ms = self.history_byte_ms.saturating_add(more.history_byte_ms);
        self.traffic.egress = self.traffic.egress.saturating_add(more.traffic.egress);
        self.traffic.ingress = self.traffic.ingress.saturating_add(more.traffic.ingress);
        self.traffic.queries = self.traffic.queries.saturating_add(more.traffic.queries);
        self.written = self.written.saturating_add(more.written);
        self.wakes = self.wakes.saturating_add(more.wakes);
    }
}

/// Cuts the `ms` milliseconds before `end` into hours, the last one first.
pub fn by_hour(end: Timestamp, ms: u64) -> impl Iterator<Item = (Hour, u64)> {
    let mut at = end.as_millisecond();
    let mut left = ms;
    std::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        // The hour of the millisecond before `at`.
        let hour = (at - 1).div_euclid(HOUR_MS.cast_signed());
        let inside = (at - hour * HOUR_MS.cast_signed()).unsigned_abs().min(left);
        at -= inside.cast_signed();
        left -= inside;
        Some((Hour(hour), inside))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_cut_at_full_hours() {
        let end: Timestamp = "1970-01-01T02:00:00.5Z".parse().unwrap();
        assert_eq!(by_hour(end, 500).collect::<Vec<_>>(), [(Hour(2), 500)]);
        assert_eq!(by_hour(end, 501).collect::<Vec<_>>(), [(Hour(2), 500), (Hour(1), 1)]);
        let all: Vec<_> = by_hour(end, 2 * HOUR_MS).collect();
        assert_eq!(all, [(Hour(2), 500), (Hour(1), HOUR_MS), (Hour(0), HOUR_MS - 500)]);
        let whole: Timestamp = "1970-01-01T02:00:00Z".parse().unwrap();
        assert_eq!(by_hour(whole, 7).collect::<Vec<_>>(), [(Hour(1), 7)]);
        let before: Timestamp = "1969-12-31T23:00:00.001Z".parse().unwrap();
        assert_eq!(by_hour(before, 2).collect::<Vec<_>>(), [(Hour(-1), 1), (Hour(-2), 1)]);
        assert_eq!(by_hour(whole, 0).count(), 0);
    }
}
