//! Times in which an endpoint is kept awake: a cron schedule says when each begins, a number how long it lasts.
//!
//! Everything here asks about one moment, so a server that starts in the middle of a window knows that it is in it.
//! Windows that overlap or touch are one.

use dormouse_api::endpoint::KeepWarm;
use dormouse_base::Timestamp;
use jiff::SignedDuration;
use jiff::tz::TimeZone;

use super::Refused;
use super::cron::five_fields as cron;

/// The most windows of one endpoint.
pub const MAX_WINDOWS: usize = 16;

/// The longest window, minutes (7 days); an endpoint that shall never sleep has another setting for that.
pub const MAX_MINUTES: u32 = 7 * 24 * 60;

/// A moment, whichever, from which on every day of the calendar comes soon.
const LEAP_YEAR_BEGINS: Timestamp = Timestamp::constant(1_704_067_200, 0);

/// The longest schedule, bytes.
const MAX_SCHEDULE: usize = 100;

/// Checks windows as they are asked for.
///
/// # Errors
/// When there are too many, or one has a schedule that means nothing, or no length.
pub fn check(windows: &[KeepWarm]) -> Result<(), Refused> {
    if windows.len() > MAX_WINDOWS {
        return Err(Refused::new(
            "bad-setting",
            format!("more than {MAX_WINDOWS} keep-warm windows: use fewer"),
        ));
    }
    for window in windows {
        if window.schedule.len() > MAX_SCHEDULE || cron(&window.schedule).is_none() {
            let shown: String = window.schedule.chars().take(MAX_SCHEDULE).collect();
            return Err(Refused::new(
                "bad-setting",
                format!(
                    "`{shown}` is no schedule: use the five fields of cron, in UTC, such as `0 8 * * 1-5`"
                ),
            ));
        }
        if next_start(std::slice::from_ref(window), LEAP_YEAR_BEGINS).is_none() {
            let text = format!("`{}` never comes: no month has such a day", window.schedule);
            return Err(Refused::new("bad-setting", text));
        }
        if !(1..=MAX_MINUTES).contains(&window.minutes) {
            let text = format!("a keep-warm window lasts 1 to {MAX_MINUTES} minutes, not {}", window.minutes);
            return Err(Refused::new("bad-setting", text));
        }
    }
    Ok(())
}

/// Until when an endpoint is kept awake, if it is at this moment.
#[must_use]
pub fn until(windows: &[KeepWarm], now: Timestamp) -> Option<Timestamp> {
    let mut end = windows.iter().filter_map(|window| end_of(window, now)).max()?;
    // What begins before it ends carries on.
    for _ in 0..MAX_WINDOWS {
        match windows.iter().filter_map(|window| end_of(window, end)).max() {
            Some(later) if later > end => end = later,
            _ => break,
        }
    }
    Some(end)
}

/// When the next window begins, after this moment.
#[must_use]
pub fn next_start(windows: &[KeepWarm], now: Timestamp) -> Option<Timestamp> {
    let starts = windows.iter().filter_map(|window| {
        let next = cron(&window.schedule)?.find_next_occurrence(&now.to_zoned(TimeZone::UTC), false).ok()?;
        Some(next.timestamp())
    });
    starts.min()
}

/// The end of the latest window of this schedule that has begun, when that is not over.
fn end_of(window: &KeepWarm, now: Timestamp) -> Option<Timestamp> {
    let began = cron(&window.schedule)?.find_previous_occurrence(&now.to_zoned(TimeZone::UTC), true).ok()?;
    let end = began.timestamp().checked_add(SignedDuration::from_mins(i64::from(window.minutes))).ok()?;
    (end > now).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        format!("2026-03-{text}:00Z").parse().unwrap()
    }

    fn window(schedule: &str, minutes: u32) -> KeepWarm {
        KeepWarm { schedule: schedule.to_owned(), minutes }
    }

    #[test]
    fn a_moment_is_in_a_window_or_not() {
        // Working days from eight to six; the 2nd of March 2026 is a Monday.
        let days = [window("0 8 * * 1-5", 600)];
        for (now, end) in [
            ("02T07:59", None),
            ("02T08:00", Some("02T18:00")),
            ("02T17:59", Some("02T18:00")),
            ("02T18:00", None),
            ("07T12:00", None),
        ] {
            assert_eq!(until(&days, at(now)), end.map(at), "{now}");
        }
        assert_eq!(next_start(&days, at("02T08:00")), Some(at("03T08:00")));
        assert_eq!(next_start(&days, at("06T09:00")), Some(at("09T08:00")), "over the weekend");
        assert_eq!((until(&[], at("02T08:00")), next_start(&[], at("02T08:00"))), (None, None));
    }

    #[test]
    fn windows_that_overlap_are_one() {
        let both = [window("0 8 * * *", 60), window("30 8 * * *", 120)];
        assert_eq!(until(&both, at("02T08:10")), Some(at("02T10:30")));
        // Each begins before the one before it ends.
        assert!(until(&[window("*/10 * * * *", 15)], at("02T08:12")) > Some(at("02T08:25")));
    }

    #[test]
    fn a_window_that_ends_the_next_day_and_one_that_begins_within_a_second() {
        // From Saturday evening to Sunday morning; the 7th of March 2026 is a Saturday.
        let night = [window("0 22 * * 6", 480)];
        for (now, end) in [
            ("07T21:59", None),
            ("07T22:00", Some("08T06:00")),
            ("08T05:59", Some("08T06:00")),
            ("08T06:00", None),
        ] {
            assert_eq!(until(&night, at(now)), end.map(at), "{now}");
        }
        let half = SignedDuration::from_millis(500);
        assert_eq!(until(&night, at("07T22:00") + half), Some(at("08T06:00")));
        assert_eq!(until(&night, at("07T22:00") - half), None);
        assert_eq!(next_start(&night, at("07T22:00") - half), Some(at("07T22:00")));
        assert_eq!(next_start(&night, at("07T22:00") + half), Some(at("14T22:00")));
        // The longest one, over the end of a month; a schedule that comes once in four years.
        assert_eq!(until(&[window("0 0 28 2 *", MAX_MINUTES)], at("06T23:59")), Some(at("07T00:00")));
        assert!(until(&[window("0 0 29 2 *", 60)], at("01T00:00")).is_none());
    }

    #[test]
    fn what_means_nothing_is_refused() {
        let refused = |schedule: &str, minutes| check(&[window(schedule, minutes)]).unwrap_err().to_string();
        assert!(refused("every day", 5).contains("five fields"));
        assert!(refused("30 seconds", 5).contains("five fields"));
        assert!(refused("0 0 8 * * 1", 5).contains("five fields"), "no seconds");
        assert!(refused("0 8 * * *", 0).contains("1 to 10080"));
        assert!(refused("0 8 * * *", MAX_MINUTES + 1).contains("1 to 10080"));
        assert!(check(&vec![window("0 8 * * *", 5); MAX_WINDOWS + 1]).is_err());
        assert!(check(&[window("0 8 * * MON-FRI", 600)]).is_ok());
        assert!(
            refused("0 0 30 2 *", 5).contains("never comes") && check(&[window("0 0 29 2 *", 5)]).is_ok()
        );
    }
}
