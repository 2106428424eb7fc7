//! How values are written: PgBouncer's way, and units where a bare number would be hard to read.

use std::time::Duration;

use dormouse_base::span;

use super::table::Kind;

/// When a backend goes back to the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PoolMode {
    /// When the client disconnects.
    Session,
    /// After each transaction.
    #[default]
    Transaction,
    /// After each statement; transactions of several statements are refused.
    Statement,
}

impl PoolMode {
    /// PgBouncer's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Transaction => "transaction",
            Self::Statement => "statement",
        }
    }
}

/// A type that a setting can have.
pub trait Value: Sized {
    /// What the setting takes, for messages.
    const KIND: Kind;
    /// Reads a text; `None` when it is not one of these.
    fn read(text: &str) -> Option<Self>;
    /// The text that SHOW CONFIG has for it.
    fn show(&self) -> String;
}

impl Value for u32 {
    const KIND: Kind = Kind::Int;

    fn read(text: &str) -> Option<Self> {
        text.parse::<i64>().ok().and_then(|number| Self::try_from(number).ok())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for bool {
    const KIND: Kind = Kind::Bool;

    fn read(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "1" | "on" | "true" | "yes" => Some(true),
            "0" | "off" | "false" | "no" => Some(false),
            _ => None,
        }
    }

    fn show(&self) -> String {
        u8::from(*self).to_string()
    }
}

impl Value for Duration {
    const KIND: Kind = Kind::Seconds;

    /// Seconds, with a fraction (`0.5`), or with a unit (`500ms`, `5m`).
    fn read(text: &str) -> Option<Self> {
        /// A hundred years: more is a slip of the keyboard, and would overflow the clock.
        const LONGEST: f64 = 3_155_760_000.0;
        let fits = |span: &Self| span.as_secs_f64() <= LONGEST;
        let is_number = text.starts_with(|c: char| c.is_ascii_digit())
            && text.bytes().all(|c| c.is_ascii_digit() || c == b'.');
        if is_number {
            let seconds: f64 = text.parse().ok()?;
            return Self::try_from_secs_f64(seconds).ok().filter(fits);
        }
        span::parse(text).ok().filter(fits)
    }

    fn show(&self) -> String {
        let text = format!("{}.{:06}", self.as_secs(), self.subsec_micros());
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

impl Value for String {
    const KIND: Kind = Kind::Text;

    fn read(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl Value for PoolMode {
    const KIND: Kind = Kind::PoolMode;

    fn read(text: &str) -> Option<Self> {
        [Self::Session, Self::Transaction, Self::Statement]
            .into_iter()
            .find(|mode| mode.as_str().eq_ignore_ascii_case(text))
    }

    fn show(&self) -> String {
        self.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_have_fractions_and_units() {
        let read = <Duration as Value>::read;
        for (text, millis) in [("5.0", 5000), ("0.25", 250), ("0", 0), ("500ms", 500), ("2m", 120_000)] {
            assert_eq!(read(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for bad in ["", "-1", "1.2.3", "x", "1e3", "inf", "nan", ".5", "99999999999999", "5 weeks"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        for (millis, text) in [(5000, "5"), (250, "0.25"), (0, "0"), (100_000, "100"), (1, "0.001")] {
            assert_eq!(Duration::from_millis(millis).show(), text);
        }
    }

    #[test]
    fn numbers_and_switches() {
        assert_eq!(
            (u32::read("25"), u32::read("-1"), u32::read("25 "), u32::read("")),
            (Some(25), None, None, None)
        );
        assert_eq!((bool::read("ON"), bool::read("0"), bool::read("2")), (Some(true), Some(false), None));
        assert_eq!(PoolMode::read("Transaction"), Some(PoolMode::Transaction));
        assert_eq!(PoolMode::read("txn"), None);
    }
}
