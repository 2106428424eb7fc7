//! What a filer tells of itself, at any moment.

use dormouse_base::Lsn;
use dormouse_base::clock::Mono;

use super::Limits;
use crate::wal::reader::Invalid;

/// Gaps that are remembered; more than this in one run means that nothing works, which is told by the others.
pub(super) const MAX_GAPS: usize = 64;

/// WAL that was gone before it could be filed. The history of the branch has a hole there: the caller must take
/// a snapshot from the running compute, and points between the last snapshot and that one are lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The first byte that is missing.
    pub from: Lsn,
    /// The first byte that is there again.
    pub to: Lsn,
}

/// The state of a filer.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// Every byte before this one is in the store (except in `gaps`).
    pub filed: Lsn,
    /// The compute was at least here when it was asked last.
    pub flushed: Lsn,
    /// Since when something waits to be filed.
    pub behind_since: Option<Mono>,
    /// Time of the last commit that is filed, microseconds since 2000-01-01; 0 = none.
    pub last_commit: u64,
    /// What is missing, oldest first.
    pub gaps: Vec<Gap>,
    /// The last place where the WAL was not valid. It was filed as it is; recovery would end there.
    pub invalid: Option<Invalid>,
    /// How often the slot was found lost.
    pub slot_losses: u32,
    /// The compute's WAL is shorter than what is filed, or another one: its disk lost what it had acknowledged, or
    /// went back to an earlier state. Nothing is filed any more, because other bytes would follow. It stays so.
    pub diverged: bool,
    /// What failed last, with its causes; `None` when the last try went well.
    pub problem: Option<String>,
    /// Pieces that were filed.
    pub pieces: u64,
    /// Bytes that were filed, plain.
    pub plain_bytes: u64,
    /// Bytes that were filed, as stored.
    pub stored_bytes: u64,
}

impl Status {
    /// The first gap behind the position at which a replay would begin.
    #[must_use]
    pub fn gap_behind(&self, redo: Lsn) -> Option<Gap> {
        self.gaps.iter().find(|gap| gap.to > redo).copied()
    }

    /// Bytes that are flushed but not filed, as of the last question.
    #[must_use]
    pub fn lag_bytes(&self) -> u64 {
        self.flushed.since(self.filed)
    }

    /// How long something has been waiting, in seconds.
    #[must_use]
    pub fn lag_seconds(&self) -> f64 {
        self.behind_since.map_or(0.0, |since| since.elapsed().as_secs_f64())
    }

    /// Whether somebody should be told: the lag is over a limit, or something was lost.
    #[must_use]
    pub fn alarm(&self, limits: &Limits) -> Option<&'static str> {
        if self.diverged {
            return Some("the compute's WAL is not the one that was filed");
        }
        if !self.gaps.is_empty() {
            return Some("WAL was gone before it could be filed");
        }
        if self.invalid.is_some() {
            return Some("the compute wrote WAL that is not valid");
        }
        let late = self.lag_seconds() > limits.alarm_age.as_secs_f64();
        let long = self.lag_bytes() > limits.alarm_bytes;
        (late || long).then_some("filing WAL lags behind")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_counts_from_where_a_replay_would_begin() {
        let gap = |from, to| Gap { from: Lsn(from), to: Lsn(to) };
        let status = Status { gaps: vec![gap(10, 20), gap(50, 60)], ..Status::default() };
        assert_eq!(status.gap_behind(Lsn(20)), Some(gap(50, 60)));
        assert_eq!(status.gap_behind(Lsn(55)), Some(gap(50, 60)), "a part of it is needed");
        assert_eq!(status.gap_behind(Lsn(60)), None);
    }
}
