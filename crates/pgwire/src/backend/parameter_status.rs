//! ParameterStatus: a setting that drivers want to know (`server_version`, `client_encoding`, …), and its value.

use crate::cursor::{Cursor, Malformed};
use crate::encode::{Encode, tagged, text};
use crate::tag;

/// A setting and its value now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterStatus {
    /// The setting.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl ParameterStatus {
    /// A setting and its value.
    #[must_use]
    pub fn new(name: &str, value: &str) -> Self {
        Self { name: name.to_owned(), value: value.to_owned() }
    }

    /// Reads the body of an `S` message. A value that is not UTF-8 is kept with replacement characters.
    ///
    /// # Errors
    /// When it is not exactly two zero-terminated texts.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new("ParameterStatus", body);
        let name = cursor.utf8()?.to_owned();
        let value = String::from_utf8_lossy(cursor.text()?).into_owned();
        cursor.end()?;
        Ok(Self { name, value })
    }
}

impl Encode for ParameterStatus {
    fn encode_into(&self, out: &mut Vec<u8>) {
        tagged(out, tag::backend::PARAMETER_STATUS, |body| {
            text(body, &self.name);
            text(body, &self.value);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_refusals() {
        let status = ParameterStatus::new("TimeZone", "UTC");
        let bytes = status.encode();
        assert_eq!(bytes, b"S\x00\x00\x00\x11TimeZone\0UTC\0");
        assert_eq!(ParameterStatus::decode(&bytes[5..]), Ok(status));
        for body in [&b"a\0"[..], b"a\0b", b"a\0b\0c"] {
            assert!(ParameterStatus::decode(body).is_err(), "{body:?}");
        }
    }
}
