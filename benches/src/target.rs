//! A figure beside what it should be, and what may be said of that.
//!
//! A figure of several rounds is a median, and the next run's is another one. Where the target is as near as that, to
//! be on one side of it says nothing: of two things that are equally fast each is the slower one in every second run.
//! So a figure that is on the wrong side is only called missed when the range that holds the true median
//! ([`crate::stats::Spread`]) is there as well.

use serde::Serialize;

use crate::stats::Spread;

/// See the module.
#[derive(Debug, Serialize)]
pub(crate) struct Target {
    /// The figure.
    pub(crate) figure: String,
    /// Its value.
    pub(crate) measured: f64,
    /// What holds the true one nine times in ten; absent for a figure of too few rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) range: Option<[f64; 2]>,
    /// What it should be, with the unit.
    pub(crate) wanted: String,
    /// Whether the value is that.
    pub(crate) met: bool,
    /// The same, with the range in mind.
    pub(crate) verdict: Verdict,
}

/// What may be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    /// It is what it should be.
    Met,
    /// It is not, but cannot be told from it.
    WithinNoise,
    /// It is not.
    Missed,
}

impl Verdict {
    /// In tables.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Verdict::Met => "met",
            Verdict::WithinNoise => "within noise",
            Verdict::Missed => "MISSED",
        }
    }
}

impl Target {
    /// A figure that should not exceed `limit`.
    pub(crate) fn at_most(figure: &str, measured: impl Into<Spread>, limit: f64, unit: &str) -> Self {
        Self::new(figure, measured.into(), &format!("≤ {limit} {unit}"), |value| value <= limit)
    }

    /// A figure that should reach `limit`.
    pub(crate) fn at_least(figure: &str, measured: impl Into<Spread>, limit: f64, unit: &str) -> Self {
        Self::new(figure, measured.into(), &format!("≥ {limit} {unit}"), |value| value >= limit)
    }

    fn new(figure: &str, measured: Spread, wanted: &str, is_good: impl Fn(f64) -> bool) -> Self {
        let met = is_good(measured.median);
        let could_be = measured.range.is_some_and(|range| range.into_iter().any(&is_good));
        Self {
            figure: figure.to_owned(),
            measured: measured.median,
            range: measured.range,
            wanted: wanted.trim_end().to_owned(),
            met,
            verdict: match (met, could_be) {
                (true, _) => Verdict::Met,
                (false, true) => Verdict::WithinNoise,
                (false, false) => Verdict::Missed,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_all_on_the_wrong_side_is_missed() {
        let tps = |rounds: [f64; 5]| Target::at_least("tps", Spread::of(&rounds), 1.0, "×").verdict;
        assert_eq!(tps([0.9, 1.0, 1.1, 0.95, 1.2]), Verdict::Met);
        assert_eq!(tps([0.9, 0.97, 0.99, 0.95, 1.2]), Verdict::WithinNoise);
        assert_eq!(tps([0.9, 0.97, 0.99, 0.95, 0.96]), Verdict::Missed);
        let p99 = |rounds: [f64; 5]| Target::at_most("p99", Spread::of(&rounds), 1.0, "×").verdict;
        assert_eq!(p99([0.9, 1.04, 1.03, 1.05, 1.2]), Verdict::WithinNoise);
        assert_eq!(p99([1.01, 1.04, 1.03, 1.05, 1.2]), Verdict::Missed);
    }

    #[test]
    fn a_figure_without_rounds_has_no_noise() {
        let target = Target::at_most("kB", 2.1, 2.0, "kB");
        assert_eq!((target.verdict, target.met, target.range), (Verdict::Missed, false, None));
        let json = serde_json::to_value(Target::at_most("kB", 2.0, 2.0, "kB")).unwrap();
        assert_eq!((json["verdict"].as_str(), json["met"].as_bool()), (Some("met"), Some(true)));
        assert!(json.get("range").is_none());
    }
}
