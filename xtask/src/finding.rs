//! One thing that a check has to say about one place.

use std::fmt;

/// How bad it is. A warning is printed and forgotten; a failure turns the build red.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Over the aim, under the hard limit.
    Warning,
    /// Against a rule.
    Failure,
}

/// A broken rule, with the place and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Warning or failure.
    pub(crate) level: Level,
    /// Path from the workspace root, with `/`.
    pub(crate) path: String,
    /// Line from 1, or 0 when the whole file is meant.
    pub(crate) line: usize,
    /// What is wrong, then what to do.
    pub(crate) message: String,
}

impl Finding {
    /// A broken rule at `path:line` (`line` 0: the whole file).
    pub(crate) fn failure(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { level: Level::Failure, path: path.to_owned(), line, message: message.into() }
    }

    /// Something that is over the aim but not yet over the limit.
    pub(crate) fn warning(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { level: Level::Warning, path: path.to_owned(), line, message: message.into() }
    }

    /// Compares a measured length with an aim and a limit: over `fail` fails, over `warn` warns.
    pub(crate) fn over(
        path: &str,
        line: usize,
        measured: usize,
        warn: usize,
        fail: usize,
        message: &str,
    ) -> Option<Self> {
        if measured > fail {
            Some(Self::failure(path, line, format!("{message} ({measured}, limit {fail})")))
        } else if measured > warn {
            Some(Self::warning(path, line, format!("{message} ({measured}, aim {warn}, limit {fail})")))
        } else {
            None
        }
    }

    /// Whether this one makes the command fail.
    pub(crate) fn is_failure(&self) -> bool {
        self.level == Level::Failure
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Warning => "warning",
            Level::Failure => "FAILURE",
        };
        if self.line == 0 {
            write!(out, "{level} {}: {}", self.path, self.message)
        } else {
            write!(out, "{level} {}:{}: {}", self.path, self.line, self.message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_fine_then_warned_about_then_refused() {
        let at = |measured| Finding::over("a.rs", 1, measured, 60, 100, "long").map(|found| found.level);
        assert_eq!(at(60), None);
        assert_eq!(at(61), Some(Level::Warning));
        assert_eq!(at(100), Some(Level::Warning));
        assert_eq!(at(101), Some(Level::Failure));
    }

    #[test]
    fn the_printed_place_can_be_clicked() {
        assert_eq!(Finding::failure("a.rs", 7, "no").to_string(), "FAILURE a.rs:7: no");
        assert_eq!(Finding::warning("a.rs", 0, "hm").to_string(), "warning a.rs: hm");
    }
}
