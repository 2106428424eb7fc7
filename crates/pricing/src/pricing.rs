//! The price sheets of a server: the built-in ones and the user's own, and which one is meant by default.

use std::collections::BTreeSet;

use crate::bill::Bill;
use crate::money::{Money, Quantity};
use crate::sheet::{Compute, Sheet, builtin};
use crate::usage::{MONTH_SECONDS, Usage};

/// All sheets that can be asked for.
#[derive(Debug, Clone)]
pub struct Pricing {
    sheets: Vec<Sheet>,
    default: usize,
}

impl Default for Pricing {
    /// The built-in sheets.
    fn default() -> Self {
        Self::new(Vec::new(), None)
    }
}

impl Pricing {
    /// The user's own sheets before the built-in ones. One with the ID of another takes its place: prices that
    /// somebody brought up to date are what he means. `default` is the ID of the sheet that is meant when none is
    /// named; when it is `None` or does not exist, [`builtin::DEFAULT`].
    #[must_use]
    pub fn new(own: Vec<Sheet>, default: Option<&str>) -> Self {
        let mut seen = BTreeSet::new();
        let all = own.into_iter().chain(builtin::all());
        let sheets: Vec<Sheet> = all.filter(|sheet| seen.insert(sheet.id.clone())).collect();
        let place = |id: &str| sheets.iter().position(|sheet| sheet.id == id);
        let default = default.and_then(place).or_else(|| place(builtin::DEFAULT)).unwrap_or_default();
        Self { sheets, default }
    }

    /// Every sheet, in the order in which they are shown.
    #[must_use]
    pub fn sheets(&self) -> &[Sheet] {
        &self.sheets
    }

    /// By its ID.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&Sheet> {
        self.sheets.iter().find(|sheet| sheet.id == id)
    }

    /// The one that is meant when none is named.
    #[must_use]
    pub fn default_sheet(&self) -> &Sheet {
        &self.sheets[self.default]
    }

    /// What a usage costs by the default sheet, fees and allowances included: for budgets.
    #[must_use]
    pub fn spend(&self, usage: &Usage) -> Money {
        self.default_sheet().total(usage)
    }

    /// The bill of a usage by the default sheet.
    #[must_use]
    pub fn bill(&self, usage: &Usage) -> Bill {
        self.default_sheet().bill(usage)
    }

    /// What an hour costs by the default sheet at this moment: a compute of so many thousandths of a CU
    /// (0 = it sleeps) and so many bytes. Without fees and allowances: it is a rate, not a bill.
    #[must_use]
    pub fn per_hour(&self, milli_cu: u64, storage_bytes: u64) -> Money {
        self.default_sheet().per_hour(milli_cu, storage_bytes)
    }
}

impl Sheet {
    /// What an hour costs, as [`Pricing::per_hour`].
    #[must_use]
    pub fn per_hour(&self, milli_cu: u64, storage_bytes: u64) -> Money {
        let awake = milli_cu > 0 || !self.compute.sleep().sleeps;
        let compute = match &self.compute {
            _ if !awake => Money::ZERO,
            Compute::Capacity(capacity) => {
                let units = capacity.units_per_cu.times(milli_cu);
                let counted = units.max(u128::from(capacity.minimum_units.milli()));
                Quantity { counted, unit: 1_000 }.at(capacity.price)
            }
            Compute::Sizes(sizes) => {
                let (at, counted) = crate::bill::machine(&sizes.sizes, milli_cu);
                Quantity { counted, unit: 1 }.at(sizes.sizes[at].price)
            }
        };
        let storage = self.storage.as_ref().map_or(Money::ZERO, |storage| {
            let month_hours = u128::from(MONTH_SECONDS / 3_600);
            let unit = u128::from(storage.unit.bytes()) * month_hours;
            Quantity { counted: storage_bytes.into(), unit }.at(storage.price.first_paid())
        });
        compute + storage
    }
}

#[cfg(test)]
mod tests;
