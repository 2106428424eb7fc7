//! The what-if calculator: a month that somebody describes, turned into a [`Usage`].

use crate::usage::{Database, Period, Usage};

/// The longest month: 31 days with an hour put in.
pub const MAX_HOURS: f64 = 745.0;
/// The largest size, CU.
pub const MAX_CU: f64 = 10_000.0;
/// The most GB, or millions of requests, of anything.
pub const MAX_AMOUNT: f64 = 1e9;
/// The most wakes.
pub const MAX_WAKES: u32 = 100_000_000;

/// Bytes of a GB in what somebody describes. A sheet that sells GiB converts.
const GB: f64 = 1e9;

/// A month of one database.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Hours with work in them.
    pub hours_active: f64,
    /// Hours of the month.
    pub hours_in_month: f64,
    /// The mean size while active, CU.
    pub average_cu: f64,
    /// The largest size, CU: what providers of fixed sizes are asked for.
    pub peak_cu: f64,
    /// Data, GB (10⁹ bytes).
    pub storage_gb: f64,
    /// History for restores, GB.
    pub history_gb: f64,
    /// Reads and writes of storage, millions.
    pub io_million: f64,
    /// Sent to clients, GB.
    pub egress_gb: f64,
    /// How often it wakes.
    pub wakes: u64,
}

/// What is described cannot be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EstimateError {
    /// A number out of its range.
    #[error("`{field}` must be a number from {least} to {most}")]
    Range {
        /// Which.
        field: &'static str,
        /// The least.
        least: f64,
        /// The most.
        most: f64,
    },
    /// More active hours than hours.
    #[error("`hours_active` is more than `hours_in_month`")]
    TooActive,
    /// A peak below the mean.
    #[error("`peak_cu` is less than `average_cu`")]
    Peak,
}

impl Estimate {
    /// What it uses, to the second, thousandth of a CU and byte.
    ///
    /// # Errors
    /// When a number is out of its range, or two contradict each other.
    pub fn usage(&self) -> Result<Usage, EstimateError> {
        let hours = within("hours_in_month", self.hours_in_month, (1.0, MAX_HOURS))?;
        let active = within("hours_active", self.hours_active, (0.0, MAX_HOURS))?;
        let average = within("average_cu", self.average_cu, (0.0, MAX_CU))?;
        let peak = within("peak_cu", self.peak_cu, (0.0, MAX_CU))?;
        if self.wakes > u64::from(MAX_WAKES) {
            return Err(EstimateError::Range { field: "wakes", least: 0.0, most: f64::from(MAX_WAKES) });
        }
        if active > hours {
            return Err(EstimateError::TooActive);
        }
        if peak < average {
            return Err(EstimateError::Peak);
        }
        let month_seconds = whole(hours * 3600.0);
        let active_seconds = whole(active * 3600.0).min(month_seconds);
        let held = |field, gb| -> Result<u128, EstimateError> {
            let gb = within(field, gb, (0.0, MAX_AMOUNT))?;
            Ok(u128::from(whole(gb * GB)) * u128::from(month_seconds))
        };
        let database = Database {
            exists_seconds: month_seconds,
            active_seconds,
            milli_cu_seconds: u128::from(whole(average * 1e3)) * u128::from(active_seconds),
            peak_milli_cu: Some(whole(peak * 1e3)),
            storage_byte_seconds: held("storage_gb", self.storage_gb)?,
            history_byte_seconds: held("history_gb", self.history_gb)?,
            egress_bytes: whole(within("egress_gb", self.egress_gb, (0.0, MAX_AMOUNT))? * GB),
            io_requests: Some(whole(within("io_million", self.io_million, (0.0, MAX_AMOUNT))? * 1e6)),
            wakes: self.wakes,
        };
        Ok(Usage::of(Period { seconds: month_seconds, month_seconds }, database))
    }
}

fn within(field: &'static str, number: f64, (least, most): (f64, f64)) -> Result<f64, EstimateError> {
    if (least..=most).contains(&number) {
        Ok(number)
    } else {
        Err(EstimateError::Range { field, least, most })
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range: see `within`")]
fn whole(number: f64) -> u64 {
    number.round() as u64
}

#[cfg(test)]
mod tests {
    use super::{Estimate, EstimateError};
    use crate::usage::Database;

    const QUIET: Estimate = Estimate {
        hours_active: 7.3,
        hours_in_month: 730.0,
        average_cu: 0.5,
        peak_cu: 1.0,
        storage_gb: 10.0,
        history_gb: 0.25,
        io_million: 1.5,
        egress_gb: 0.001,
        wakes: 60,
    };

    #[test]
    fn a_month_is_counted_in_whole_small_units() {
        let usage = QUIET.usage().expect("it can be");
        let database = Database {
            exists_seconds: 2_628_000,
            active_seconds: 26_280,
            milli_cu_seconds: 13_140_000,
            peak_milli_cu: Some(1_000),
            storage_byte_seconds: 26_280_000_000_000_000,
            history_byte_seconds: 657_000_000_000_000,
            egress_bytes: 1_000_000,
            io_requests: Some(1_500_000),
            wakes: 60,
        };
        assert_eq!(usage.projects[0].databases, [database]);
        assert_eq!((usage.period.seconds, usage.period.month_seconds), (2_628_000, 2_628_000));
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_name() {
        let refused = |estimate: Estimate| estimate.usage().expect_err("refused").to_string();
        assert_eq!(
            refused(Estimate { storage_gb: -1.0, ..QUIET }),
            "`storage_gb` must be a number from 0 to 1000000000"
        );
        assert_eq!(
            refused(Estimate { wakes: u64::MAX, ..QUIET }),
            "`wakes` must be a number from 0 to 100000000"
        );
        assert!(refused(Estimate { average_cu: f64::NAN, ..QUIET }).contains("`average_cu`"));
        assert!(refused(Estimate { hours_in_month: 0.0, ..QUIET }).contains("`hours_in_month`"));
        assert!(refused(Estimate { egress_gb: f64::INFINITY, ..QUIET }).contains("`egress_gb`"));
        assert_eq!(Estimate { hours_active: 731.0, ..QUIET }.usage(), Err(EstimateError::TooActive));
        assert_eq!(Estimate { peak_cu: 0.4, ..QUIET }.usage(), Err(EstimateError::Peak));
    }
}
