//! Machines with clocks that are right, wrong for a while, and wrong for good.

use super::*;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// A machine that is looked at every five minutes while it runs. Seconds.
struct Machine {
    /// The time.
    true_time: i64,
    /// How far the wall clock is ahead of it.
    ahead: i64,
    boot: u64,
    booted: i64,
    belief: Option<Belief>,
}

impl Machine {
    fn new() -> Self {
        let now = 1_800_000_000;
        let mut machine = Self { true_time: now, ahead: 0, boot: 1, booted: now - 40, belief: None };
        machine.look();
        machine
    }

    /// How far what is believed is behind the time, seconds; negative: ahead of it.
    fn look(&mut self) -> i64 {
        let now = Reading {
            wall: Timestamp::from_second(self.true_time + self.ahead).unwrap(),
            boot: self.boot,
            since_boot_ms: u64::try_from((self.true_time - self.booted) * 1000).unwrap(),
        };
        let mut belief = self.belief.take().unwrap_or_else(|| Belief::new(now));
        let believed = belief.look(now);
        assert!(believed <= now.wall);
        let stored = serde_json::to_string(&belief).unwrap();
        self.belief = Some(serde_json::from_str(&stored).unwrap());
        self.true_time - believed.as_second()
    }

    /// The machine runs; tells how far what is believed was ahead at most.
    fn runs(&mut self, seconds: i64) -> i64 {
        let mut most = -self.look();
        for _ in 0..seconds / 300 {
            self.true_time += 300;
            most = most.max(-self.look());
        }
        most
    }

    fn is_off(&mut self, seconds: i64) {
        self.true_time += seconds;
        (self.boot, self.booted) = (self.boot + 1, self.true_time);
        self.true_time += 20;
    }

    fn in_doubt(&self) -> bool {
        self.belief.as_ref().unwrap().doubt().is_some()
    }
}

const APART_S: i64 = APART.as_secs().cast_signed();

#[test]
fn a_clock_that_is_ahead_for_some_hours_moves_nothing() {
    let mut machine = Machine::new();
    assert_eq!(machine.runs(3 * DAY), 0);
    machine.ahead = YEAR;
    assert!(machine.runs(23 * HOUR) <= APART_S && machine.in_doubt());
    machine.ahead = 0;
    assert_eq!(machine.runs(DAY), 0);
    assert_eq!((machine.look(), machine.in_doubt()), (0, false));
    // What it said before does not count for the next time.
    machine.ahead = YEAR;
    assert!(machine.runs(23 * HOUR) <= APART_S);
}

#[test]
fn a_clock_that_leaps_again_and_again_or_runs_too_fast_is_not_followed() {
    let mut machine = Machine::new();
    for _ in 0..40 {
        machine.ahead += 20 * HOUR;
        assert!(machine.runs(20 * HOUR) <= APART_S);
    }
    let mut machine = Machine::new();
    for _ in 0..10_000 {
        machine.ahead += 120;
        assert!(machine.runs(300) <= APART_S, "two minutes in five");
    }
}

#[test]
fn a_clock_that_stays_somewhere_else_is_believed_after_a_day() {
    let mut machine = Machine::new();
    machine.ahead = 30 * DAY;
    machine.runs(25 * HOUR);
    assert_eq!((machine.look(), machine.in_doubt()), (-30 * DAY, false));
    // Back: less is removed at once, and from the next day on nobody gets ahead by as much again.
    machine.ahead = 0;
    assert_eq!(machine.look(), 0);
    machine.runs(25 * HOUR);
    machine.ahead = 30 * DAY;
    assert!(machine.runs(23 * HOUR) <= APART_S);
}

#[test]
fn a_week_of_suspension_is_told_by_the_time_since_the_boot() {
    let mut machine = Machine::new();
    machine.runs(DAY);
    machine.true_time += 7 * DAY;
    assert_eq!((machine.look(), machine.in_doubt()), (0, false));
}

#[test]
fn a_short_boot_is_nothing_and_a_month_off_is_believed_after_a_day() {
    let mut machine = Machine::new();
    machine.runs(DAY);
    for _ in 0..5 {
        machine.is_off(2 * MINUTE);
        machine.true_time += 3 * DAY;
        assert_eq!((machine.look(), machine.in_doubt()), (0, false), "the server was not started for days");
    }
    machine.is_off(30 * DAY);
    assert!(machine.look() > 29 * DAY && machine.in_doubt());
    machine.runs(23 * HOUR);
    assert!(machine.look() > 29 * DAY);
    machine.runs(2 * HOUR);
    assert_eq!((machine.look(), machine.in_doubt()), (0, false));
}

#[test]
fn a_wrong_clock_at_a_boot_costs_nothing_until_it_is_put_right() {
    for wrong in [YEAR, 3 * HOUR, -26 * YEAR, -2 * HOUR] {
        let mut machine = Machine::new();
        machine.runs(DAY);
        machine.ahead = wrong;
        machine.is_off(MINUTE);
        assert!(machine.runs(2 * HOUR) <= APART_S, "{wrong}");
        machine.ahead = 0;
        assert_eq!((machine.look(), machine.in_doubt()), (0, false), "{wrong}");
    }
}

#[test]
fn a_machine_that_is_off_every_night_is_some_days_behind_and_not_more() {
    for hours in [8, 1] {
        let mut machine = Machine::new();
        let mut most = 0;
        for _ in 0..200 {
            assert_eq!(machine.runs(hours * HOUR).max(0), 0);
            machine.is_off((24 - hours) * HOUR);
            most = most.max(machine.look());
        }
        let days = 24 / hours + 2;
        assert!(most > 12 * HOUR && most < days * DAY, "{hours}: {most}");
    }
}

#[test]
fn claims_of_several_boots_do_not_make_the_last_one_believed() {
    let mut machine = Machine::new();
    for _ in 0..3 {
        machine.is_off(15 * HOUR);
        machine.runs(9 * HOUR);
    }
    // It would be the fourth, and is wrong.
    machine.is_off(15 * HOUR);
    machine.ahead = YEAR;
    assert!(machine.runs(23 * HOUR) <= APART_S);
    machine.ahead = 0;
    machine.runs(25 * HOUR);
    assert_eq!(machine.look(), 0);
}

#[test]
fn a_server_that_began_under_a_wrong_clock_is_guarded_a_day_after_it_is_right() {
    let mut machine = Machine::new();
    (machine.ahead, machine.belief) = (YEAR, None);
    machine.look();
    machine.ahead = 0;
    // Also when it never runs for a day.
    for _ in 0..6 {
        machine.runs(8 * HOUR);
        machine.is_off(HOUR);
        assert!(machine.look() >= 0);
    }
    machine.runs(8 * HOUR);
    machine.ahead = YEAR;
    assert!(machine.runs(8 * HOUR) <= DAY, "{}", machine.look());
}
