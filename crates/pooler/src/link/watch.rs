//! Sessions in which texts do not mean what they seem to. While a backend is in one, it is asked after every
//! transaction, whatever the texts said:
//!
//! - `standard_conforming_strings = off`: a backslash in `'…'` takes the quote behind it along, so a literal ends
//!   elsewhere, and statements begin elsewhere. PostgreSQL reports this setting.
//! - `client_encoding = SJIS` and the like: the second byte of a character may be a backslash, a quote of a dollar tag or a
//!   letter. PostgreSQL reports this one too.
//! - `search_path = pg_temp, …`: what is created without a schema is temporary.

use super::inspect::is_unsayable;
use super::server::Server;
use super::stateful::Stateful;
use crate::settings::Settings;

/// The setting that says how literals are read.
pub(super) const STRINGS: &str = "standard_conforming_strings";

/// The setting that says which bytes are a character.
pub(super) const ENCODING: &str = "client_encoding";

/// Encodings with bytes of ASCII inside characters, in small letters and digits, under all their names.
const MIXED: [&str; 17] = [
    "sjis",
    "shiftjis",
    "mskanji",
    "win932",
    "windows932",
    "shiftjis2004",
    "big5",
    "win950",
    "windows950",
    "gbk",
    "win936",
    "windows936",
    "uhc",
    "win949",
    "windows949",
    "gb18030",
    "johab",
];

/// The setting that says where things are created.
pub(super) const PATH: &str = "search_path";

impl Server {
    /// Its settings may be others now.
    pub(super) fn watch_settings(&mut self) {
        let temporary = self.applied.get(PATH).is_some_and(creates_temporary);
        self.process.watched = match (self.reads_otherwise(), temporary) {
            (true, _) => Stateful::ANYTHING,
            (_, true) => Stateful::TEMP,
            _ => Stateful::default(),
        };
    }

    /// Whether it reads texts in another way than is done here, as far as it has told.
    pub(super) fn reads_otherwise(&self) -> bool {
        self.reported.get(STRINGS) == Some("off") || self.reported.get(ENCODING).is_some_and(is_mixed)
    }

    /// Whether this name of a setting is perhaps not the one that PostgreSQL has read, in an encoding that is not ours.
    pub(super) fn reads_as_another(&self, name: &str) -> bool {
        let ours = self.reported.get(ENCODING).is_none_or(|encoding| encoding == "UTF8");
        !name.is_ascii() && !ours || is_unsayable(name)
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

/// Whether an encoding of that name has bytes of ASCII inside characters. PostgreSQL looks at letters and digits only.
pub(super) fn is_mixed(encoding: &str) -> bool {
    let letters = encoding.bytes().filter(u8::is_ascii_alphanumeric).map(|b| b.to_ascii_lowercase());
    MIXED.iter().any(|mixed| letters.clone().eq(mixed.bytes()))
}

/// Whether a value of a switch is surely "on".
pub(super) fn is_on(value: &str) -> bool {
    ["on", "true", "yes", "1"].iter().any(|on| value.eq_ignore_ascii_case(on))
}

#[cfg(test)]
mod tests {
    use super::{creates_temporary, is_mixed};

    #[test]
    fn encodings_are_known_by_all_their_names() {
        for encoding in ["SJIS", "Shift_JIS_2004", "BIG5", "windows-936", "UHC", "gb18030", "JOHAB"] {
            assert!(is_mixed(encoding), "{encoding}");
        }
        for encoding in ["UTF8", "EUC_JP", "EUC_TW", "LATIN1", "SQL_ASCII", "WIN1252"] {
            assert!(!is_mixed(encoding), "{encoding}");
        }
    }

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
