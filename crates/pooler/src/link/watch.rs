//! Sessions in which texts do not mean what they seem to. While a backend is in one, it is asked after every
//! transaction, whatever the texts said:
//!
//! - `standard_conforming_strings = off`: a backslash in `'…'` takes the quote behind it along, so a literal ends
//!   elsewhere, and statements begin elsewhere. PostgreSQL reports this setting.
//! - `search_path = pg_temp, …`: what is created without a schema is temporary.

use super::server::Server;
use super::stateful::Stateful;
use crate::settings::Settings;

/// The setting that says how literals are read.
pub(super) const STRINGS: &str = "standard_conforming_strings";

/// The setting that says where things are created.
pub(super) const PATH: &str = "search_path";

impl Server {
    /// Its settings may be others now.
    pub(super) fn watch_settings(&mut self) {
        let strange = self.reported.get(STRINGS) == Some("off");
        let temporary = self.applied.get(PATH).is_some_and(creates_temporary);
        self.process.watched = match (strange, temporary) {
            (true, _) => Stateful::ANYTHING,
            (_, true) => Stateful::TEMP,
            _ => Stateful::default(),
        };
    }

    /// Whether it certainly has these settings and no others, so that nothing needs to be reset on it for who wants them.
    pub(super) fn has_only(&self, settings: &Settings) -> bool {
        let unsure = self.touched.with(self.ask).with(self.process.watched);
        self.applied == *settings && unsure.is_empty() && !self.process.unlisted
    }
}

/// Whether `pg_temp` is the first schema of a `search_path` that there certainly is.
pub(super) fn creates_temporary(path: &str) -> bool {
    let mut schemas = path.split(',').map(|name| name.trim().trim_matches('"'));
    let first = schemas.find(|name| *name != "$user");
    // By the name that everybody has for it, or by that which it has.
    first.map(str::to_ascii_lowercase).is_some_and(|name| name == "pg_temp" || name.starts_with("pg_temp_"))
}

/// Whether a value of a switch is surely "on".
pub(super) fn is_on(value: &str) -> bool {
    ["on", "true", "yes", "1"].iter().any(|on| value.eq_ignore_ascii_case(on))
}

#[cfg(test)]
mod tests {
    use super::creates_temporary;

    #[test]
    fn temporary_is_what_comes_first() {
        for path in ["pg_temp", "\"$user\", pg_temp", "PG_TEMP,public", "pg_temp_3"] {
            assert!(creates_temporary(path), "{path}");
        }
        for path in ["", "public, pg_temp", "\"$user\", public", "pg_temporary"] {
            assert!(!creates_temporary(path), "{path}");
        }
    }
}
