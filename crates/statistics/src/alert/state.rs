//! The states of a rule's subject, and how figures move it.
//!
//! ```text
//!            N × beyond warning           N × beyond critical
//!     ┌────┐ ─────────────────► ┌─────────┐ ──────────────► ┌──────────┐
//!     │ ok │                    │ warning │                 │ critical │   (ok ─► critical at once, too)
//!     └────┘ ◄───────────────── └─────────┘ ◄────────────── └──────────┘
//!      │  ▲   N × warning left      │        N × critical left    │
//!      │  └───────────────── N × both left ───────────────────────┤
//!      │                                                          │
//!      └───────────► no_data ◄── M periods without a figure ──────┘
//!                        └─ the first figure ─► ok (or on, if N = 1)
//! ```
//!
//! *Beyond* is the other side of a threshold, *left* is back by `clear_ratio`; between the two, in the band, a state
//! holds. That, and that N periods in a row must agree, is why a figure that trembles around a threshold does not ring
//! all night. A run of N that is beyond warning and partly beyond critical agrees on warning. A period without a figure
//! ends a run.

use dormouse_api::alert::{AlertState, Comparison};

/// Periods without a figure until nothing is known; a rule that wants more to agree waits for as many.
pub const MISSING: u32 = 3;

/// Where a rule draws its lines.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// On which side they are broken.
    pub comparison: Comparison,
    /// The first.
    pub warning: Option<f64>,
    /// The second.
    pub critical: Option<f64>,
    /// How far back a figure has to be.
    pub clear_ratio: f64,
    /// Periods that must agree.
    pub datapoints: u32,
}

/// A subject: its state, and what speaks for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tracked {
    /// Where it is.
    pub state: AlertState,
    /// Periods in a row that want it worse, and the least bad that they agree on.
    worse: (u32, AlertState),
    /// Periods in a row that want it better, and the least good.
    better: (u32, AlertState),
    /// Periods in a row without a figure.
    missing: u32,
}

impl Tracked {
    /// In this state, with nothing that speaks for another one.
    #[must_use]
    pub fn at(state: AlertState) -> Self {
        Self { state, worse: (0, state), better: (0, state), missing: 0 }
    }
}

impl Thresholds {
    fn of(&self, state: AlertState) -> Option<f64> {
        match state {
            AlertState::Warning => self.warning,
            AlertState::Critical => self.critical,
            AlertState::Ok | AlertState::NoData => None,
        }
    }

    /// The threshold that a state is about.
    #[must_use]
    pub fn threshold(&self, state: AlertState) -> Option<f64> {
        self.of(state)
    }

    fn is_beyond(&self, value: f64, line: f64) -> bool {
        match self.comparison {
            Comparison::Above => value > line,
            Comparison::Below => value < line,
        }
    }

    /// Where a threshold counts as left. Towards zero for `>`, away from it for `<`; thresholds are not negative.
    fn clear(&self, line: f64) -> f64 {
        match self.comparison {
            Comparison::Above => line * self.clear_ratio,
            Comparison::Below => line / self.clear_ratio,
        }
    }

    /// Where one figure alone would lead from `state`.
    #[must_use]
    pub fn wanted(&self, state: AlertState, value: f64) -> AlertState {
        let holds = |level: AlertState| {
            let Some(line) = self.of(level) else { return false };
            let clear = self.clear(line);
            // On the clear line itself it is not left yet; unless that is the threshold, which nobody has broken then. (A
            // threshold of zero has no other clear line, and nothing is below it.)
            let on_it = value == clear && clear != line;
            self.is_beyond(value, line) || (state >= level && (self.is_beyond(value, clear) || on_it))
        };
        match () {
            () if holds(AlertState::Critical) => AlertState::Critical,
            () if holds(AlertState::Warning) => AlertState::Warning,
            () => AlertState::Ok,
        }
    }
}

/// What the next period does to a subject; `None` = nothing was measured in it.
#[must_use]
pub fn step(rule: &Thresholds, tracked: Tracked, value: Option<f64>) -> Tracked {
    let Some(value) = value else { return without(rule, tracked) };
    // Who was not known is as it should be, until something else is shown.
    let known = if tracked.state == AlertState::NoData { Tracked::at(AlertState::Ok) } else { tracked };
    let state = known.state;
    let wanted = rule.wanted(state, value);
    let worse = match wanted > state {
        true if known.worse.0 > 0 => (known.worse.0 + 1, known.worse.1.min(wanted)),
        true => (1, wanted),
        false => (0, state),
    };
    let better = match wanted < state {
        true if known.better.0 > 0 => (known.better.0 + 1, known.better.1.max(wanted)),
        true => (1, wanted),
        false => (0, state),
    };
    let run = rule.datapoints.max(1);
    if worse.0 >= run {
        return Tracked::at(worse.1);
    }
    if better.0 >= run {
        return Tracked::at(better.1);
    }
    Tracked { state, worse, better, missing: 0 }
}

fn without(rule: &Thresholds, tracked: Tracked) -> Tracked {
    let missing = tracked.missing.saturating_add(1);
    if missing >= MISSING.max(rule.datapoints) {
        return Tracked::at(AlertState::NoData);
    }
    Tracked { missing, ..Tracked::at(tracked.state) }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
