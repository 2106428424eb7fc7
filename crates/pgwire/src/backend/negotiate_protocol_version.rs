//! NegotiateProtocolVersion: "I speak only up to this minor version, and do not know these options."
//!
//! ```text
//!  newest minor: u32 (PostgreSQL sends the whole version, 3 << 16 | minor) │ count: u32 │ name\0 …
//! ```
//!
//! A client that asked for 3.2 or for `_pq_.` options goes on with less, or gives up. It is sent before
//! authentication starts.

use crate::cursor::{Cursor, Malformed};
use crate::encode::{Encode, tagged, text};
use crate::tag;

/// What the server can do instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NegotiateProtocolVersion {
    /// The newest minor version of protocol 3 that the server will speak with this client.
    pub newest_minor: u16,
    /// `_pq_.` options that it does not know.
    pub unknown_options: Vec<String>,
}

impl NegotiateProtocolVersion {
    /// The answer to a startup packet, when one is needed: the client wants a newer minor version than
    /// `newest_minor`, or options that we do not have (we have none).
    #[must_use]
    pub fn needed_for(startup: &crate::startup::Startup, newest_minor: u16) -> Option<Self> {
        let unknown_options: Vec<String> =
            startup.params.unknown_protocol_options().into_iter().map(str::to_owned).collect();
        let newest_minor = newest_minor.min(startup.version_minor);
        (startup.version_minor > newest_minor || !unknown_options.is_empty())
            .then_some(Self { newest_minor, unknown_options })
    }

    /// Reads the body of a `v` message.
    ///
    /// # Errors
    /// When it is cut short, something follows it, or it is about another major version.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new("NegotiateProtocolVersion", body);
        let [a, b, c, d] = cursor.u32()?.to_be_bytes();
        // PostgreSQL documents a minor version but sends both halves; either reading of "3" works.
        if !matches!(u16::from_be_bytes([a, b]), 0 | 3) {
            return cursor.fail("it is about another protocol");
        }
        let count = cursor.u32()?;
        let mut unknown_options = Vec::new();
        for _ in 0..count {
            unknown_options.push(cursor.utf8()?.to_owned());
        }
        cursor.end()?;
        Ok(Self { newest_minor: u16::from_be_bytes([c, d]), unknown_options })
    }
}

impl Encode for NegotiateProtocolVersion {
    fn encode_into(&self, out: &mut Vec<u8>) {
        tagged(out, tag::backend::NEGOTIATE_PROTOCOL_VERSION, |body| {
            body.extend_from_slice(&(3 << 16 | u32::from(self.newest_minor)).to_be_bytes());
            let count = u32::try_from(self.unknown_options.len()).expect("startup parameters are limited");
            body.extend_from_slice(&count.to_be_bytes());
            for name in &self.unknown_options {
                text(body, name);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::startup::Startup;

    #[test]
    fn round_trip_and_refusals() {
        let message = NegotiateProtocolVersion { newest_minor: 2, unknown_options: vec!["_pq_.a".into()] };
        let bytes = message.encode();
        assert_eq!(bytes, b"v\x00\x00\x00\x13\x00\x03\x00\x02\x00\x00\x00\x01_pq_.a\0");
        assert_eq!(NegotiateProtocolVersion::decode(&bytes[5..]), Ok(message));
        for body in [
            &b""[..],
            b"\0\x03\0\0",
            b"\0\x03\0\0\xff\xff\xff\xff",
            b"\0\x04\0\0\0\0\0\0",
            b"\0\x03\0\0\0\0\0\0x",
        ] {
            assert!(NegotiateProtocolVersion::decode(body).is_err(), "{body:?}");
        }
    }

    #[test]
    fn is_sent_only_when_needed() {
        let mut startup = Startup::new("a").unwrap();
        assert_eq!(NegotiateProtocolVersion::needed_for(&startup, 2), None);
        startup.version_minor = 2;
        assert_eq!(NegotiateProtocolVersion::needed_for(&startup, 2), None);
        assert_eq!(NegotiateProtocolVersion::needed_for(&startup, 0).unwrap().newest_minor, 0);
        startup.version_minor = 9999;
        assert_eq!(NegotiateProtocolVersion::needed_for(&startup, 2).unwrap().newest_minor, 2);
        let startup = Startup::new("a").unwrap().with("_pq_.x", "1").unwrap();
        let message = NegotiateProtocolVersion::needed_for(&startup, 2).unwrap();
        assert_eq!((message.newest_minor, message.unknown_options), (0, vec!["_pq_.x".to_owned()]));
    }
}
