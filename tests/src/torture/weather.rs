//! What a server is started into: armed failpoints, a store that fails now and then, or neither.
//!
//! The names come from `docs/reference/failpoints.md`, which `xtask tidy` keeps equal to the source;
//! so a new failpoint is tortured from its first day.

use std::fmt;

use super::seed::Seed;
use crate::checkout;

/// The list of failpoints.
const LIST: &str = "docs/reference/failpoints.md";

/// What a start may meet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Weather {
    failpoints: Vec<String>,
    faults: Option<String>,
}

/// The names in the list: the first column of its table, in backticks.
pub(crate) fn names(list: &str) -> Vec<String> {
    let rows = list.lines().filter_map(|line| line.trim().strip_prefix("| `"));
    rows.filter_map(|row| row.split_once('`')).map(|(name, _)| name.to_owned()).collect()
}

/// The failpoints of this checkout.
pub(crate) fn failpoints() -> Vec<String> {
    names(&std::fs::read_to_string(checkout().join(LIST)).unwrap_or_default())
}

impl Weather {
    /// Nothing fails.
    pub(crate) fn fair() -> Self {
        Self::default()
    }

    /// Draws it; fair in one of three.
    pub(crate) fn draw(draw: &mut Seed, names: &[String]) -> Self {
        let mut weather = Self::fair();
        if draw.percent(33) {
            return weather;
        }
        if !names.is_empty() && draw.percent(75) {
            for _ in 0..draw.between(1, 3) {
                weather.failpoints.push(failpoint(draw, names));
            }
        }
        if draw.percent(40) {
            weather.faults = Some(faults(draw));
        }
        weather
    }

    pub(crate) fn is_fair(&self) -> bool {
        *self == Self::fair()
    }

    /// The server may die by itself.
    pub(crate) fn is_deadly(&self) -> bool {
        self.failpoints.iter().any(|failpoint| failpoint.contains("=kill"))
    }

    /// Clients and commands may meet errors of storage.
    pub(crate) fn is_rough(&self) -> bool {
        self.faults.is_some() || self.failpoints.iter().any(|failpoint| failpoint.contains("=error"))
    }

    /// The variables for the server.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let mut variables = Vec::new();
        if !self.failpoints.is_empty() {
            variables.push((dormouse_runtime::failpoint::VARIABLE, self.failpoints.join(";")));
        }
        variables.extend(self.faults.clone().map(|faults| ("DORMOUSE_STORE_FAULTS", faults)));
        variables
    }
}

fn failpoint(draw: &mut Seed, names: &[String]) -> String {
    let name = draw.one_of(names);
    match draw.below(20) {
        0..12 => format!("{name}=kill@{}", draw.between(1, 5)),
        // Not every time: what never succeeds cannot get better either.
        12..16 => format!("{name}=error@{}", draw.between(1, 3)),
        _ => format!("{name}=sleep:{}", draw.between(20, 600)),
    }
}

fn faults(draw: &mut Seed) -> String {
    format!(
        "seed={},latency={}ms,error={}%,truncate={}%,timeout_after_success={}%,stale_list={}%",
        draw.below(1000),
        draw.between(1, 30),
        draw.below(3),
        draw.below(2),
        draw.below(2),
        draw.below(3)
    )
}

impl fmt::Display for Weather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_fair() {
            return write!(f, "fair weather");
        }
        let shown: Vec<String> =
            self.environment().into_iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
        write!(f, "{}", shown.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_a_table_and_what_is_drawn_can_be_armed() {
        let list = "| name | what it interrupts |\n|---|---|\n| `a.b.c` | x |\n| `d.e` | y `z` |\n";
        let names = names(list);
        assert_eq!(names, ["a.b.c", "d.e"]);
        let mut draw = Seed::new(1);
        let drawn: Vec<Weather> = (0..100).map(|_| Weather::draw(&mut draw, &names)).collect();
        assert!(drawn.iter().any(Weather::is_fair) && drawn.iter().any(Weather::is_deadly));
        for weather in drawn {
            let failpoints = weather.failpoints.join(";");
            dormouse_runtime::failpoint::arm(&failpoints).unwrap();
        }
        dormouse_runtime::failpoint::disarm();
    }
}
