//! Bytes to clients, reads and writes of storage, and branches beyond those that are included.

use super::{Line, stepped};
use crate::money::Quantity;
use crate::sheet::Sheet;
use crate::usage::Usage;

/// What a price per million is for.
const MILLION: u128 = 1_000_000;

pub(super) fn lines(sheet: &Sheet, usage: &Usage, lines: &mut Vec<Line>) {
    if let Some(egress) = &sheet.egress {
        let sent = usage.databases().map(|database| u128::from(database.egress_bytes)).sum();
        let (unit, name) = (u128::from(egress.unit.bytes()), egress.unit.name());
        lines.extend(stepped("egress", sent, unit, name, &egress.price));
    }
    if let Some(io) = &sheet.io {
        let counted: u128 =
            usage.databases().filter_map(|database| database.io_requests).map(u128::from).sum();
        let asked = Quantity { counted, unit: MILLION };
        lines.push(Line::new("reads and writes", asked, "million", io.price_per_million));
    }
    if let Some(branches) = &sheet.branches {
        let month = u128::from(usage.period.month_seconds.max(1));
        let free = u128::from(branches.included_per_project) * u128::from(usage.period.seconds);
        let counted: u128 = usage
            .projects
            .iter()
            .map(|project| {
                project.databases.iter().map(|database| u128::from(database.exists())).sum::<u128>()
            })
            .map(|existed| existed.saturating_sub(free))
            .sum();
        if counted > 0 {
            let more = Quantity { counted, unit: month };
            lines.push(Line::new("branches", more, "branch-month", branches.price));
        }
    }
}
