//! What this machine has and lacks, without starting anything: `dormouse doctor`.
//!
//! One file per area; each returns findings with advice that can be followed literally. A `Fail`
//! means that `dormouse up` cannot work.

mod kernel;
mod people;
mod postgres;
mod space;

use std::path::PathBuf;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// Works, but worse than it could.
    Warn,
    /// Does not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// `postgres`, `user`, `cgroup`, …
    pub area: String,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub what: String,
    /// What to do about it.
    pub advice: Option<String>,
}

impl Finding {
    fn new(area: &str, level: Level, what: impl Into<String>) -> Self {
        Self { area: area.to_owned(), level, what: what.into(), advice: None }
    }

    fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

/// What to look at.
#[derive(Debug, Clone)]
pub struct DoctorOptions {
    /// The data directory that would be used.
    pub data: PathBuf,
    /// Installations to prefer.
    pub pg_dir: Vec<PathBuf>,
}

/// Looks at everything.
#[must_use]
pub fn examine(options: &DoctorOptions) -> Vec<Finding> {
    let mut findings = postgres::examine(&options.pg_dir);
    findings.extend(people::examine(&options.data));
    findings.extend(kernel::examine());
    findings.extend(space::examine(&options.data));
    findings
}
