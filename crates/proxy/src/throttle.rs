//! Slows down password guessing, per source address, endpoint and role. As a source counts what one customer of a
//! provider has ([`source`]): an address of IPv4, a network of IPv6.
//!
//! Only wrong passwords are charged. A bucket of [`BURST`] charges refills with one every [`REFILL`];
//! while it is full, logins are refused without looking at the password. The bucket is looked at
//! when a login begins and again in the instant before its password is compared, so a thousand tries
//! at once are no better than one after the other, while a pool of clients that starts at once, all
//! with the right password, is not in anybody's way. Other addresses, endpoints and roles are not
//! touched. A right password forgives nothing that others did.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use dormouse_base::EndpointId;
use dormouse_base::clock::Mono;
use parking_lot::Mutex;

use crate::arrivals::source;

/// Failures in a row before logins are refused.
pub const BURST: u32 = 10;

/// One more try is granted after this long.
pub const REFILL: Duration = Duration::from_secs(6);

/// Buckets remembered. Those with the fewest charges are forgotten first, and of these the stalest: whoever is locked out
/// does not get in again by trying names that do not matter.
pub const MAX_BUCKETS: usize = 10_000;

/// Who tries what: the address, and a keyed hash of endpoint and role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Who(IpAddr, u64);

/// Charges by who tries what.
#[derive(Debug, Default)]
pub struct Throttle {
    buckets: Mutex<HashMap<Who, Bucket>>,
    hasher: RandomState,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    charges: u32,
    since: Mono,
}

impl Bucket {
    /// This bucket now: what has been refilled since is gone, and the rest of the time is kept.
    fn at(self, now: Mono) -> Self {
        let periods = u32::try_from(now.since(self.since).as_secs() / REFILL.as_secs()).unwrap_or(u32::MAX);
        if periods >= self.charges {
            return Self { charges: 0, since: now };
        }
        Self { charges: self.charges - periods, since: self.since.plus(REFILL * periods) }
    }
}

impl Throttle {
    /// Names a bucket.
    #[must_use]
    pub fn who(&self, from: IpAddr, endpoint: &EndpointId, role: &str) -> Who {
        Who(source(from), self.hasher.hash_one((endpoint, role)))
    }

    /// Names the bucket of an address that tries the console.
    #[must_use]
    pub fn console(&self, from: IpAddr) -> Who {
        Who(source(from), self.hasher.hash_one("the console"))
    }

    /// Whether a password may be tried now.
    ///
    /// # Errors
    /// The time until the next try is possible.
    pub fn check(&self, who: Who, now: Mono) -> Result<(), Duration> {
        let Some(bucket) = self.buckets.lock().get(&who).map(|bucket| bucket.at(now)) else { return Ok(()) };
        if bucket.charges < BURST { Ok(()) } else { Err(REFILL.saturating_sub(now.since(bucket.since))) }
    }

    /// Charges a wrong password.
    pub fn charge(&self, who: Who, now: Mono) {
        let mut buckets = self.buckets.lock();
        if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(&who) {
            let rank = |bucket: &Bucket| {
                let Bucket { charges, since } = bucket.at(now);
                (charges, since)
            };
            let least = buckets.iter().min_by_key(|(_, bucket)| rank(bucket)).map(|(who, _)| *who);
            least.map(|who| buckets.remove(&who));
        }
        let bucket = buckets.entry(who).or_insert(Bucket { charges: 0, since: now });
        *bucket = bucket.at(now);
        // Threads that compared at the same instant may go over by one each.
        bucket.charges = (bucket.charges + 1).min(BURST);
    }

    /// What was charged proved right after all.
    pub fn refund(&self, who: Who) {
        let mut buckets = self.buckets.lock();
        if let Some(bucket) = buckets.get_mut(&who) {
            bucket.charges = bucket.charges.saturating_sub(1);
            if bucket.charges == 0 {
                buckets.remove(&who);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(throttle: &Throttle, last: u8, endpoint: &str, role: &str) -> Who {
        throttle.who([127, 0, 0, last].into(), &endpoint.parse().unwrap(), role)
    }

    #[test]
    fn a_guesser_is_stopped_and_nobody_else() {
        let (throttle, now) = (Throttle::default(), Mono::now());
        let guesser = who(&throttle, 1, "ep-a-a-a", "anna");
        for _ in 0..BURST {
            assert!(throttle.check(guesser, now).is_ok());
            throttle.charge(guesser, now);
        }
        assert!(throttle.check(guesser, now).is_err());
        for other in [(1, "ep-a-a-a", "bert"), (2, "ep-a-a-a", "anna"), (1, "ep-b-b-b", "anna")] {
            assert!(throttle.check(who(&throttle, other.0, other.1, other.2), now).is_ok(), "{other:?}");
        }
        let later = now.plus(REFILL);
        assert!(throttle.check(guesser, later).is_ok(), "one try after a while");
        throttle.charge(guesser, later);
        assert!(throttle.check(guesser, later).is_err(), "and not two");
    }

    #[test]
    fn whoever_has_a_network_is_one_guesser() {
        let (throttle, now) = (Throttle::default(), Mono::now());
        let endpoint = "ep-a-a-a".parse().unwrap();
        let from = |address: String| throttle.who(address.parse().unwrap(), &endpoint, "anna");
        for n in 0..BURST {
            throttle.charge(from(format!("2001:db8:1:2::{n:x}")), now);
        }
        assert!(throttle.check(from("2001:db8:1:2:9::9".to_owned()), now).is_err());
        assert!(throttle.check(from("2001:db8:1:3::9".to_owned()), now).is_ok());
        assert_eq!(from("::ffff:192.0.2.1".to_owned()), from("192.0.2.1".to_owned()));
    }

    #[test]
    fn success_forgives_only_itself() {
        let (throttle, now) = (Throttle::default(), Mono::now());
        let guesser = who(&throttle, 1, "ep-a-a-a", "anna");
        for _ in 0..BURST - 1 {
            throttle.charge(guesser, now);
        }
        for _ in 0..100 {
            throttle.charge(guesser, now);
            throttle.refund(guesser);
        }
        throttle.charge(guesser, now);
        assert!(throttle.check(guesser, now).is_err());
    }

    #[test]
    fn memory_is_bounded_and_who_is_locked_out_stays_so() {
        let (throttle, now) = (Throttle::default(), Mono::now());
        let guesser = who(&throttle, 1, "ep-a-a-a", "anna");
        for _ in 0..BURST {
            throttle.charge(guesser, now);
        }
        let now = now.plus(Duration::from_millis(1));
        for n in 0..MAX_BUCKETS + 10 {
            throttle.charge(who(&throttle, 1, "ep-a-a-a", &n.to_string()), now);
        }
        assert!(throttle.buckets.lock().len() <= MAX_BUCKETS);
        assert!(throttle.check(guesser, now).is_err());
    }
}
