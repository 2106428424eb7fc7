//! Points in time and in history as the command line takes them.
//!
//! ```text
//!  16/B374D848                a position in the WAL
//!  2026-01-02T03:04:05Z       a moment; `2026-01-02 03:04:05+01` as well
//!  -5m  5m  "2 hours ago"     before now
//! ```

use std::str::FromStr;
use std::time::Duration;

use dormouse_base::{Lsn, Timestamp, clock, span};

/// A point of a branch's past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// A position.
    Lsn(Lsn),
    /// A moment.
    Time(Timestamp),
}

impl Moment {
    /// The position, if it is one.
    pub(crate) fn lsn(self) -> Option<Lsn> {
        match self {
            Moment::Lsn(lsn) => Some(lsn),
            Moment::Time(_) => None,
        }
    }

    /// The moment, if it is one.
    pub(crate) fn time(self) -> Option<Timestamp> {
        match self {
            Moment::Lsn(_) => None,
            Moment::Time(at) => Some(at),
        }
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        read(text, clock::now())
    }
}

fn read(text: &str, now: Timestamp) -> Result<Moment, String> {
    if let Ok(lsn) = text.parse() {
        return Ok(Moment::Lsn(lsn));
    }
    if let Ok(at) = text.parse() {
        return Ok(Moment::Time(at));
    }
    let before = ago(text).and_then(|ago| now.checked_sub(ago).ok());
    before.map(Moment::Time).ok_or_else(|| {
        format!("`{text}` is not a position (16/B374D848), a time (2026-01-02T03:04:05Z) or a past (-5m, \"2 hours ago\")")
    })
}

/// `-5m`, `5m`, `5m ago`, `2 hours ago`.
fn ago(text: &str) -> Option<Duration> {
    let text = text.trim();
    let text = text.strip_prefix('-').unwrap_or(text);
    let text = text.strip_suffix("ago").unwrap_or(text).trim();
    if let Ok(duration) = span::parse(text) {
        return Some(duration);
    }
    let (number, unit) = text.split_once(' ')?;
    let unit = match unit.trim().trim_end_matches('s') {
        "second" | "sec" => 1,
        "minute" | "min" => 60,
        "hour" => 3_600,
        "day" => 86_400,
        "week" => 604_800,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit).map(Duration::from_secs)
}

/// A moment to come: a time, or a duration from now.
pub(crate) fn from_now(text: &str) -> Result<Timestamp, String> {
    let duration = span::parse(text).map_err(|error| error.to_string())?;
    clock::now().checked_add(duration).map_err(|_| format!("`{text}` is too far away"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_times_and_the_past() {
        let now: Timestamp = "2026-01-02T12:00:00Z".parse().unwrap();
        let at = |text: &str| read(text, now).map(|moment| moment.time().unwrap().to_string());
        assert_eq!(read("16/B374D848", now), Ok(Moment::Lsn(Lsn(0x16_B374_D848))));
        assert_eq!(at("2026-01-01T00:00:00Z").unwrap(), "2026-01-01T00:00:00Z");
        assert_eq!(at("2026-01-01 01:00:00+01").unwrap(), "2026-01-01T00:00:00Z");
        for ago in ["-2h", "2h", "2h ago", "2 hours ago", "120 minutes ago", "-7200"] {
            assert_eq!(at(ago).unwrap(), "2026-01-02T10:00:00Z", "{ago}");
        }
        for bad in ["", "yesterday", "ago", "2 fortnights ago", "-", "1/2/3", "2026-13-01T00:00:00Z"] {
            assert!(read(bad, now).is_err(), "{bad}");
        }
    }
}
