//! What is kept of the samples in a period: how many, their sum, the least, the greatest, and a sketch of how they are
//! distributed.
//!
//! The sketch is DDSketch (`sketches-ddsketch`): merging two of them loses nothing, so any periods and subjects can be
//! put together later, and a quantile is within 1 % of the true value whatever the values are: bytes, milliseconds or
//! dollars. A t-digest has no such bound after merges, an HDR histogram wants to know the range beforehand. Its stored
//! form is the one that DataDog's libraries for other languages read as well, behind a CRC-32C: the library takes any
//! bytes for counts, so that damaged ones must not reach it.

use dormouse_api::statistics::Statistic;
use sketches_ddsketch::DDSketch;

/// Bytes of the checksum in front of a stored sketch.
const CHECKSUM: usize = size_of::<u32>();

/// The samples of a period.
#[derive(Clone, Default)]
pub struct Summary {
    sketch: DDSketch,
}

impl std::fmt::Debug for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Summary({} samples, sum {:?})", self.count(), self.sketch.sum())
    }
}

impl Summary {
    /// Adds a value so many times. What is no number is left out.
    pub fn add(&mut self, value: f64, count: u64) {
        if value.is_finite() {
            self.sketch.add_with_count(value, count);
        }
    }

    /// Adds the samples of another one.
    pub fn merge(&mut self, other: &Self) {
        // All are made here, with one configuration; another one would be refused.
        if let Err(error) = self.sketch.merge(&other.sketch) {
            tracing::warn!(%error, "two summaries cannot be merged");
        }
    }

    /// How many samples there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.sketch.count() as u64
    }

    /// A figure about them; `None` when there are none.
    #[must_use]
    pub fn get(&self, statistic: Statistic) -> Option<f64> {
        let (minimum, maximum, sum) = (self.sketch.min()?, self.sketch.max()?, self.sketch.sum()?);
        let quantile = |q: f64| {
            // A bucket's middle may be beyond the values in it.
            self.sketch.quantile(q).ok().flatten().map(|value| value.clamp(minimum, maximum))
        };
        match statistic {
            // The same for a rounded sum.
            Statistic::Average => Some((sum / self.count() as f64).clamp(minimum, maximum)),
            Statistic::Minimum => Some(minimum),
            Statistic::Maximum => Some(maximum),
            Statistic::Sum => Some(sum),
            Statistic::P50 => quantile(0.5),
            Statistic::P95 => quantile(0.95),
            Statistic::P99 => quantile(0.99),
        }
    }

    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let sketch = self.sketch.to_java_bytes();
        [&crc32c::crc32c(&sketch).to_le_bytes()[..], &sketch].concat()
    }

    /// Reads what [`Summary::encode`] wrote; `None` when it is damaged.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (checksum, sketch) = bytes.split_first_chunk::<CHECKSUM>()?;
        if crc32c::crc32c(sketch).to_le_bytes() != *checksum {
            return None;
        }
        DDSketch::from_java_bytes(sketch).ok().map(|sketch| Self { sketch })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[f64]) -> Summary {
        let mut summary = Summary::default();
        values.iter().for_each(|value| summary.add(*value, 1));
        summary
    }

    #[test]
    fn an_empty_one_says_nothing_and_one_value_says_itself() {
        for statistic in Statistic::ALL {
            assert_eq!(Summary::default().get(statistic), None);
            assert_eq!(of(&[42.7]).get(statistic), Some(42.7), "{statistic:?}");
            assert_eq!(of(&[0.0]).get(statistic), Some(0.0), "{statistic:?}");
        }
        assert_eq!(of(&[f64::NAN, f64::INFINITY]).count(), 0);
    }

    #[test]
    fn many_zeros_are_counted_without_adding_them_one_by_one() {
        let mut waits = of(&[900.0, 1100.0]);
        waits.add(0.0, 98);
        assert_eq!((waits.count(), waits.get(Statistic::P95)), (100, Some(0.0)));
        let p99 = waits.get(Statistic::P99).unwrap();
        assert!((p99 - 900.0).abs() <= 9.0, "{p99}");
    }

    proptest! {
        #[test]
        fn quantiles_are_within_one_percent_after_any_split_and_storing(
            mut values in prop::collection::vec(0.0..1e12_f64, 1..300),
            cut in 0_usize..300,
        ) {
            let cut = cut.min(values.len());
            let stored = |part: &[f64]| Summary::decode(&of(part).encode()).unwrap();
            let mut merged = stored(&values[..cut]);
            merged.merge(&stored(&values[cut..]));
            values.sort_by(f64::total_cmp);
            prop_assert_eq!(merged.count(), values.len() as u64);
            prop_assert_eq!(merged.get(Statistic::Minimum), values.first().copied());
            prop_assert_eq!(merged.get(Statistic::Maximum), values.last().copied());
            let sum: f64 = values.iter().sum();
            prop_assert!((merged.get(Statistic::Sum).unwrap() - sum).abs() <= sum * 1e-9);
            for (statistic, q) in [(Statistic::P50, 0.5), (Statistic::P95, 0.95), (Statistic::P99, 0.99)] {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 300")]
                let exact = values[(q * (values.len() - 1) as f64) as usize];
                let told = merged.get(statistic).unwrap();
                prop_assert!((told - exact).abs() <= exact * 0.0101 + 1e-9, "{statistic:?}: {told} of {exact}");
            }
        }

        #[test]
        fn damaged_bytes_are_told(
            values in prop::collection::vec(-1e12..1e12_f64, 1..20),
            place in any::<prop::sample::Index>(),
            bit in 0_u8..8,
            random in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let mut bytes = of(&values).encode();
            prop_assert!(Summary::decode(&bytes[..place.index(bytes.len())]).is_none());
            *place.get_mut(&mut bytes) ^= 1 << bit;
            prop_assert!(Summary::decode(&bytes).is_none());
            prop_assert!(Summary::decode(&random).is_none());
        }
    }
}
