//! Which client addresses may connect: lists of single addresses, ranges and networks.
//!
//! ```text
//!  192.0.2.7          one address          2001:db8::7
//!  192.0.2.10-192.0.2.20   a range         2001:db8::1-2001:db8::ff
//!  192.0.2.0/24       a network            2001:db8::/32
//! ```
//!
//! An empty list allows everybody. An address of version 4 that is written (or arrives) in the clothes of
//! version 6, `::ffff:192.0.2.7`, is the same as the bare one. The project's list and the endpoint's are
//! both asked, so an endpoint can only be stricter than its project.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Refused;

/// The most entries of one list.
pub const MAX_ALLOWED: usize = 200;

/// The bits that all addresses of version 6 share that stand for one of version 4.
const MAPPED_BITS: u8 = 96;

/// The addresses from the first to the last, both included, of one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    first: IpAddr,
    last: IpAddr,
}

impl Span {
    fn of(first: IpAddr, last: IpAddr) -> Option<Self> {
        let (first, last) = (first.to_canonical(), last.to_canonical());
        (first.is_ipv4() == last.is_ipv4() && first <= last).then_some(Self { first, last })
    }

    fn parse(text: &str) -> Option<Self> {
        if let Some((first, last)) = text.split_once('-') {
            return Self::of(first.trim().parse().ok()?, last.trim().parse().ok()?);
        }
        let Some((base, bits)) = text.split_once('/') else {
            let one: IpAddr = text.parse().ok()?;
            return Self::of(one, one);
        };
        if bits.is_empty() || !bits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let bits: u8 = bits.parse().ok()?;
        match base.parse().ok()? {
            IpAddr::V4(base) if bits <= 32 => {
                let rest = u32::MAX.checked_shr(bits.into()).unwrap_or(0);
                let first = base.to_bits() & !rest;
                Self::of(Ipv4Addr::from_bits(first).into(), Ipv4Addr::from_bits(first | rest).into())
            }
            IpAddr::V6(base) if bits <= 128 => {
                let rest = u128::MAX.checked_shr(bits.into()).unwrap_or(0);
                let first = base.to_bits() & !rest;
                let (first, last) = (Ipv6Addr::from_bits(first), Ipv6Addr::from_bits(first | rest));
                // Wider than the mapped addresses, it may hold them without anybody having meant it.
                if bits < MAPPED_BITS {
                    return Some(Self { first: first.into(), last: last.into() });
                }
                Self::of(first.into(), last.into())
            }
            _ => None,
        }
    }

    fn holds(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && (self.first..=self.last).contains(&address)
    }
}

/// Whether a list lets an address in. An entry that cannot be read lets nobody in.
#[must_use]
pub fn admits(list: &[String], address: IpAddr) -> bool {
    let address = address.to_canonical();
    list.is_empty() || list.iter().filter_map(|entry| Span::parse(entry)).any(|span| span.holds(address))
}

/// A list as it is kept: without spaces around entries, and each of them once.
///
/// # Errors
/// When an entry is none, or there are too many.
pub fn list(entries: Vec<String>) -> Result<Vec<String>, Refused> {
    let mut kept: Vec<String> = Vec::with_capacity(entries.len().min(MAX_ALLOWED));
    for entry in entries {
        let entry = entry.trim();
        if Span::parse(entry).is_none() {
            let shown: String = entry.chars().take(80).collect();
            let message = format!(
                "`{shown}` is no address, range or network: write 192.0.2.7, 192.0.2.10-192.0.2.20 or \
                 192.0.2.0/24, or the same of IPv6"
            );
            return Err(Refused::new("bad-address", message));
        }
        if !kept.iter().any(|other| other == entry) {
            kept.push(entry.to_owned());
        }
        if kept.len() > MAX_ALLOWED {
            let message = format!("a list has at most {MAX_ALLOWED} entries: use ranges or networks");
            return Err(Refused::new("bad-address", message));
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lets_in(list: &[&str], address: &str) -> bool {
        let list: Vec<String> = list.iter().map(|&e| e.to_owned()).collect();
        admits(&list, address.parse().unwrap())
    }

    #[test]
    fn every_form_and_its_edges() {
        for (entry, inside, outside) in [
            ("192.0.2.7", &["192.0.2.7", "::ffff:192.0.2.7"][..], &["192.0.2.8", "::192.0.2.7", "::1"][..]),
            ("::ffff:192.0.2.7", &["192.0.2.7"], &["192.0.2.8"]),
            ("192.0.2.10-192.0.2.20", &["192.0.2.10", "192.0.2.20"], &["192.0.2.9", "192.0.2.21", "::ffff"]),
            ("192.0.2.77/24", &["192.0.2.0", "192.0.2.255"], &["192.0.1.255", "192.0.3.0"]),
            ("192.0.2.7/32", &["192.0.2.7"], &["192.0.2.6", "192.0.2.8"]),
            ("0.0.0.0/0", &["0.0.0.0", "255.255.255.255", "::ffff:8.8.8.8"], &["::1", "2001:db8::1"]),
            ("::/0", &["::1", "2001:db8::1", "ffff::"], &["8.8.8.8", "::ffff:8.8.8.8"]),
            ("2001:db8::/32", &["2001:db8::", "2001:db8:ffff::1"], &["2001:db9::", "192.0.2.7"]),
            ("2001:db8::7/128", &["2001:db8::7"], &["2001:db8::6", "2001:db8::8"]),
            ("2001:db8::1-2001:db8::ff", &["2001:db8::1", "2001:DB8::FF"], &["2001:db8::", "2001:db8::100"]),
            ("::ffff:192.0.2.0/120", &["192.0.2.0", "192.0.2.255"], &["192.0.3.0"]),
        ] {
            inside.iter().for_each(|address| assert!(lets_in(&[entry], address), "{entry} {address}"));
            outside.iter().for_each(|address| assert!(!lets_in(&[entry], address), "{entry} {address}"));
        }
    }

    #[test]
    fn an_empty_list_is_no_list_and_a_broken_one_is_closed() {
        assert!(lets_in(&[], "192.0.2.7") && lets_in(&[], "::1"));
        assert!(!lets_in(&["what"], "192.0.2.7"));
        assert!(lets_in(&["what", "192.0.2.0/24"], "192.0.2.7"));
        assert!(!lets_in(&["192.0.2.7"], "127.0.0.1"), "loopback is not special");
    }

    #[test]
    fn what_is_no_entry_is_refused_by_name() {
        for bad in [
            "",
            "192.0.2",
            "192.0.2.7/33",
            "::/129",
            "192.0.2.7/",
            "192.0.2.7/+8",
            "192.0.2.7/24/8",
            "a-b",
            "192.0.2.20-192.0.2.10",
            "192.0.2.7-::1",
            "example.com",
            "192.0.2.7%eth0",
            "10.0.0.1 10.0.0.2",
        ] {
            let error = list(vec!["192.0.2.1".to_owned(), bad.to_owned()]).unwrap_err();
            assert!(error.message.contains(&format!("`{bad}`")), "{bad}: {error}");
        }
        let kept = list([" 192.0.2.7 ", "192.0.2.7", "::1"].map(str::to_owned).to_vec()).unwrap();
        assert_eq!(kept, ["192.0.2.7", "::1"]);
        let many = (0..=MAX_ALLOWED).map(|n| format!("10.0.{}.{}", n / 256, n % 256)).collect();
        assert!(list(many).unwrap_err().message.contains("at most"));
    }
}
