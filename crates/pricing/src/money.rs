//! Exact money: integers only, rounded once.
//!
//! A price is a whole number of billionths ([`Fixed`]), a quantity is a fraction of two whole numbers
//! ([`Quantity`]: so many byte-seconds of so many in a GB-month), and their product becomes a whole number of
//! millionths ([`Money`]) when it becomes a line of a bill. That is the only rounding (half up); totals are the
//! sums of the lines that people see. Floating point would make the sum of the lines differ from the total,
//! and a decimal type would still have to round each division: integers need no crate and cannot panic.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Sub};

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// Decimal places of a [`Fixed`].
const PLACES: usize = 9;
/// One, as a [`Fixed`].
const ONE: u64 = 1_000_000_000;
/// The largest number a sheet may have: a million.
const MAX: u64 = 1_000_000 * ONE;
/// Millionths in one unit of a currency.
const MICRO: i64 = 1_000_000;
/// Billionths in a millionth.
const NANO_IN_MICRO: u128 = 1_000;

/// A number of a sheet, not negative, exact to nine decimal places: a price, a size, an allowance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fixed(u64);

impl Fixed {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// A whole number.
    #[must_use]
    pub const fn whole(number: u32) -> Self {
        Self(number as u64 * ONE)
    }

    /// In billionths.
    #[must_use]
    pub const fn nano(self) -> u64 {
        self.0
    }

    /// In thousandths, rounded down.
    #[must_use]
    pub const fn milli(self) -> u64 {
        self.0 / 1_000_000
    }

    /// For people and JSON.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "at most 15 digits are ever shown")]
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / ONE as f64
    }

    /// So many times something that is counted in whole `each`, rounded up.
    #[must_use]
    pub(crate) const fn times(self, each: u64) -> u128 {
        (self.0 as u128 * each as u128).div_ceil(ONE as u128)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let refused = |why: &str| format!("`{text}` {why}");
        if text.starts_with('-') {
            return Err(refused("is negative"));
        }
        let (whole, part) = text.split_once('.').unwrap_or((text, ""));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !(part.is_empty() && !text.ends_with('.') || digits(part)) {
            return Err(refused("is not a decimal number"));
        }
        if part.len() > PLACES {
            return Err(refused("has more than nine decimal places"));
        }
        let whole: u64 = whole.parse().map_err(|_| refused("is too large"))?;
        let part: u64 = format!("{part:0<PLACES$}").parse().map_err(|_| refused("is too large"))?;
        let all = whole.checked_mul(ONE).and_then(|all| all.checked_add(part)).filter(|all| *all <= MAX);
        all.map(Self).ok_or_else(|| refused("is more than a million"))
    }
}

impl fmt::Display for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / ONE, self.0 % ONE);
        let part = format!("{part:09}");
        match part.trim_end_matches('0') {
            "" => write!(f, "{whole}"),
            part => write!(f, "{whole}.{part}"),
        }
    }
}

impl<'de> Deserialize<'de> for Fixed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

/// `0.106` or `"0.106"`: the shortest decimal of a binary number is what its author wrote.
struct Written;

impl Visitor<'_> for Written {
    type Value = Fixed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number from 0 to a million, with at most nine decimal places")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Fixed, E> {
        Fixed::parse(&number.to_string()).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Fixed, E> {
        Fixed::parse(&number.to_string()).map_err(E::custom)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Fixed, E> {
        Fixed::parse(&number.to_string()).map_err(E::custom)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Fixed, E> {
        Fixed::parse(text).map_err(E::custom)
    }
}

/// How much of something, as an exact fraction: `counted` of `unit` that make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quantity {
    /// Counted, in the small unit.
    pub(crate) counted: u128,
    /// Small units in one of what is sold. Not 0.
    pub(crate) unit: u128,
}

impl Quantity {
    /// Times a price: the one place where money is rounded (half up, to a millionth).
    pub(crate) fn at(self, price: Fixed) -> Money {
        let (whole, rest) = (self.counted / self.unit, self.counted % self.unit);
        let price = u128::from(price.nano());
        // Whole units first, so that a large count times a price cannot overflow.
        let nano = whole.saturating_mul(price);
        let (micro, nano) = (nano / NANO_IN_MICRO, nano % NANO_IN_MICRO);
        let rest = nano.saturating_mul(self.unit).saturating_add(rest.saturating_mul(price));
        let of = self.unit.saturating_mul(NANO_IN_MICRO);
        let rounded = rest.saturating_add(of / 2) / of;
        Money(i64::try_from(micro.saturating_add(rounded)).unwrap_or(i64::MAX))
    }

    /// For people and JSON: nine decimal places.
    #[allow(clippy::cast_precision_loss, reason = "for show only")]
    pub(crate) fn to_f64(self) -> f64 {
        let (whole, rest) = (self.counted / self.unit, self.counted % self.unit);
        let exact = whole as f64 + rest as f64 / self.unit as f64;
        (exact * 1e9).round() / 1e9
    }
}

/// An amount of money, in millionths of the currency of its sheet. Negative only for a credit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i64);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// From millionths.
    #[must_use]
    pub const fn from_micro(micro: i64) -> Self {
        Self(micro)
    }

    /// In millionths.
    #[must_use]
    pub const fn micro(self) -> i64 {
        self.0
    }

    /// For JSON, exact to the millionth up to nine thousand million.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "an amount with more digits is no bill")]
    pub fn to_f64(self) -> f64 {
        self.0 as f64 / MICRO as f64
    }
}

impl From<Fixed> for Money {
    fn from(price: Fixed) -> Self {
        Quantity { counted: 1, unit: 1 }.at(price)
    }
}

impl Add for Money {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Money {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::ZERO, Add::add)
    }
}

/// With two decimal places, rounded half away from zero: for people only.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cents = (self.0.unsigned_abs() + 5_000) / 10_000;
        let sign = if self.0 < 0 && cents > 0 { "-" } else { "" };
        write!(f, "{sign}{}.{:02}", cents / 100, cents % 100)
    }
}

#[cfg(test)]
mod tests;
