//! What kind of password is stored for a role.
//!
//! ```text
//!  SCRAM-SHA-256$4096:…$…:…            usable
//!  md5 + 32 hexadecimal digits         an old role: its password must be set once more
//!  anything else                       not something PostgreSQL 10 or later has written
//! ```

use super::scram::Verifier;

/// A stored password, by kind.
#[derive(Debug, Clone, PartialEq)]
pub enum StoredPassword {
    /// Usable for SCRAM and for checking a cleartext password.
    Scram(Verifier),
    /// An MD5 hash. Not usable, and weak; the role needs a new password.
    Md5,
    /// Not a format that we know. What it says is not kept: it could be a password.
    Other,
}

impl StoredPassword {
    /// Recognises a stored password as PostgreSQL does.
    #[must_use]
    pub fn parse(stored: &str) -> Self {
        let is_md5 =
            |hash: &str| hash.len() == 32 && hash.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
        match Verifier::parse(stored) {
            Ok(verifier) => Self::Scram(verifier),
            Err(_) if stored.strip_prefix("md5").is_some_and(is_md5) => Self::Md5,
            Err(_) => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_apart() {
        let scram = Verifier::derive("x", b"salt", 1);
        assert_eq!(StoredPassword::parse(&scram.to_string()), StoredPassword::Scram(scram));
        assert_eq!(StoredPassword::parse("md5a3556571e93b0d20722ba62be61e8c2d"), StoredPassword::Md5);
        for other in ["", "md5", "md5A3556571e93b0d20722ba62be61e8c2d", "SCRAM-SHA-256$", "hunter2"] {
            assert_eq!(StoredPassword::parse(other), StoredPassword::Other, "{other}");
        }
    }
}
