//! Timeouts as the command line takes them: a duration, or one of the special values 0 and −1.

use std::str::FromStr;

use dormouse_base::span;

/// Whole seconds; 0 and −1 mean what the option says they mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timeout(pub(crate) i64);

impl FromStr for Timeout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "-1" {
            return Ok(Self(-1));
        }
        let duration = span::parse(text).map_err(|error| error.to_string())?;
        if duration.subsec_millis() != 0 {
            return Err(format!("`{text}` is not a whole number of seconds"));
        }
        i64::try_from(duration.as_secs()).map(Self).map_err(|_| format!("`{text}` is too long"))
    }
}

#[cfg(test)]
mod tests {
    use super::Timeout;

    #[test]
    fn durations_and_special_values() {
        let read = |text: &str| text.parse::<Timeout>().map(|timeout| timeout.0);
        assert_eq!((read("5m"), read("300"), read("0"), read("-1")), (Ok(300), Ok(300), Ok(0), Ok(-1)));
        assert_eq!(read("2000ms"), Ok(2));
        for bad in ["-2", "1500ms", "soon", ""] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
