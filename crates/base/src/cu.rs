//! The size of a compute.
//!
//! One compute unit (CU) is one processor and 4 GiB of memory. Sizes are kept in thousandths, so that
//! adding them up never rounds; people and JSON see a number such as `0.25`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Memory of one compute unit, bytes.
pub const MEMORY_PER_CU: u64 = 4 << 30;

/// A size in compute units, at least [`Cu::MIN`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Cu(u32);

/// A number that is not a size.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{0} is not a size: use compute units from 0.25 to 64")]
pub struct NotASize(pub f64);

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Cu {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Cu".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "number", "minimum": 0.25, "maximum": 64.0, "examples": [0.25, 2.0] })
    }
}

impl Cu {
    /// The smallest size.
    pub const MIN: Cu = Cu(250);
    /// The largest size.
    pub const MAX: Cu = Cu(64_000);

    /// From thousandths; what is out of range becomes the nearest size.
    #[must_use]
    pub fn from_milli(milli: u32) -> Cu {
        Cu(milli.clamp(Self::MIN.0, Self::MAX.0))
    }

    /// Thousandths of a compute unit.
    #[must_use]
    pub fn milli(self) -> u32 {
        self.0
    }

    /// From a number, to the nearest thousandth.
    ///
    /// # Errors
    /// When it is below 0.25, above 64, or no number.
    pub fn new(units: f64) -> Result<Cu, NotASize> {
        if !(0.25..=64.0).contains(&units) {
            return Err(NotASize(units));
        }
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "250 to 64000, as checked"
        )]
        let milli = (units * 1000.0).round() as u32;
        Ok(Cu(milli))
    }

    /// From a number; what is no size becomes the nearest one.
    #[must_use]
    pub fn nearest(units: f64) -> Cu {
        if units.is_nan() { Self::MIN } else { Self::new(units.clamp(0.25, 64.0)).unwrap_or(Self::MIN) }
    }

    /// As a number.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 1000.0
    }

    /// Processors: one for each unit.
    #[must_use]
    pub fn cores(self) -> f64 {
        self.as_f64()
    }

    /// Memory, bytes.
    #[must_use]
    pub fn memory_bytes(self) -> u64 {
        u64::from(self.0) * MEMORY_PER_CU / 1000
    }
}

impl From<Cu> for f64 {
    fn from(cu: Cu) -> f64 {
        cu.as_f64()
    }
}

impl TryFrom<f64> for Cu {
    type Error = NotASize;
    fn try_from(units: f64) -> Result<Self, NotASize> {
        Self::new(units)
    }
}

impl fmt::Display for Cu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_f64(), f)
    }
}

impl fmt::Debug for Cu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} CU", self.as_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_back_and_nothing_else_is_one() {
        for (units, milli) in [(0.25, 250), (0.333, 333), (1.0, 1000), (64.0, 64_000)] {
            let cu = Cu::new(units).unwrap();
            assert_eq!((cu.milli(), cu.as_f64()), (milli, units));
        }
        for bad in [0.0, 0.24, 64.01, -1.0, f64::NAN, f64::INFINITY] {
            assert!(Cu::new(bad).is_err(), "{bad}");
        }
        assert_eq!((Cu::nearest(0.0), Cu::nearest(1e9), Cu::nearest(f64::NAN)), (Cu::MIN, Cu::MAX, Cu::MIN));
    }

    #[test]
    fn a_unit_is_a_processor_and_four_gibibytes() {
        let quarter = Cu::MIN;
        assert_eq!((quarter.memory_bytes(), quarter.to_string().as_str()), (1 << 30, "0.25"));
        assert_eq!(Cu::new(2.0).unwrap().memory_bytes(), 8 << 30);
    }
}
