//! A price that may depend on how much is bought: `price = 0.35`, or steps:
//! `price = [{ up_to = 100, price = 0 }, { price = 0.10 }]`.
//!
//! Steps are marginal, as all providers count: the first 100 GB at one price, what comes after at the next.
//! They are checked where they are written, so that the error names their line.

use std::fmt;

use serde::Deserialize;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, Deserializer, IntoDeserializer, SeqAccess, Visitor};

use crate::money::Fixed;

/// The most steps.
const MAX_TIERS: usize = 16;

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// Where it ends, counted from nothing; `None` = never.
    pub up_to: Option<Fixed>,
    /// The price of one within it.
    pub price: Fixed,
}

/// Prices by amount; the last step has no end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tiers(Vec<Tier>);

impl Tiers {
    /// From the first to the last.
    #[must_use]
    pub fn steps(&self) -> &[Tier] {
        &self.0
    }

    /// What one costs for who has used up what costs nothing: the first price that is not 0.
    #[must_use]
    pub fn first_paid(&self) -> Fixed {
        self.0.iter().map(|tier| tier.price).find(|price| *price > Fixed::ZERO).unwrap_or_default()
    }

    pub(crate) fn one(price: Fixed) -> Self {
        Self(vec![Tier { up_to: None, price }])
    }
}

impl<'de> Deserialize<'de> for Tiers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

struct Written;

impl<'de> Visitor<'de> for Written {
    type Value = Tiers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a price, or a list of { up_to, price }")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Tiers, E> {
        Fixed::deserialize(number.into_deserializer()).map(Tiers::one)
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Tiers, E> {
        Fixed::deserialize(number.into_deserializer()).map(Tiers::one)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Tiers, E> {
        Fixed::deserialize(text.into_deserializer()).map(Tiers::one)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Tiers, A::Error> {
        let tiers = Vec::<Tier>::deserialize(SeqAccessDeserializer::new(list))?;
        check(&tiers).map_err(de::Error::custom)?;
        Ok(Tiers(tiers))
    }
}

fn check(tiers: &[Tier]) -> Result<(), String> {
    if tiers.len() > MAX_TIERS {
        return Err(format!("there are more than {MAX_TIERS} steps"));
    }
    let Some((last, before)) = tiers.split_last() else { return Err("there is no price".to_owned()) };
    if last.up_to.is_some() {
        return Err("the last step must not have `up_to`: somebody will use more".to_owned());
    }
    let mut reached = Fixed::ZERO;
    for tier in before {
        match tier.up_to {
            Some(up_to) if up_to > reached => reached = up_to,
            Some(_) => return Err("`up_to` must grow from step to step".to_owned()),
            None => return Err("each step but the last needs `up_to`".to_owned()),
        }
    }
    Ok(())
}
