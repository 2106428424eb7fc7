//! How fast one place may open connections.
//!
//! Accepting costs little, but what follows (a TLS handshake, a look into the metadata) costs a flood
//! of clients nothing and the server a lot. So each source has a bucket that holds [`BURST_SECONDS`] of
//! its rate and is refilled at that rate; with an empty one a new connection is told so and closed,
//! before anything is read or computed. An IPv6 customer owns a whole /64, so that counts as one source.
//!
//! This is about new connections only: [`crate::throttle`] is about guesses, `max_client_conn` about
//! how many there are at the same time.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use dormouse_base::clock::Mono;
use parking_lot::Mutex;

/// New connections a second from one source, unless the server is told otherwise. An application
/// server that opens a connection for every request stays below it; a flood does not.
pub const DEFAULT_RATE: u32 = 2_000;

/// A source that was quiet may open this many seconds' worth at once: a fleet behind one address that
/// starts all at the same time.
pub const BURST_SECONDS: u32 = 10;

/// Sources remembered. One that was quiet for [`BURST_SECONDS`] is as good as unknown and forgotten first.
pub const MAX_SOURCES: usize = 10_000;

/// The part of an IPv6 address that its owner cannot choose.
const NETWORK: u128 = !(u64::MAX as u128);

/// New connections by source.
#[derive(Debug)]
pub struct Arrivals {
    /// A connection's worth of time; `None` = no limit.
    each: Option<Duration>,
    full: Duration,
    /// When each source's bucket is full again. (A bucket is the time that it still needs.)
    full_at: Mutex<HashMap<IpAddr, Mono>>,
}

impl Arrivals {
    /// A limit of `rate` connections a second for each source; 0 = no limit.
    #[must_use]
    pub fn new(rate: u32) -> Self {
        Self {
            each: Duration::from_secs(1).checked_div(rate),
            full: Duration::from_secs(BURST_SECONDS.into()),
            full_at: Mutex::default(),
        }
    }

    /// Counts a connection from this address, if it may come in.
    ///
    /// # Errors
    /// The time until the next one may.
    pub fn enter(&self, from: IpAddr, now: Mono) -> Result<(), Duration> {
        let Some(each) = self.each else { return Ok(()) };
        let from = source(from);
        let mut full_at = self.full_at.lock();
        if full_at.len() >= MAX_SOURCES && !full_at.contains_key(&from) {
            make_room(&mut full_at, now);
        }
        let until = full_at.entry(from).or_insert(now);
        let missing = until.since(now) + each;
        if missing > self.full {
            return Err(missing.saturating_sub(self.full));
        }
        *until = now.plus(missing);
        Ok(())
    }
}

/// Forgets those that are full again; if there are none, the one that will be first.
fn make_room(full_at: &mut HashMap<IpAddr, Mono>, now: Mono) {
    full_at.retain(|_, until| !until.since(now).is_zero());
    if full_at.len() >= MAX_SOURCES {
        let first = full_at.iter().min_by_key(|(_, until)| **until).map(|(from, _)| *from);
        first.map(|from| full_at.remove(&from));
    }
}

/// What counts as one source.
pub(crate) fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() & NETWORK).into(),
        four @ IpAddr::V4(_) => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// How many of a flood get in.
    fn flood(arrivals: &Arrivals, from: &str, now: Mono) -> u32 {
        let from = address(from);
        (0..1_000).take_while(|_| arrivals.enter(from, now).is_ok()).count() as u32
    }

    #[test]
    fn a_flood_is_stopped_and_nobody_else() {
        let (arrivals, now) = (Arrivals::new(10), Mono::now());
        assert_eq!(flood(&arrivals, "192.0.2.1", now), 10 * BURST_SECONDS);
        let wait = arrivals.enter(address("192.0.2.1"), now).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        assert_eq!(flood(&arrivals, "192.0.2.2", now), 10 * BURST_SECONDS, "another one is not touched");
        assert_eq!(flood(&arrivals, "192.0.2.1", now.plus(Duration::from_secs(1))), 10, "its rate");
        assert_eq!(flood(&arrivals, "192.0.2.1", now.plus(Duration::from_secs(60))), 10 * BURST_SECONDS);
    }

    #[test]
    fn a_network_of_six_is_one_source_and_a_mapped_four_is_a_four() {
        let (arrivals, now) = (Arrivals::new(1), Mono::now());
        assert_eq!(flood(&arrivals, "2001:db8::1", now), BURST_SECONDS);
        assert_eq!(flood(&arrivals, "2001:db8::ffff:0:0:2", now), 0, "the same /64");
        assert_eq!(flood(&arrivals, "2001:db8:0:1::1", now), BURST_SECONDS, "the next one");
        assert_eq!(flood(&arrivals, "::ffff:192.0.2.1", now), BURST_SECONDS);
        assert_eq!(flood(&arrivals, "192.0.2.1", now), 0);
        assert_eq!(flood(&arrivals, "::ffff:192.0.2.2", now), BURST_SECONDS);
    }

    #[test]
    fn zero_is_no_limit() {
        assert_eq!(flood(&Arrivals::new(0), "192.0.2.1", Mono::now()), 1_000);
    }

    #[test]
    fn memory_is_bounded() {
        let (arrivals, now) = (Arrivals::new(1), Mono::now());
        for n in 0..MAX_SOURCES as u32 + 10 {
            assert!(arrivals.enter(IpAddr::V4(n.into()), now).is_ok());
        }
        assert!(arrivals.full_at.lock().len() <= MAX_SOURCES);
        arrivals.enter(address("192.0.2.1"), now.plus(Duration::from_secs(60))).unwrap();
        assert_eq!(arrivals.full_at.lock().len(), 1, "the quiet ones are forgotten");
    }
}
