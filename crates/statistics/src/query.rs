//! A question about series, and its answer.

use std::collections::BTreeMap;

use dormouse_api::statistics::{Datapoint, Statistic};
use dormouse_base::Timestamp;

use crate::subject::Key;
use crate::summary::Summary;
use crate::tier::{TIERS, choose, start_of};

/// The most rows that one question reads.
pub const MAX_READ: usize = 400_000;

/// What is asked. Times are seconds since 1970.
#[derive(Debug, Clone)]
pub struct Question {
    /// Which series.
    pub keys: Vec<Key>,
    /// The beginning.
    pub from: i64,
    /// The end.
    pub to: i64,
    /// The period, if one is wished for; see [`crate::tier::is_period`].
    pub period: Option<i64>,
    /// What is asked about each period.
    pub statistics: Vec<Statistic>,
}

/// How a question will be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// An index into [`TIERS`].
    pub tier: usize,
    /// The period, seconds.
    pub period: i64,
    /// The beginning of the first period.
    pub from: i64,
    /// The end; the last period begins before it.
    pub to: i64,
}

impl Plan {
    /// For an answer from `from` to `to`.
    #[must_use]
    pub fn of(wanted: Option<i64>, from: i64, to: i64, now: i64) -> Self {
        let (tier, period) = choose(wanted, from, to, now);
        Self { tier, period, from: start_of(from, period), to }
    }

    /// Periods of one series.
    #[must_use]
    pub fn datapoints(&self) -> usize {
        usize::try_from((self.to - self.from + self.period - 1) / self.period).unwrap_or(0)
    }

    /// Rows of one series that are read.
    #[must_use]
    pub fn rows(&self) -> usize {
        usize::try_from((self.to - self.from) / TIERS[self.tier].seconds + 1).unwrap_or(0)
    }

    /// The beginnings of the rows.
    pub fn starts(&self) -> impl Iterator<Item = i64> + use<> {
        let (from, to, seconds) = (self.from, self.to, TIERS[self.tier].seconds);
        (0..).map(move |number| from + number * seconds).take_while(move |start| *start < to)
    }

    /// Rows put together into the periods of the answer.
    #[must_use]
    pub fn gather(&self, rows: impl IntoIterator<Item = (i64, Summary)>) -> BTreeMap<i64, Summary> {
        let mut periods: BTreeMap<i64, Summary> = BTreeMap::new();
        for (start, summary) in rows {
            periods.entry(start_of(start, self.period)).or_default().merge(&summary);
        }
        periods
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// How it was answered.
    pub plan: Plan,
    /// The datapoints of each series, in the order of the question.
    pub series: Vec<(Key, Vec<Datapoint>)>,
}

/// A period as it is told.
#[must_use]
pub fn datapoint(start: i64, summary: &Summary, wanted: &[Statistic]) -> Option<Datapoint> {
    let tell = |statistic| wanted.contains(&statistic).then(|| summary.get(statistic)).flatten();
    (summary.count() > 0).then(|| Datapoint {
        timestamp: Timestamp::from_second(start).unwrap_or_default(),
        sample_count: summary.count(),
        average: tell(Statistic::Average),
        minimum: tell(Statistic::Minimum),
        maximum: tell(Statistic::Maximum),
        sum: tell(Statistic::Sum),
        p50: tell(Statistic::P50),
        p95: tell(Statistic::P95),
        p99: tell(Statistic::P99),
    })
}
