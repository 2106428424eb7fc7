//! Slows down password guessing, per source address and role.
//!
//! A bucket of [`BURST`] failures refills with one every [`REFILL`]. While it is empty, logins of
//! that role from that address are refused without looking at the password, so a guesser learns
//! nothing more; other addresses and roles are not touched. A success forgives earlier failures.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use dormouse_base::clock::Mono;
use parking_lot::Mutex;

/// Failures in a row before logins are refused.
pub const BURST: u32 = 10;

/// One more try is granted after this long.
pub const REFILL: Duration = Duration::from_secs(6);

/// Pairs remembered; the stalest is forgotten first.
pub const MAX_PAIRS: usize = 10_000;

/// Failures by (address, role).
#[derive(Debug, Default)]
pub struct Throttle(Mutex<HashMap<(IpAddr, String), Bucket>>);

#[derive(Debug, Clone, Copy)]
struct Bucket {
    failures: u32,
    since: Mono,
}

impl Bucket {
    /// Failures that have not been refilled yet.
    fn left(&self, now: Mono) -> u32 {
        let refilled = now.since(self.since).as_secs() / REFILL.as_secs();
        self.failures.saturating_sub(u32::try_from(refilled).unwrap_or(u32::MAX))
    }
}

impl Throttle {
    /// Whether this pair may try now; if not, after which time.
    ///
    /// # Errors
    /// The time to wait.
    pub fn check(&self, from: IpAddr, role: &str, now: Mono) -> Result<(), Duration> {
        let buckets = self.0.lock();
        match buckets.get(&(from, role.to_owned())) {
            Some(bucket) if bucket.left(now) >= BURST => {
                let over = bucket.left(now) - BURST + 1;
                Err(REFILL * over)
            }
            _ => Ok(()),
        }
    }

    /// Counts a failure.
    pub fn failed(&self, from: IpAddr, role: &str, now: Mono) {
        let mut buckets = self.0.lock();
        if buckets.len() >= MAX_PAIRS {
            let stalest = buckets.iter().min_by_key(|(_, b)| b.since).map(|(pair, _)| pair.clone());
            stalest.map(|pair| buckets.remove(&pair));
        }
        let bucket = buckets.entry((from, role.to_owned())).or_insert(Bucket { failures: 0, since: now });
        *bucket = Bucket { failures: bucket.left(now) + 1, since: now };
    }

    /// Forgives.
    pub fn succeeded(&self, from: IpAddr, role: &str) {
        self.0.lock().remove(&(from, role.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guesser_is_stopped_and_nobody_else() {
        let (throttle, now) = (Throttle::default(), Mono::now());
        let (bad, good): (IpAddr, IpAddr) = ([127, 0, 0, 1].into(), [127, 0, 0, 2].into());
        for _ in 0..BURST {
            assert!(throttle.check(bad, "anna", now).is_ok());
            throttle.failed(bad, "anna", now);
        }
        assert!(throttle.check(bad, "anna", now).is_err());
        assert!(throttle.check(bad, "bert", now).is_ok() && throttle.check(good, "anna", now).is_ok());
        assert!(throttle.check(bad, "anna", now.plus(REFILL)).is_ok(), "one try after a while");
        throttle.failed(bad, "anna", now.plus(REFILL));
        assert!(throttle.check(bad, "anna", now.plus(REFILL)).is_err());
        throttle.succeeded(bad, "anna");
        assert!(throttle.check(bad, "anna", now).is_ok());
    }

    #[test]
    fn memory_is_bounded() {
        let (throttle, now) = (Throttle::default(), Mono::now());
        for n in 0..MAX_PAIRS + 10 {
            throttle.failed([127, 0, 0, 1].into(), &n.to_string(), now);
        }
        assert!(throttle.0.lock().len() <= MAX_PAIRS);
    }
}
