//! Positions in the write-ahead log, and the timelines that they belong to.
//!
//! An LSN counts bytes of WAL since the cluster was made; PostgreSQL writes it as two hexadecimal
//! halves, `16/B374D848`. The WAL is cut into segment files of 16 MiB, whose names hold the timeline and
//! the segment's number; a timeline is what PostgreSQL starts anew whenever history forks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Bytes in one WAL segment file. Clusters with another size are refused at import.
pub const WAL_SEGMENT: u64 = 16 * 1024 * 1024;

/// A position in the WAL, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Lsn(pub u64);

/// A text that is not an LSN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a log sequence number: expected something like `16/B374D848`")]
pub struct ParseLsnError(String);

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Lsn {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Lsn".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}$",
            "examples": ["16/B374D848"],
        })
    }
}

impl Lsn {
    /// Before all history; PostgreSQL's "invalid" LSN.
    pub const ZERO: Lsn = Lsn(0);

    /// The number of the segment that holds this byte.
    #[must_use]
    pub fn segment(self) -> u64 {
        self.0 / WAL_SEGMENT
    }

    /// The first byte of the segment that holds this byte.
    #[must_use]
    pub fn segment_start(self) -> Lsn {
        Lsn(self.0 - self.0 % WAL_SEGMENT)
    }

    /// This position moved forward by so many bytes.
    #[must_use]
    pub fn plus(self, bytes: u64) -> Lsn {
        Lsn(self.0.saturating_add(bytes))
    }

    /// Bytes from `earlier` to this position; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Lsn) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Sixteen hexadecimal digits: sorts as text the way it sorts as a number. For object keys.
    #[must_use]
    pub fn key(self) -> String {
        format!("{:016x}", self.0)
    }

    /// Reads what [`Lsn::key`] wrote.
    #[must_use]
    pub fn from_key(text: &str) -> Option<Lsn> {
        (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok().map(Lsn))?
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

impl fmt::Debug for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Lsn {
    type Err = ParseLsnError;
    fn from_str(text: &str) -> Result<Self, ParseLsnError> {
        let half = |part: &str| {
            let ok = (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_hexdigit());
            ok.then(|| u64::from_str_radix(part, 16).ok()).flatten()
        };
        let parsed = text.split_once('/').and_then(|(high, low)| Some((half(high)? << 32) | half(low)?));
        parsed.map(Lsn).ok_or_else(|| ParseLsnError(text.chars().take(40).collect()))
    }
}

impl TryFrom<String> for Lsn {
    type Error = ParseLsnError;
    fn try_from(text: String) -> Result<Self, ParseLsnError> {
        text.parse()
    }
}

impl From<Lsn> for String {
    fn from(lsn: Lsn) -> String {
        lsn.to_string()
    }
}

/// A timeline of PostgreSQL. Starts at 1; recovery to a point in the past starts the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Timeline(pub u32);

impl Timeline {
    /// The timeline that a promotion starts.
    #[must_use]
    pub fn next(self) -> Timeline {
        Timeline(self.0 + 1)
    }

    /// The name of the segment file that holds `lsn`.
    #[must_use]
    pub fn segment_name(self, lsn: Lsn) -> String {
        let per_id = 0x1_0000_0000 / WAL_SEGMENT;
        let number = lsn.segment();
        format!("{:08X}{:08X}{:08X}", self.0, number / per_id, number % per_id)
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_back() {
        for (text, value) in [("0/0", 0), ("16/B374D848", 0x16_B374_D848), ("FFFFFFFF/FFFFFFFF", u64::MAX)] {
            assert_eq!(text.parse::<Lsn>().unwrap(), Lsn(value));
            assert_eq!(Lsn(value).to_string(), text);
        }
        for bad in ["", "1", "/1", "1/", "1/123456789", "g/0", "1/-1", " 1/1"] {
            assert!(bad.parse::<Lsn>().is_err(), "{bad}");
        }
        assert_eq!(Lsn::from_key(&Lsn(77).key()), Some(Lsn(77)));
    }

    #[test]
    fn segment_names_are_those_of_postgresql() {
        assert_eq!(Timeline(1).segment_name(Lsn(0x100_0000)), "000000010000000000000001");
        assert_eq!(Timeline(3).segment_name(Lsn(0x2_FF00_0001)), "0000000300000002000000FF");
    }
}
