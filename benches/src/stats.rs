//! From single measurements to what is said about them.

use std::time::Duration;

use crate::report::Row;

/// Single measurements of one thing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series(Vec<Duration>);

impl Series {
    /// Adds a measurement.
    pub(crate) fn push(&mut self, value: Duration) {
        self.0.push(value);
    }

    /// The value that `share` (0 to 1) of the measurements do not exceed, by nearest rank, in
    /// milliseconds; 0 without measurements.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).map_or(0.0, |value| value.as_secs_f64() * 1000.0)
    }

    /// The median, milliseconds.
    pub(crate) fn p50(&self) -> f64 {
        self.quantile(0.50)
    }

    /// The 99th percentile, milliseconds.
    pub(crate) fn p99(&self) -> f64 {
        self.quantile(0.99)
    }

    /// A row of a table: this series, beside its baseline.
    pub(crate) fn row(&self, what: &str, baseline: Option<(&str, &Series)>) -> Row {
        Row {
            what: what.to_owned(),
            unit: "ms",
            figures: vec![
                ("n", self.0.len() as f64),
                ("min", self.quantile(0.0)),
                ("p50", self.p50()),
                ("p95", self.quantile(0.95)),
                ("p99", self.p99()),
                ("max", self.quantile(1.0)),
            ],
            baseline: baseline.map(|(name, _)| name.to_owned()),
            ratio: baseline.and_then(|(_, other)| ratio(self.p50(), other.p50())),
        }
    }
}

impl Extend<Duration> for Series {
    fn extend<T: IntoIterator<Item = Duration>>(&mut self, values: T) {
        self.0.extend(values);
    }
}

/// One figure in terms of another; nothing when that is zero.
pub(crate) fn ratio(value: f64, baseline: f64) -> Option<f64> {
    (baseline > 0.0).then(|| value / baseline)
}

/// The middle one of some figures (the mean of the two in the middle), 0 without any.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.len(), sorted.len() / 2) {
        (0, _) => 0.0,
        (len, half) if len % 2 == 1 => sorted[half],
        (_, half) => f64::midpoint(sorted[half - 1], sorted[half]),
    }
}

/// How sure one wants to be that the true median is in a range.
const SURE: f64 = 0.9;

/// A figure of several rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    /// The middle one of all.
    pub(crate) median: f64,
    /// What holds the true median, the one of ever more rounds, nine times in ten. Less than five rounds cannot tell.
    pub(crate) range: Option<[f64; 2]>,
}

impl Spread {
    /// Of single figures, nothing assumed about how they are distributed: each is above the true median as likely as
    /// below it, so how many are above is a number of heads. Leaving out `k` on either side leaves a range that misses
    /// it when there are at most `k` heads, or tails.
    pub(crate) fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        // Throws with exactly, and then with at most, so many heads, of 2^count.
        let mut exactly = 0.5_f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
        let (mut at_most, mut range) = (0.0, None);
        for k in 0..count / 2 {
            at_most += exactly;
            if 1.0 - 2.0 * at_most < SURE {
                break;
            }
            range = Some([sorted[k], sorted[count - 1 - k]]);
            exactly *= (count - k) as f64 / (k + 1) as f64;
        }
        Self { median: median(values), range }
    }
}

impl From<f64> for Spread {
    /// A figure that has no rounds.
    fn from(value: f64) -> Self {
        Self { median: value, range: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(values: impl IntoIterator<Item = u64>) -> Series {
        let mut series = Series::default();
        series.extend(values.into_iter().map(Duration::from_millis));
        series
    }

    #[test]
    fn quantiles_are_real_measurements() {
        let hundred = series((1..=100).rev());
        assert_eq!((hundred.quantile(0.0), hundred.p50(), hundred.p99()), (1.0, 50.0, 99.0));
        assert_eq!(hundred.quantile(1.0), 100.0);
        assert_eq!(series([7]).p99(), 7.0);
        assert_eq!(series([]).p50(), 0.0);
    }

    #[test]
    fn a_row_compares_medians() {
        let row = series([30, 40, 50]).row("x", Some(("y", &series([10, 20, 90]))));
        assert_eq!(row.ratio, Some(2.0));
        assert_eq!(series([1]).row("x", Some(("nothing", &series([])))).ratio, None);
    }

    #[test]
    fn more_rounds_leave_more_outliers_out() {
        let range = |count: u32| Spread::of(&(1..=count).map(f64::from).collect::<Vec<_>>()).range;
        assert_eq!(range(0), None);
        assert_eq!(range(4), None);
        assert_eq!(range(5), Some([1.0, 5.0]));
        assert_eq!(range(7), Some([1.0, 7.0]));
        assert_eq!(range(8), Some([2.0, 7.0]));
        assert_eq!(range(10), Some([2.0, 9.0]));
        assert_eq!(range(20), Some([6.0, 15.0]));
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        assert_eq!(median(&[]), 0.0);
    }
}
