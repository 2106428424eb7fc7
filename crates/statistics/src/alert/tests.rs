//! The transition function, case by case and at random.

use AlertState::{Critical, NoData, Ok, Warning};
use proptest::prelude::*;

use super::*;

fn rule(datapoints: u32) -> Thresholds {
    Thresholds {
        comparison: Comparison::Above,
        warning: Some(70.0),
        critical: Some(85.0),
        clear_ratio: 0.95,
        datapoints,
    }
}

/// The states after each figure; −1 = nothing was measured.
fn states(rule: &Thresholds, from: AlertState, figures: &[f64]) -> Vec<AlertState> {
    let mut tracked = Tracked::at(from);
    let mut step = |figure: &f64| {
        tracked = step(rule, tracked, (*figure >= 0.0).then_some(*figure));
        tracked.state
    };
    figures.iter().map(&mut step).collect()
}

#[test]
fn a_state_changes_at_its_line_and_goes_back_only_beyond_the_band() {
    let figures = [70.0, 70.1, 85.0, 85.1, 81.0, 80.75, 80.7, 66.6, 66.5, 66.4];
    let wanted = [Ok, Warning, Warning, Critical, Critical, Critical, Warning, Warning, Warning, Ok];
    assert_eq!(states(&rule(1), Ok, &figures), wanted);
    assert_eq!(states(&rule(1), Ok, &[99.0, 10.0]), [Critical, Ok], "no way stations");
}

#[test]
fn a_threshold_of_zero_can_be_left() {
    let any = Thresholds { warning: Some(0.0), critical: None, ..rule(1) };
    assert_eq!(states(&any, Ok, &[0.0, 3.0, 0.0, 1.0]), [Ok, Warning, Ok, Warning]);
    let none =
        Thresholds { comparison: Comparison::Below, warning: Some(1.0), critical: Some(0.0), ..rule(1) };
    assert_eq!(states(&none, Ok, &[0.0, 1.0, 1.1]), [Warning, Warning, Ok]);
    // Without a band a state ends where it began.
    let sharp = Thresholds { clear_ratio: 1.0, ..rule(1) };
    assert_eq!(states(&sharp, Ok, &[70.1, 70.0, 85.1, 85.0, 70.0]), [Warning, Ok, Critical, Warning, Ok]);
}

#[test]
fn so_many_in_a_row_must_agree_and_they_agree_on_the_least() {
    let three = rule(3);
    assert_eq!(states(&three, Ok, &[90.0, 90.0, 60.0, 90.0, 90.0, 90.0]), [Ok, Ok, Ok, Ok, Ok, Critical]);
    assert_eq!(states(&three, Ok, &[90.0, 75.0, 90.0]), [Ok, Ok, Warning]);
    assert_eq!(states(&three, Critical, &[10.0, 75.0, 10.0]), [Critical, Critical, Warning]);
    assert_eq!(states(&three, Warning, &[10.0, 10.0, 69.0, 10.0]), [Warning; 4], "in the band: as it is");
}

#[test]
fn nothing_measured_is_a_state_of_its_own_and_ends_a_run() {
    assert_eq!(states(&rule(1), Critical, &[-1.0, -1.0, -1.0, 20.0]), [Critical, Critical, NoData, Ok]);
    assert_eq!(states(&rule(1), NoData, &[-1.0, 90.0]), [NoData, Critical]);
    assert_eq!(states(&rule(2), NoData, &[90.0, 90.0]), [Ok, Critical]);
    assert_eq!(states(&rule(2), Ok, &[90.0, -1.0, 90.0, 90.0]), [Ok, Ok, Ok, Critical]);
    assert_eq!(
        states(&rule(5), Ok, &[-1.0; 5]),
        [Ok, Ok, Ok, Ok, NoData],
        "as long as it would take to agree"
    );
}

#[test]
fn below_is_the_same_upside_down() {
    let memory = Thresholds {
        comparison: Comparison::Below,
        warning: Some(200.0),
        critical: Some(100.0),
        clear_ratio: 0.5,
        datapoints: 1,
    };
    let figures = [200.0, 199.0, 99.0, 200.0, 201.0, 400.0, 401.0];
    assert_eq!(states(&memory, Ok, &figures), [Ok, Warning, Critical, Critical, Warning, Warning, Ok]);
}

#[test]
fn one_threshold_is_enough() {
    let only = Thresholds { warning: None, ..rule(1) };
    assert_eq!(states(&only, Ok, &[80.0, 90.0, 81.0, 80.0]), [Ok, Critical, Critical, Ok]);
}

fn any_state() -> impl Strategy<Value = AlertState> {
    prop::sample::select(AlertState::ALL.to_vec())
}

proptest! {
    /// Whatever a figure does inside the band of a threshold: at most one change, to get there.
    #[test]
    fn inside_the_band_nothing_flaps(
        from in any_state(),
        datapoints in 1_u32..6,
        critical in any::<bool>(),
        trembling in prop::collection::vec(0.0..=1.0_f64, 1..200),
    ) {
        let rule = rule(datapoints);
        let line = if critical { 85.0 } else { 70.0 };
        let figures: Vec<f64> = trembling.iter().map(|at| line * (0.95 + 0.05 * at)).collect();
        let mut all = vec![from];
        all.extend(states(&rule, from, &figures));
        // Out of no_data the first figure leads to ok, and from there a run may lead on.
        let free = if from == NoData { 2 } else { 1 };
        let changes = all.windows(2).filter(|pair| pair[0] != pair[1]).count();
        prop_assert!(changes <= free, "{changes} changes: {all:?}");
    }

    /// A change back takes a whole run on the other side of the band, whatever happens.
    #[test]
    fn every_change_has_a_run_that_agrees(
        datapoints in 1_u32..6,
        figures in prop::collection::vec(prop::option::weighted(0.9, 0.0..100.0_f64), 1..300),
    ) {
        let rule = rule(datapoints);
        let mut tracked = Tracked::at(Ok);
        for (index, figure) in figures.iter().enumerate() {
            let next = step(&rule, tracked, *figure);
            let run = &figures[(index + 1).saturating_sub(datapoints as usize)..=index];
            if next.state != tracked.state {
                prop_assert!(tracked.state == NoData || run.len() == datapoints as usize);
                match (tracked.state, next.state) {
                    (NoData, _) => prop_assert!(figure.is_some()),
                    (_, NoData) => prop_assert!(run.iter().all(Option::is_none)),
                    (before, after) if after > before => {
                        let line = if after == Critical { 85.0 } else { 70.0 };
                        prop_assert!(run.iter().all(|figure| figure.is_some_and(|value| value > line)));
                    }
                    (before, _) => {
                        let clear = 0.95 * if before == Critical { 85.0 } else { 70.0 };
                        prop_assert!(run.iter().all(|figure| figure.is_some_and(|value| value < clear)));
                    }
                }
            }
            tracked = next;
        }
    }
}
