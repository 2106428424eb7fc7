//! When pg_cron next wants to run something.
//!
//! pg_cron is an extension that runs jobs by its own clock; a database that sleeps would miss them.
//! So its table is read before each sleep, and the earliest due time becomes a scheduled wake.
//! A schedule is either five cron fields (in `cron.timezone`, `$` = last day of the month) or
//! `N seconds`. A schedule that cannot be read is left out: pg_cron could not have read it either.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use dormouse_base::Timestamp;
use jiff::{SignedDuration, tz::TimeZone};

/// The longest interval that pg_cron takes, seconds.
const MAX_INTERVAL: i64 = 59;

/// The next time after `now` at which a job with this schedule is due. `None` when the schedule
/// cannot be read or never comes.
#[must_use]
pub fn next_due(schedule: &str, timezone: &str, now: Timestamp) -> Option<Timestamp> {
    let schedule = schedule.trim();
    if let Some(seconds) = interval(schedule) {
        return now.checked_add(SignedDuration::from_secs(seconds)).ok();
    }
    let zone = TimeZone::get(timezone).unwrap_or(TimeZone::UTC);
    let cron = five_fields(&schedule.replace('$', "L"))?;
    let next = cron.find_next_occurrence(&now.to_zoned(zone), false).ok()?;
    Some(next.timestamp())
}

/// Reads five fields as cron does: when both days are restricted either is enough, unless one of them begins with a
/// star (`*/2`), which makes it a further condition.
pub(super) fn five_fields(schedule: &str) -> Option<Cron> {
    let begins_with_star =
        |field: usize| schedule.split_whitespace().nth(field).is_some_and(|text| text.starts_with('*'));
    let parser = CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .dom_and_dow(begins_with_star(2) || begins_with_star(4))
        .build();
    parser.parse(schedule.trim()).ok()
}

fn interval(schedule: &str) -> Option<i64> {
    let mut words = schedule.split_whitespace();
    let (number, unit, end) = (words.next()?, words.next()?, words.next());
    let seconds: i64 = number.parse().ok()?;
    let known = unit.eq_ignore_ascii_case("seconds") || unit.eq_ignore_ascii_case("second");
    (known && end.is_none() && (1..=MAX_INTERVAL).contains(&seconds)).then_some(seconds)
}

/// The earliest of several schedules.
#[must_use]
pub fn earliest<'a>(
    schedules: impl IntoIterator<Item = &'a str>,
    timezone: &str,
    now: Timestamp,
) -> Option<Timestamp> {
    schedules.into_iter().filter_map(|s| next_due(s, timezone, now)).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn five_fields_seconds_and_last_day() {
        let now = at("2026-01-30T10:07:30Z");
        for (schedule, due) in [
            ("*/10 * * * *", "2026-01-30T10:10:00Z"),
            ("0 3 * * *", "2026-01-31T03:00:00Z"),
            ("30 seconds", "2026-01-30T10:08:00Z"),
            ("0 12 $ * *", "2026-01-31T12:00:00Z"),
        ] {
            assert_eq!(next_due(schedule, "GMT", now), Some(at(due)), "{schedule}");
        }
        for bad in ["", "61 seconds", "0 seconds", "every day", "1 2 3 4 5 6 7"] {
            assert_eq!(next_due(bad, "GMT", now), None, "{bad}");
        }
    }

    #[test]
    fn days_are_restricted_as_cron_does() {
        // The 1st of January 2026 is a Thursday.
        let now = at("2026-01-01T00:00:00Z");
        for (schedule, due) in [
            ("0 0 13 * 1", "2026-01-05"),
            ("0 0 13 * *", "2026-01-13"),
            ("0 0 * * 1", "2026-01-05"),
            // An odd day that is a Wednesday; a Friday that is a Sunday, Tuesday, Thursday or Saturday never comes.
            ("0 0 */2 * 3", "2026-01-07"),
            ("0 0 13 * */2", "2026-01-13"),
            ("0 0 * * 0", "2026-01-04"),
            ("0 0 * * 7", "2026-01-04"),
            ("0 0 * * sat-sun", "2026-01-03"),
            ("0 0 10-20/5 2 *", "2026-02-10"),
            ("0 0 29 2 *", "2028-02-29"),
        ] {
            assert_eq!(next_due(schedule, "UTC", now), Some(at(&format!("{due}T00:00:00Z"))), "{schedule}");
        }
        assert_eq!(next_due("0 0 30 2 *", "UTC", now), None, "it never comes");
    }

    #[test]
    fn the_time_zone_counts_across_a_clock_change() {
        // 2026-03-29: Berlin goes from UTC+1 to UTC+2.
        let now = at("2026-03-28T12:00:00Z");
        assert_eq!(next_due("0 9 29 3 *", "Europe/Berlin", now), Some(at("2026-03-29T07:00:00Z")));
    }

    #[test]
    fn the_earliest_wins() {
        let now = at("2026-01-30T10:07:30Z");
        assert_eq!(
            earliest(["0 3 * * *", "bad", "*/10 * * * *"], "GMT", now),
            Some(at("2026-01-30T10:10:00Z"))
        );
        assert_eq!(earliest([], "GMT", now), None);
    }
}
