//! A bill: one sheet applied to one usage. The formula of each part is a file here.
//!
//! ```text
//!  time    seconds of each database that are billed (sleep, pieces, minimum per wake)
//!  compute capacity × time, or machines of fixed sizes; the credit
//!  held    data and history: what is held for how long; minimums, sizes, allowances, steps
//!  moved   bytes to clients, reads and writes, branches
//!  limits  what the plan does not allow: said, not billed
//! ```
//!
//! A part makes [`Line`]s, each rounded once; the total is their sum, so what people see adds up. `always on` is
//! the same sheet applied to the same usage with every compute awake all the time, at the size it had awake.

mod time;
mod compute;
mod held;
mod moved;
mod limits;

pub(crate) use compute::machine;

use crate::money::{Fixed, Money, Quantity};
use crate::sheet::{Sheet, Tiers};
use crate::usage::Usage;

/// What one sheet asks for one usage.
#[derive(Debug, Clone, PartialEq)]
pub struct Bill {
    /// What it is made of; a credit is negative.
    pub lines: Vec<Line>,
    /// The sum of the lines; never negative.
    pub total: Money,
    /// What it would be with every compute awake all the time; never less than `total`.
    pub always_on_total: Money,
    /// Whether the plan allows this use; `notes` say what goes beyond.
    pub fits: bool,
    /// What the reader must know: the sheet's notes, and those of this bill.
    pub notes: Vec<String>,
}

impl Bill {
    /// What sleeping saves.
    #[must_use]
    pub fn saving(&self) -> Money {
        self.always_on_total - self.total
    }

    /// The same as a percentage of the always-on total, to a tenth; 0 when that is nothing.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "a percentage for people")]
    pub fn saving_percent(&self) -> f64 {
        match self.always_on_total.micro() {
            0 => 0.0,
            whole => (self.saving().micro() as f64 * 1_000.0 / whole as f64).round() / 10.0,
        }
    }
}

/// One line of a bill.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// What for.
    pub item: String,
    /// How much of it, to nine decimal places; the amount was made from the exact quantity.
    pub quantity: f64,
    /// Of what.
    pub unit: String,
    /// The price of one.
    pub unit_price: Fixed,
    /// Quantity × price, rounded half up to a millionth; negative for a credit.
    pub amount: Money,
}

impl Line {
    fn new(item: impl Into<String>, quantity: Quantity, unit: impl Into<String>, unit_price: Fixed) -> Self {
        let amount = quantity.at(unit_price);
        Self { item: item.into(), quantity: quantity.to_f64(), unit: unit.into(), unit_price, amount }
    }
}

impl Sheet {
    /// What it asks for a usage.
    #[must_use]
    pub fn bill(&self, usage: &Usage) -> Bill {
        let mut notes = Vec::new();
        let lines = self.lines(usage, &mut notes);
        let fits = limits::check(self, usage, &mut notes);
        if self.io.is_some() && usage.databases().any(|database| database.io_requests.is_none()) {
            notes.push(
                "Reads and writes of storage are not measured, so they are not in this bill.".to_owned(),
            );
        }
        notes.extend(self.notes.iter().cloned());
        let total = total(&lines);
        let always_on_total = total_of(self, &usage.always_on()).max(total);
        Bill { lines, total, always_on_total, fits, notes }
    }

    /// The total alone.
    #[must_use]
    pub fn total(&self, usage: &Usage) -> Money {
        total_of(self, usage)
    }

    fn lines(&self, usage: &Usage, notes: &mut Vec<String>) -> Vec<Line> {
        let mut lines = Vec::new();
        if self.fees.monthly > Fixed::ZERO {
            lines.push(Line::new("plan", Quantity { counted: 1, unit: 1 }, "month", self.fees.monthly));
        }
        compute::lines(self, usage, &mut lines, notes);
        held::lines(self, usage, &mut lines);
        moved::lines(self, usage, &mut lines);
        let short = Money::from(self.fees.minimum) - total(&lines);
        if short > Money::ZERO {
            lines.push(Line {
                item: "up to the plan's minimum".to_owned(),
                quantity: 1.0,
                unit: "month".to_owned(),
                unit_price: self.fees.minimum,
                amount: short,
            });
        }
        lines
    }
}

fn total(lines: &[Line]) -> Money {
    lines.iter().map(|line| line.amount).sum()
}

fn total_of(sheet: &Sheet, usage: &Usage) -> Money {
    total(&sheet.lines(usage, &mut Vec::new()))
}

/// A line for each step that is reached; what costs nothing is shown too. `unit` small units make one.
fn stepped(item: &str, counted: u128, unit: u128, name: &str, price: &Tiers) -> Vec<Line> {
    let mut lines = Vec::new();
    let (mut from, steps) = (0_u128, price.steps());
    for step in steps {
        let end = step.up_to.map_or(u128::MAX, |up_to| in_small(up_to, unit));
        let within = counted.min(end).saturating_sub(from);
        if within == 0 && (from > 0 || counted > 0) {
            break;
        }
        let label = match (step.price == Fixed::ZERO, from) {
            (true, _) => format!("{item}, included"),
            (false, 0) => item.to_owned(),
            (false, _) => format!("{item}, beyond {}", of_small(from, unit)),
        };
        lines.push(Line::new(label, Quantity { counted: within, unit }, name, step.price));
        from = end;
    }
    lines
}

/// A number of a sheet in small units, of which `unit` make one.
fn in_small(number: Fixed, unit: u128) -> u128 {
    let each = u64::try_from(unit).unwrap_or(u64::MAX);
    number.times(each)
}

fn of_small(counted: u128, unit: u128) -> String {
    Quantity { counted, unit }.to_f64().to_string()
}

#[cfg(test)]
mod tests;
