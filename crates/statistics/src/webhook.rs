//! Notices to webhooks: how they are signed, how often they are tried, and where they may go. Pure; who sends is
//! control's reconciler `notices`.
//!
//! **Signature.** `Dormouse-Signature: t=<seconds since 1970>,v1=<hex>`, where `hex` is HMAC-SHA256 with the webhook's
//! secret (its text, as it was shown) over `<t>.<body>`. A receiver compares it in constant time, refuses a `t` that is
//! minutes away from its own clock, and knows a second copy by `Dormouse-Delivery`, which is the same at every try.
//!
//! **Where to.** A webhook makes this server send requests, so who may make one could reach what only this machine can.
//! Only keys for the whole server may; what is refused anyway is [`check_url`] and [`check_address`]. Loopback and private networks
//! are allowed on purpose: people who host their own database host their own receiver. Answers are never shown, only
//! their status, so nothing can be read this way.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use dormouse_base::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use url::Url;

/// The header with the signature.
pub const SIGNATURE: &str = "dormouse-signature";
/// The header with the notice's ID.
pub const DELIVERY: &str = "dormouse-delivery";
/// What a secret begins with.
pub const SECRET_PREFIX: &str = "whsec_";
/// The most tries of one notice. With the pauses of [`pause`] the last is about an hour after the first.
pub const MAX_ATTEMPTS: u32 = 12;
/// The shortest pause between two tries.
pub const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// The longest pause between two tries.
pub const MAX_PAUSE: Duration = Duration::from_secs(3600);
/// One try may take so long, from the name's look-up to the answer's status.
pub const TRY_WITHIN: Duration = Duration::from_secs(10);
/// The longest URL, bytes.
pub const MAX_URL: usize = 2000;

/// The pause after so many failed tries: 2 s, doubled each time, up to [`MAX_PAUSE`], and up to a fifth more by
/// `jitter` (0 to 255), so that many notices do not come back at once.
#[must_use]
pub fn pause(attempts: u32, jitter: u8) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << attempts.saturating_sub(1).min(20));
    let pause = doubled.min(MAX_PAUSE);
    pause + pause * u32::from(jitter) / (5 * 255)
}

/// The value of [`SIGNATURE`].
#[must_use]
pub fn sign(secret: &Secret<String>, at: i64, body: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("HMAC takes keys of every length");
    mac.update(format!("{at}.").as_bytes());
    mac.update(body);
    format!("t={at},v1={}", hex::encode(mac.finalize().into_bytes()))
}

/// A place where notices are not sent to. Safe to show.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// It is too long.
    #[error("the URL is longer than {MAX_URL} bytes")]
    Long,
    /// It is none.
    #[error("this is not a URL: give one like https://example.com/hooks/dormouse")]
    NotOne,
    /// It is not for the web.
    #[error("a webhook's URL begins with https:// or http://")]
    Scheme,
    /// Everybody who sees the list of webhooks would see it.
    #[error(
        "a webhook's URL must not have a user or a password in it: notices are signed with the webhook's secret"
    )]
    Userinfo,
    /// It is the address of something that only machines inside may ask, such as a cloud's metadata.
    #[error(
        "notices are not sent to link-local, multicast and unspecified addresses, nor to a cloud's metadata: `{0}` is one"
    )]
    Address(IpAddr),
}

/// Reads a webhook's URL.
///
/// # Errors
/// When notices are not sent there.
pub fn check_url(text: &str) -> Result<Url, BadUrl> {
    if text.len() > MAX_URL {
        return Err(BadUrl::Long);
    }
    let url = Url::parse(text).map_err(|_| BadUrl::NotOne)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(BadUrl::Scheme);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(BadUrl::Userinfo);
    }
    match url.host() {
        None => return Err(BadUrl::NotOne),
        Some(url::Host::Ipv4(address)) => check_address(address.into())?,
        Some(url::Host::Ipv6(address)) => check_address(address.into())?,
        Some(url::Host::Domain(_)) => {}
    }
    Ok(url)
}

/// Looks at an address before it is connected to: a name may mean anything, and another thing at every look-up.
///
/// # Errors
/// When notices are not sent there.
pub fn check_address(address: IpAddr) -> Result<(), BadUrl> {
    let canonical = embedded(address);
    let refused = match canonical {
        IpAddr::V4(v4) => {
            v4.is_link_local()
                || v4.is_multicast()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || METADATA_V4.contains(&v4)
        }
        IpAddr::V6(v6) => {
            v6.is_unicast_link_local() || v6.is_multicast() || v6.is_unspecified() || v6 == METADATA_V6
        }
    };
    if refused { Err(BadUrl::Address(canonical)) } else { Ok(()) }
}

/// Where clouds answer a machine about itself with addresses that look like any other: Alibaba, Oracle, Azure.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192), Ipv4Addr::new(168, 63, 129, 16)];
/// The same of Amazon, over IPv6.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// The IPv4 address that an IPv6 address only wraps: mapped, compatible, by NAT64 (`64:ff9b::/96`) or 6to4 (`2002::/16`).
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address.to_canonical() else { return address.to_canonical() };
    let v4 = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match v6.segments() {
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => IpAddr::V6(v6),
        [0, 0, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        _ => IpAddr::V6(v6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_hmac_sha256_over_time_and_body() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac whsec_test
        let signature = sign(&Secret::new("whsec_test".to_owned()), 1_700_000_000, br#"{"a":1}"#);
        let (head, mac) = signature.split_at("t=1700000000,v1=".len());
        assert_eq!(head, "t=1700000000,v1=");
        assert_eq!(mac, "38877139021993b830af32feea6e18a8da83eb2f6e49ee50bd9e4cf4ca4d3789");
    }

    #[test]
    fn pauses_double_up_to_an_hour_with_a_fifth_of_chance() {
        let seconds = |attempts, jitter| pause(attempts, jitter).as_secs();
        assert_eq!([1, 2, 3, 11, 12, 4_000_000_000].map(|n| seconds(n, 0)), [2, 4, 8, 2048, 3600, 3600]);
        assert_eq!((seconds(5, 255), seconds(12, 255)), (38, 4320));
        let all: u64 = (1..MAX_ATTEMPTS).map(|n| seconds(n, 0)).sum();
        assert_eq!(all, 4094);
    }

    #[test]
    fn urls_are_for_the_web_and_not_for_what_is_inside() {
        for good in [
            "https://example.com/hook",
            "http://127.0.0.1:9/x",
            "http://[::1]/",
            "http://10.1.2.3/",
            "http://[64:ff9b::c000:201]/",
            "http://[2001:db8::1]/",
            "http://localhost:80",
        ] {
            check_url(good).unwrap();
        }
        for (bad, wanted) in [
            ("example.com", BadUrl::NotOne),
            ("ftp://example.com", BadUrl::Scheme),
            ("file:///etc/passwd", BadUrl::Scheme),
            ("https://me@example.com", BadUrl::Userinfo),
            ("https://:pw@example.com", BadUrl::Userinfo),
            ("http://169.254.169.254/latest", BadUrl::Address("169.254.169.254".parse().unwrap())),
            // The same, written otherwise.
            ("http://2852039166/", BadUrl::Address("169.254.169.254".parse().unwrap())),
            ("http://[::ffff:169.254.169.254]/", BadUrl::Address("169.254.169.254".parse().unwrap())),
            // And once more, as IPv6 wraps it.
            ("http://[::169.254.169.254]/", BadUrl::Address("169.254.169.254".parse().unwrap())),
            ("http://[64:ff9b::a9fe:a9fe]/", BadUrl::Address("169.254.169.254".parse().unwrap())),
            ("http://[2002:a9fe:a9fe::]/", BadUrl::Address("169.254.169.254".parse().unwrap())),
            ("http://100.100.100.200/", BadUrl::Address("100.100.100.200".parse().unwrap())),
            ("http://168.63.129.16/", BadUrl::Address("168.63.129.16".parse().unwrap())),
            ("http://[::]/", BadUrl::Address("::".parse().unwrap())),
            ("http://0.0.0.0/", BadUrl::Address("0.0.0.0".parse().unwrap())),
            ("http://[fe80::1]/", BadUrl::Address("fe80::1".parse().unwrap())),
            ("http://[fd00:ec2::254]/", BadUrl::Address("fd00:ec2::254".parse().unwrap())),
        ] {
            assert_eq!(check_url(bad), Err(wanted), "{bad}");
        }
        assert_eq!(check_url(&format!("https://e/{}", "x".repeat(MAX_URL))), Err(BadUrl::Long));
    }
}
