//! From a startup packet to session settings.
//!
//! ```text
//!  options=-c a=1 --b-c=2    ──► a = 1, b_c = 2         first, as PostgreSQL applies them first
//!  a=3                       ──► a = 3                  every parameter that is not one of the protocol's own
//!  pgbouncer=true            ──► ignored, with a notice foreign words
//! ```
//!
//! Whether a setting exists and takes that value is for PostgreSQL to say, when it is replayed.

use dormouse_pgwire::options;
use dormouse_pgwire::startup::Params;

use super::foreign::is_foreign;
use super::map::{Settings, SettingsError};

/// What a client asked for at startup.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Startup {
    /// The settings, which are also what its `RESET` goes back to.
    pub settings: Settings,
    /// Parameters that were ignored, in order.
    pub ignored: Vec<String>,
}

/// A startup packet that PostgreSQL would refuse too.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartupError {
    /// A value is not UTF-8.
    #[error("the value of startup parameter \"{name}\" is not UTF-8 text")]
    Encoding {
        /// The parameter.
        name: String,
    },
    /// A word of `options` is not a setting.
    #[error("cannot apply \"{word}\" in the options of the connection: write -c name=value, or --name=value")]
    Option {
        /// The word.
        word: String,
    },
    /// Too many settings, or too long ones.
    #[error("cannot remember startup parameter \"{name}\"")]
    Limit {
        /// The parameter.
        name: String,
        /// Which limit.
        #[source]
        source: SettingsError,
    },
}

impl Startup {
    /// Reads the parameters of a packet. The proxy's own words in `options` have been taken out before.
    ///
    /// # Errors
    /// See [`StartupError`]; a packet is refused as a whole.
    pub fn read(params: &Params) -> Result<Self, StartupError> {
        let mut startup = Self::default();
        let text = |name: &str, value: &[u8]| {
            let value = String::from_utf8(value.to_vec());
            value.map_err(|_| StartupError::Encoding { name: name.to_owned() })
        };
        if let Some(options) = params.get_bytes("options") {
            startup.options(&text("options", options)?)?;
        }
        for (name, value) in params.iter().filter(|(name, _)| !belongs_to_protocol(name)) {
            startup.take(name, &text(name, value)?)?;
        }
        Ok(startup)
    }

    /// What to tell the client about what was ignored; `None` when nothing was.
    #[must_use]
    pub fn notice(&self) -> Option<String> {
        if self.ignored.is_empty() {
            return None;
        }
        let names = self.ignored.join(", ");
        Some(format!(
            "ignored in the connection's parameters: {names}. These are words for a driver or another pooler; \
             take them out of the connection string if this driver does not know them"
        ))
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), StartupError> {
        if is_foreign(name) {
            self.ignored.push(name.to_owned());
            return Ok(());
        }
        let value = if name.eq_ignore_ascii_case("client_encoding") { encoding(value) } else { value };
        let done = self.settings.set(name, value);
        done.map(drop).map_err(|source| StartupError::Limit { name: name.to_owned(), source })
    }

    /// `-c name=value`, `-cname=value`, `--name=value`. In names a dash is an underscore.
    fn options(&mut self, options: &str) -> Result<(), StartupError> {
        let mut words = options::split(options).into_iter();
        while let Some(word) = words.next() {
            let pair = match word.strip_prefix("-c").or_else(|| word.strip_prefix("--")) {
                Some("") if word == "-c" => words.next().unwrap_or_default(),
                Some(pair) => pair.to_owned(),
                None => return Err(StartupError::Option { word }),
            };
            match pair.split_once('=') {
                Some((name, value)) if !name.is_empty() => self.take(&name.replace('-', "_"), value)?,
                _ => return Err(StartupError::Option { word }),
            }
        }
        Ok(())
    }
}

/// Parameters that are not settings.
fn belongs_to_protocol(name: &str) -> bool {
    matches!(name, "user" | "database" | "options" | "replication") || name.starts_with("_pq_.")
}

/// An encoding without the quotes that some drivers put around it, and the usual one by its usual name: what the
/// server reports is `UTF8`, whatever the spelling was.
fn encoding(value: &str) -> &str {
    let bare = value.trim().trim_matches(['\'', '"']);
    let letters: Vec<_> =
        bare.bytes().filter(u8::is_ascii_alphanumeric).map(|b| b.to_ascii_lowercase()).collect();
    if matches!(&*letters, b"utf8" | b"unicode") { "UTF8" } else { bare }
}
