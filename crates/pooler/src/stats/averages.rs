//! Averages over the last full `stats_period`, as PgBouncer computes them: counts and bytes per second,
//! times per what was timed.

use std::fmt;
use std::time::Duration;

use dormouse_base::clock::Mono;

use super::counters::{Counters, micros};

/// Averages of one pool or database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Averages(
    /// Per second, but `xact_time` is per transaction, `query_time` per query and `wait_time` per assignment.
    pub Counters,
);

/// The last two snapshots of a pool's counters.
#[derive(Debug, Clone, Copy)]
pub struct Period {
    /// Where the period that is under way began.
    began: Mono,
    then: Counters,
    /// What the last full one added, and how long it was.
    last: Counters,
    length: Duration,
}

impl Period {
    /// Before the first period is over averages are zero.
    #[must_use]
    pub fn new(now: Mono) -> Self {
        Self { began: now, then: Counters::default(), last: Counters::default(), length: Duration::ZERO }
    }

    /// Ends the period if it is over. Call it at least once per period; a late call makes a longer period, not
    /// a wrong one.
    pub fn roll(&mut self, now: Mono, period: Duration, counters: &Counters) {
        let length = now.since(self.began);
        if length >= period && !length.is_zero() {
            *self = Self { began: now, then: *counters, last: counters - &self.then, length };
        }
    }

    /// What the last full period added, and how long it was: to add pools up before dividing.
    #[must_use]
    pub fn last(&self) -> (&Counters, Duration) {
        (&self.last, self.length)
    }
}

impl Averages {
    /// From what was added in a time.
    #[must_use]
    pub fn of(added: &Counters, length: Duration) -> Self {
        let length = micros(length);
        let per_second = |count: u64| divide(u128::from(count) * 1_000_000, length);
        let per = |time: u64, count: u64| divide(u128::from(time), count);
        Self(Counters {
            server_assignment_count: per_second(added.server_assignment_count),
            xact_count: per_second(added.xact_count),
            query_count: per_second(added.query_count),
            received: per_second(added.received),
            sent: per_second(added.sent),
            xact_time: per(added.xact_time, added.xact_count),
            query_time: per(added.query_time, added.query_count),
            wait_time: per(added.wait_time, added.server_assignment_count),
            client_parse_count: per_second(added.client_parse_count),
            server_parse_count: per_second(added.server_parse_count),
            bind_count: per_second(added.bind_count),
            client_login_count: per_second(added.client_login_count),
        })
    }
}

impl fmt::Display for Averages {
    /// As PgBouncer's log has them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(it) = self;
        write!(f, "{} xacts/s, {} queries/s, ", it.xact_count, it.query_count)?;
        write!(f, "{} client parses/s, {} server parses/s, ", it.client_parse_count, it.server_parse_count)?;
        write!(f, "{} binds/s, in {} B/s, out {} B/s, ", it.bind_count, it.received, it.sent)?;
        write!(f, "xact {} us, query {} us, wait {} us", it.xact_time, it.query_time, it.wait_time)
    }
}

fn divide(dividend: u128, divisor: u64) -> u64 {
    dividend
        .checked_div(u128::from(divisor))
        .map_or(0, |quotient| u64::try_from(quotient).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_means_of_a_period() {
        let start = Mono::now();
        let minute = Duration::from_secs(60);
        let (mut counters, mut period) = (Counters::default(), Period::new(start));
        for _ in 0..600 {
            counters.assigned(Duration::from_micros(500));
            counters.query(Duration::from_micros(200));
            counters.query(Duration::from_micros(400));
            counters.transaction(Duration::from_micros(1000));
            counters.received += 1200;
        }
        period.roll(start.plus(minute / 2), minute, &counters);
        assert_eq!(period.last(), (&Counters::default(), Duration::ZERO));
        period.roll(start.plus(minute), minute, &counters);
        let Averages(average) = Averages::of(period.last().0, period.last().1);
        assert_eq!((average.xact_count, average.query_count, average.received), (10, 20, 12_000));
        assert_eq!((average.xact_time, average.query_time, average.wait_time), (1000, 300, 500));

        let line = "10 xacts/s, 20 queries/s, 0 client parses/s, 0 server parses/s, 0 binds/s, in 12000 B/s, \
                    out 0 B/s, xact 1000 us, query 300 us, wait 500 us";
        assert_eq!(Averages(average).to_string(), line);

        // A quiet period that was ended late.
        period.roll(start.plus(minute * 3), minute, &counters);
        assert_eq!(period.last(), (&Counters::default(), minute * 2));
        assert_eq!(Averages::of(period.last().0, period.last().1), Averages::default());
    }

    #[test]
    fn pools_add_up() {
        let mut sum = Counters { xact_count: 1, sent: 5, ..Counters::default() };
        sum += &Counters { xact_count: 2, wait_time: 7, ..Counters::default() };
        assert_eq!(sum, Counters { xact_count: 3, sent: 5, wait_time: 7, ..Counters::default() });
    }
}
