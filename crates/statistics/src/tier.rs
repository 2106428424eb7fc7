//! Which periods there are, and how long each is kept.
//!
//! | period | kept | rows of a series at most |
//! |---|---|---|
//! | 10 s | 1 hour | 367 |
//! | 1 min | 12 hours | 722 |
//! | 5 min | 3 days | 866 |
//! | 1 hour | 15 days | 362 |
//!
//! Each is kept for [`SLACK`] more: who asks for the last hour asked a moment ago, by a clock that may be behind.
//!
//! Every sample goes into all four at once, so a longer period is never made of shorter ones that may be gone. They
//! begin at multiples of their length since 1970, so a day is a day in UTC.

/// One length of periods. All times are seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tier {
    /// The length, seconds.
    pub seconds: i64,
    /// How long they are kept, seconds.
    pub kept: i64,
}

/// All of them, the shortest first.
pub const TIERS: [Tier; 4] = [
    Tier { seconds: 10, kept: 3600 },
    Tier { seconds: 60, kept: 12 * 3600 },
    Tier { seconds: 300, kept: 3 * 24 * 3600 },
    Tier { seconds: 3600, kept: 15 * 24 * 3600 },
];

/// How much longer than promised periods are kept and told, seconds. Without it the answer for exactly an hour would have
/// periods of 10 s or of a minute, as the second falls.
pub const SLACK: i64 = 60;

impl Tier {
    /// Periods that begin before this are removed at `now`.
    #[must_use]
    pub fn kept_from(&self, now: i64) -> i64 {
        now - self.kept - SLACK - self.seconds
    }
}

/// The longest period that can be asked for: a day.
pub const LONGEST: i64 = 24 * 3600;

/// What a period is chosen for when nobody says: so many datapoints.
const DATAPOINTS: i64 = 360;

/// The beginning of the period that `at` is in.
#[must_use]
pub fn start_of(at: i64, seconds: i64) -> i64 {
    at.div_euclid(seconds) * seconds
}

/// The tier with this period exactly.
#[must_use]
pub fn exactly(seconds: i64) -> Option<usize> {
    TIERS.iter().position(|tier| tier.seconds == seconds)
}

/// Whether somebody can ask for this period.
#[must_use]
pub fn is_period(seconds: i64) -> bool {
    seconds == TIERS[0].seconds || (seconds % TIERS[1].seconds == 0 && (1..=LONGEST).contains(&seconds))
}

/// Where to read for an answer from `from` on, and the period that it can have: `wanted`, or the next longer one that
/// is kept for so long. Without a wish one that gives at most [`DATAPOINTS`].
#[must_use]
pub fn choose(wanted: Option<i64>, from: i64, to: i64, now: i64) -> (usize, i64) {
    // A tier's oldest period may begin before what it promises to keep, never after.
    let covers = |tier: &Tier| from >= now - tier.kept - SLACK;
    let last = TIERS.len() - 1;
    match wanted {
        Some(wanted) => {
            let exact = TIERS.iter().rposition(|tier| covers(tier) && wanted % tier.seconds == 0);
            let tier = exact.or_else(|| TIERS.iter().position(covers)).unwrap_or(last);
            let seconds = TIERS[tier].seconds;
            (tier, (wanted + seconds - 1).div_euclid(seconds) * seconds)
        }
        None => {
            let length = (to - from).max(1);
            let fits = |tier: &Tier| covers(tier) && length <= tier.seconds * DATAPOINTS + SLACK;
            let tier = TIERS.iter().position(fits).unwrap_or(last);
            (tier, TIERS[tier].seconds)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000_000;

    #[test]
    fn the_longest_tier_that_divides_a_period_is_read() {
        let ago = |seconds| NOW - seconds;
        assert_eq!(choose(Some(10), ago(600), NOW, NOW), (0, 10));
        assert_eq!(choose(Some(60), ago(600), NOW, NOW), (1, 60));
        assert_eq!(choose(Some(120), ago(600), NOW, NOW), (1, 120));
        assert_eq!(choose(Some(3600), ago(600), NOW, NOW), (3, 3600));
        assert_eq!(choose(Some(86_400), ago(86_400 * 14), NOW, NOW), (3, 86_400));
    }

    #[test]
    fn what_is_kept_in_longer_periods_only_is_told_in_those() {
        assert_eq!(choose(Some(10), NOW - 7200, NOW, NOW), (1, 60));
        assert_eq!(choose(Some(60), NOW - 86_400, NOW, NOW), (2, 300));
        assert_eq!(choose(Some(420), NOW - 86_400, NOW, NOW), (2, 600));
        assert_eq!(choose(Some(60), NOW - 86_400 * 10, NOW, NOW), (3, 3600));
    }

    #[test]
    fn without_a_wish_there_are_some_hundred_datapoints() {
        assert_eq!(choose(None, NOW - 3600, NOW, NOW), (0, 10));
        assert_eq!(choose(None, NOW - 6 * 3600, NOW, NOW), (1, 60));
        assert_eq!(choose(None, NOW - 24 * 3600, NOW, NOW), (2, 300));
        assert_eq!(choose(None, NOW - 15 * 24 * 3600, NOW, NOW), (3, 3600));
        // Old, but short.
        assert_eq!(choose(None, NOW - 2 * 24 * 3600, NOW - 2 * 24 * 3600 + 600, NOW), (2, 300));
    }

    #[test]
    fn who_asked_a_moment_ago_gets_what_who_asks_now_gets() {
        for late in 0..=SLACK {
            assert_eq!(choose(None, NOW - 3600 - late, NOW - late, NOW), (0, 10), "{late} s");
            assert_eq!(choose(None, NOW - 3600 - late, NOW, NOW), (0, 10), "{late} s, until now");
            assert_eq!(choose(Some(60), NOW - 12 * 3600 - late, NOW, NOW), (1, 60), "{late} s");
            // And it is still there: not even a period that began long before is removed.
            for tier in TIERS {
                assert!(start_of(NOW - tier.kept - late, tier.seconds) >= tier.kept_from(NOW));
            }
        }
    }

    #[test]
    fn periods_are_ten_seconds_or_whole_minutes_of_at_most_a_day() {
        for good in [10, 60, 120, 3600, 86_400] {
            assert!(is_period(good), "{good}");
        }
        for bad in [0, -60, 1, 20, 61, 86_460] {
            assert!(!is_period(bad), "{bad}");
        }
    }
}
