//! A sheet as a list of prices, for people who want to see them.

use super::{Compute, Sheet, Tiers};
use crate::money::Fixed;

/// One price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceRow {
    /// What for.
    pub item: String,
    /// Of what.
    pub unit: String,
    /// What one costs.
    pub price: Fixed,
    /// From how many on; `None` = from the first.
    pub beyond: Option<Fixed>,
}

impl PriceRow {
    fn new(item: impl Into<String>, unit: impl Into<String>, price: Fixed) -> Self {
        Self { item: item.into(), unit: unit.into(), price, beyond: None }
    }
}

impl Sheet {
    /// Every price, in the order of a bill.
    #[must_use]
    pub fn rows(&self) -> Vec<PriceRow> {
        let mut rows = Vec::new();
        let fees = [
            ("plan", self.fees.monthly),
            ("at least", self.fees.minimum),
            ("compute credit", self.fees.compute_credit),
        ];
        rows.extend(
            fees.into_iter()
                .filter(|(_, price)| *price > Fixed::ZERO)
                .map(|(item, price)| PriceRow::new(item, "month", price)),
        );
        match &self.compute {
            Compute::Capacity(capacity) => {
                rows.push(PriceRow::new("compute", capacity.unit.clone(), capacity.price));
            }
            Compute::Sizes(sizes) => {
                let row = |size: &super::Size| {
                    PriceRow::new(format!("compute {} ({} CU)", size.name, size.cu), "hour", size.price)
                };
                rows.extend(sizes.sizes.iter().map(row));
            }
        }
        if let Some(storage) = &self.storage {
            if storage.included_per_database > Fixed::ZERO {
                let unit = format!("{} {}-month", storage.included_per_database, storage.unit.name());
                rows.push(PriceRow::new("storage, included in each database", unit, Fixed::ZERO));
            }
            steps(&mut rows, "storage", &format!("{}-month", storage.unit.name()), &storage.price);
        }
        if let Some(history) = &self.history {
            steps(&mut rows, "history", &format!("{}-month", history.unit.name()), &history.price);
        }
        if let Some(egress) = &self.egress {
            steps(&mut rows, "egress", egress.unit.name(), &egress.price);
        }
        if let Some(io) = &self.io {
            rows.push(PriceRow::new("reads and writes", "million", io.price_per_million));
        }
        if let Some(branches) = &self.branches {
            let free = Fixed::whole(branches.included_per_project);
            let row = PriceRow::new("branches of a project", "branch-month", branches.price);
            rows.push(PriceRow { beyond: Some(free), ..row });
        }
        rows
    }
}

fn steps(rows: &mut Vec<PriceRow>, item: &str, unit: &str, price: &Tiers) {
    let mut beyond = None;
    for tier in price.steps() {
        rows.push(PriceRow { beyond, ..PriceRow::new(item, unit, tier.price) });
        beyond = tier.up_to;
    }
}
