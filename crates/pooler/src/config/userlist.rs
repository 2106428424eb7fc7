//! `userlist.txt`: PgBouncer's list of roles and passwords.
//!
//! ```text
//!  ; comment
//!  "alice" "a password in the clear"
//!  "bob"   "md5…32 hexadecimal digits"        md5(password + name)
//!  "carol" "SCRAM-SHA-256$4096:…$…:…"          as PostgreSQL stores it
//! ```
//!
//! What comes after the second text is ignored, as PgBouncer does. Errors have the line, and nothing of it.

use dormouse_base::secret::Secret;
use dormouse_pgwire::auth::StoredPassword;
use dormouse_pgwire::auth::scram::Verifier;

use super::ini::lines::quoted;

/// Longest name of a role, in bytes, as in PgBouncer.
const MAX_NAME: usize = 127;

/// Longest password, in bytes, as in PgBouncer.
const MAX_PASSWORD: usize = 65_535;

/// One role.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The role.
    pub name: String,
    /// What it proves itself with, and what we can log in with for it.
    pub password: Password,
}

/// A password, by kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Password {
    /// In the clear: good for every method.
    Plain(Secret<String>),
    /// `md5` and 32 digits.
    Md5(Secret<String>),
    /// A verifier. A client that proves itself with it leaves us what a log-in elsewhere takes.
    Scram(Verifier),
    /// Empty: this role cannot log in with a password.
    None,
}

impl Password {
    /// What a stored text is: a list's, or what a server has for a role.
    ///
    /// # Errors
    /// When it begins as a SCRAM verifier and is none.
    pub fn of(text: &str) -> Result<Self, &'static str> {
        Ok(match StoredPassword::parse(text) {
            StoredPassword::Scram(verifier) => Self::Scram(verifier),
            StoredPassword::Md5 => Self::Md5(Secret::new(text.to_owned())),
            StoredPassword::Other if text.is_empty() => Self::None,
            StoredPassword::Other if text.starts_with("SCRAM-SHA-256$") => {
                return Err("the SCRAM secret is not complete");
            }
            StoredPassword::Other => Self::Plain(Secret::new(text.to_owned())),
        })
    }
}

/// A list that cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct UserlistError {
    /// Counted from one.
    pub line: usize,
    /// What is wrong, as a phrase.
    pub problem: &'static str,
}

/// Reads a list. A role that is there twice counts as its last line says.
///
/// # Errors
/// At the first line that cannot be understood.
pub fn parse(text: &str) -> Result<Vec<Entry>, UserlistError> {
    let mut entries: Vec<Entry> = Vec::new();
    for (index, text) in text.lines().enumerate() {
        let text = text.trim();
        if text.is_empty() || text.starts_with([';', '#']) {
            continue;
        }
        let entry = entry(text).map_err(|problem| UserlistError { line: index + 1, problem })?;
        entries.retain(|known| known.name != entry.name);
        entries.push(entry);
    }
    Ok(entries)
}

fn entry(text: &str) -> Result<Entry, &'static str> {
    const SHAPE: &str = "expected \"name\" \"password\", both in double quotes";
    let (name, rest) = quoted(text, '"').map_err(|_| SHAPE)?;
    let (password, _ignored) = quoted(rest.trim_start(), '"').map_err(|_| SHAPE)?;
    match (name.len(), password.len()) {
        (0, _) => return Err("the name is empty"),
        (length, _) if length > MAX_NAME => return Err("the name is longer than 127 bytes"),
        (_, length) if length > MAX_PASSWORD => return Err("the password is longer than 65535 bytes"),
        _ => {}
    }
    let password = Password::of(&password)?;
    Ok(Entry { name, password })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_quotes_and_comments() {
        let scram = Verifier::derive("x", b"salt", 1);
        let text = format!(
            "; list\n\n\"alice\" \"it\"\"s\" \"ignored\"\n\"bob\" \"md5a3556571e93b0d20722ba62be61e8c2d\"\n\
             \"carol\"\t\"{scram}\"\n\"dave\" \"\"\n\"alice\" \"again\" 7"
        );
        let entries = parse(&text).unwrap();
        let names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["bob", "carol", "dave", "alice"]);
        assert!(matches!(&entries[0].password, Password::Md5(hash) if hash.expose().starts_with("md5a35")));
        assert_eq!(entries[1].password, Password::Scram(scram));
        assert_eq!(entries[2].password, Password::None);
        assert!(matches!(&entries[3].password, Password::Plain(text) if text.expose() == "again"));
        assert!(!format!("{entries:?}").contains("again"));
    }

    #[test]
    fn mistakes_have_a_line_and_no_secret() {
        for bad in [
            "alice hunter2",
            "\"alice\" hunter2",
            "\"alice\" \"hunter2",
            "\"\" \"hunter2\"",
            "\"a\"",
            "\"a\" \"SCRAM-SHA-256$hunter2\"",
        ] {
            let error = parse(&format!("\n{bad}")).unwrap_err();
            assert_eq!(error.line, 2, "{bad}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        assert!(parse(&format!("\"{}\" \"x\"", "a".repeat(128))).is_err());
    }
}
