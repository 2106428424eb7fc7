//! `userlist.txt`: PgBouncer's list of roles and passwords.
//!
//! ```text
//!  ; comment
//!  "alice" "a password in the clear"
//!  "bob"   "md5…32 hexadecimal digits"        md5(password + name)
//!  "carol" "SCRAM-SHA-256$4096:…$…:…"          as PostgreSQL stores it
//! ```
//!
//! What comes after the second text is ignored, as PgBouncer does. A line that cannot be understood ends the list there,
//! and what came before it counts: nobody is locked out by somebody else's line. What is told of it is its number,
//! and nothing of it.

use std::collections::HashSet;

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

/// What a list says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Users {
    /// The roles, in order. One that is there twice counts as its last line says.
    pub entries: Vec<Entry>,
    /// Lines that cannot be understood.
    pub problems: Vec<UserlistError>,
}

/// A line that cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct UserlistError {
    /// Counted from one.
    pub line: usize,
    /// What is wrong, as a phrase.
    pub problem: &'static str,
}

/// Reads a list, up to the first line that is not shaped like one. Of a role whose secret is broken the name counts: it
/// is known, and cannot log in.
#[must_use]
pub fn parse(text: &str) -> Users {
    let mut users = Users::default();
    for (index, text) in text.lines().enumerate() {
        let text = text.trim();
        if text.is_empty() || text.starts_with([';', '#']) {
            continue;
        }
        let broken = |problem| UserlistError { line: index + 1, problem };
        match entry(text) {
            Ok((name, password)) => {
                let password = Password::of(&password).unwrap_or_else(|problem| {
                    users.problems.push(broken(problem));
                    Password::None
                });
                users.entries.push(Entry { name, password });
            }
            Err(problem) => {
                users.problems.push(broken(problem));
                break;
            }
        }
    }
    let mut later = HashSet::new();
    users.entries.reverse();
    users.entries.retain(|entry| later.insert(entry.name.clone()));
    users.entries.reverse();
    users
}

fn entry(text: &str) -> Result<(String, String), &'static str> {
    const SHAPE: &str = "expected \"name\" \"password\", both in double quotes";
    let (name, rest) = quoted(text, '"').map_err(|_| SHAPE)?;
    let (password, _ignored) = quoted(rest.trim_start(), '"').map_err(|_| SHAPE)?;
    match (name.len(), password.len()) {
        (0, _) => return Err("the name is empty"),
        (length, _) if length > MAX_NAME => return Err("the name is longer than 127 bytes"),
        (_, length) if length > MAX_PASSWORD => return Err("the password is longer than 65535 bytes"),
        _ => {}
    }
    Ok((name, password))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dormouse_base::clock::Mono;

    use super::*;

    #[test]
    fn kinds_quotes_and_comments() {
        let scram = Verifier::derive("x", b"salt", 1);
        let text = format!(
            "; list\n\n\"alice\" \"it\"\"s\" \"ignored\"\n\"bob\" \"md5a3556571e93b0d20722ba62be61e8c2d\"\n\
             \"carol\"\t\"{scram}\"\n\"dave\" \"\"\n\"alice\" \"again\" 7"
        );
        let Users { entries, problems } = parse(&text);
        assert_eq!(problems, []);
        let names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["bob", "carol", "dave", "alice"]);
        assert!(matches!(&entries[0].password, Password::Md5(hash) if hash.expose().starts_with("md5a35")));
        assert_eq!(entries[1].password, Password::Scram(scram));
        assert_eq!(entries[2].password, Password::None);
        assert!(matches!(&entries[3].password, Password::Plain(text) if text.expose() == "again"));
        assert!(!format!("{entries:?}").contains("again"));
    }

    #[test]
    fn long_lists_are_read_at_once() {
        let roles = 60_000;
        let text: String = (0..2 * roles).map(|n| format!("\"role {}\" \"{n}\"\n", n % roles)).collect();
        let start = Mono::now();
        let Users { entries, .. } = parse(&text);
        // One comparison for each pair of lines would take more than ten times as long.
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        assert_eq!((entries.len(), entries[7].name.as_str()), (roles, "role 7"));
        assert!(matches!(&entries[7].password, Password::Plain(text) if text.expose() == "60007"));
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
            let error = parse(&format!("\n{bad}")).problems[0];
            assert_eq!(error.line, 2, "{bad}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        assert_eq!(parse(&format!("\"{}\" \"x\"", "a".repeat(128))).problems.len(), 1);
    }

    #[test]
    fn what_comes_before_a_broken_line_counts() {
        let list = |third: &str| parse(&format!("\"a\" \"x\"\n\n{third}\n\"c\" \"z\""));
        let names = |users: &Users| users.entries.iter().map(|it| it.name.clone()).collect::<String>();
        let broken = list("b y");
        assert_eq!((names(&broken).as_str(), broken.problems[0].line), ("a", 3));
        let incomplete = list("\"b\" \"SCRAM-SHA-256$x\"");
        assert_eq!((names(&incomplete).as_str(), incomplete.problems[0].line), ("abc", 3));
        assert_eq!(incomplete.entries[1].password, Password::None);
    }
}
