//! Durations as people write them: `300s`, `5m`, `1h`, `7d`, or a bare number of seconds.

use std::time::Duration;

/// A text that is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a duration: write seconds (`300`), or a number with `ms`, `s`, `m`, `h` or `d`")]
pub struct ParseSpanError(String);

/// Reads a duration. A bare number counts seconds.
///
/// # Errors
/// When the text is not a whole number with one of the known units, or too large to count.
pub fn parse(text: &str) -> Result<Duration, ParseSpanError> {
    let fail = || ParseSpanError(text.chars().take(40).collect());
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number: u64 = text[..digits].parse().map_err(|_| fail())?;
    let millis_per_unit = match text[digits..].trim() {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(fail()),
    };
    number.checked_mul(millis_per_unit).map(Duration::from_millis).ok_or_else(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        assert_eq!(parse("300").unwrap(), Duration::from_secs(300));
        assert_eq!(parse("250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(parse("7d").unwrap(), Duration::from_secs(604_800));
        for bad in ["", "s", "5 weeks", "-1", "99999999999999999999", "1.5h"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
