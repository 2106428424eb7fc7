//! How compute is sold: by capacity and time (CU-hours, ACU-hours), or as machines of fixed sizes.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use super::read;
use crate::money::Fixed;

/// One of the two ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compute {
    /// So much per unit of capacity and hour.
    Capacity(Capacity),
    /// So much per machine and hour.
    Sizes(Sizes),
}

impl Compute {
    /// What it does when nobody works.
    #[must_use]
    pub const fn sleep(&self) -> Sleep {
        match self {
            Self::Capacity(capacity) => capacity.sleep,
            Self::Sizes(sizes) => sizes.sleep,
        }
    }
}

/// Capacity that follows the load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capacity {
    /// What is sold, such as `ACU-hour`.
    pub unit: String,
    /// One of it.
    pub price: Fixed,
    /// Units of capacity in one CU (1 vCPU, 4 GiB).
    pub units_per_cu: Fixed,
    /// The least capacity while awake.
    pub minimum_units: Fixed,
    /// When it is not billed.
    pub sleep: Sleep,
}

/// Machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sizes {
    /// Each size that can be had, from small to large.
    pub sizes: Vec<Size>,
    /// When it is not billed.
    pub sleep: Sleep,
}

/// One size of machine.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// The provider's name for it.
    #[serde(deserialize_with = "read::text")]
    pub name: String,
    /// Up to how many CU it stands in for.
    #[serde(deserialize_with = "read::positive")]
    pub cu: Fixed,
    /// An hour of it.
    pub price: Fixed,
}

/// What is billed of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sleep {
    /// Whether nothing is billed while nobody works.
    pub sleeps: bool,
    /// Time is billed in whole pieces of so many seconds.
    pub billed_by_seconds: u32,
    /// Each wake is billed as at least so many seconds.
    pub minimum_seconds_per_wake: u32,
    /// After each wake it stays awake so many seconds longer than Dormouse does.
    pub extra_seconds_per_wake: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    unit: Option<String>,
    price: Option<Fixed>,
    #[serde(default, deserialize_with = "read::some_positive")]
    units_per_cu: Option<Fixed>,
    minimum_units: Option<Fixed>,
    #[serde(default, deserialize_with = "read::sizes")]
    sizes: Vec<Size>,
    sleeps: bool,
    #[serde(default = "read::one", deserialize_with = "read::piece")]
    billed_by_seconds: u32,
    #[serde(default)]
    minimum_seconds_per_wake: u32,
    #[serde(default)]
    extra_seconds_per_wake: u32,
}

impl<'de> Deserialize<'de> for Compute {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let sleep = Sleep {
            sleeps: written.sleeps,
            billed_by_seconds: written.billed_by_seconds,
            minimum_seconds_per_wake: written.minimum_seconds_per_wake,
            extra_seconds_per_wake: written.extra_seconds_per_wake,
        };
        match written.price {
            Some(_) if !written.sizes.is_empty() => {
                Err(D::Error::custom("`price` and `sizes` exclude each other"))
            }
            Some(price) => Ok(Self::Capacity(Capacity {
                unit: written.unit.unwrap_or_else(|| "CU-hour".to_owned()),
                price,
                units_per_cu: written.units_per_cu.unwrap_or(Fixed::whole(1)),
                minimum_units: written.minimum_units.unwrap_or_default(),
                sleep,
            })),
            None if written.sizes.is_empty() => Err(D::Error::custom("`price` or `sizes` is missing")),
            None if written.unit.is_some()
                || written.units_per_cu.is_some()
                || written.minimum_units.is_some() =>
            {
                let text = "`unit`, `units_per_cu` and `minimum_units` belong to `price`, not to `sizes`";
                Err(D::Error::custom(text))
            }
            None => Ok(Self::Sizes(Sizes { sizes: written.sizes, sleep })),
        }
    }
}
