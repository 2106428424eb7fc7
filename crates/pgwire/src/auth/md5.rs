//! The old way to prove a password: MD5 of MD5. Both sides of it, for servers and clients that know no other.
//!
//! ```text
//!  stored   "md5" + hex(md5(password + role))             as in pg_authid and userlist.txt
//!  answer   "md5" + hex(md5(stored without "md5" + salt)) what the client sends
//! ```
//!
//! Whoever reads the stored text can log in with it, so it is a secret like the password.

use dormouse_base::Secret;
use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

/// In front of every hash.
const PREFIX: &str = "md5";

/// What is stored for a password of a role.
#[must_use]
pub fn stored(password: impl AsRef<[u8]>, role: &str) -> Secret<String> {
    Secret::new(hash(&[password.as_ref(), role.as_bytes()]))
}

/// What a client answers to a salt. `None` when `stored` is not such a text.
#[must_use]
pub fn answer(stored: &Secret<String>, salt: [u8; 4]) -> Option<Secret<String>> {
    let hex = stored.expose().strip_prefix(PREFIX)?;
    Some(Secret::new(hash(&[hex.as_bytes(), &salt])))
}

/// Whether a client's answer is right. Takes as long for a wrong one.
#[must_use]
pub fn is_right(stored: &Secret<String>, salt: [u8; 4], given: &[u8]) -> bool {
    answer(stored, salt).is_some_and(|right| bool::from(right.expose().as_bytes().ct_eq(given)))
}

fn hash(parts: &[&[u8]]) -> String {
    let mut hasher = Md5::new();
    for part in parts {
        hasher.update(part);
    }
    let mut text = String::from(PREFIX);
    for byte in hasher.finalize() {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).expect("four bits are one digit"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_postgresql_does_it() {
        // SELECT 'md5' || md5('secret' || 'alice'), and 'md5' || md5(that without md5 || 'salt')
        let stored = stored("secret", "alice");
        assert_eq!(stored.expose(), STORED);
        let answer = answer(&stored, *b"salt").unwrap();
        assert_eq!(answer.expose(), ANSWER);
        assert!(is_right(&stored, *b"salt", ANSWER.as_bytes()));
        assert!(!is_right(&stored, *b"sal!", ANSWER.as_bytes()));
        assert!(!is_right(&stored, *b"salt", b"md5"));
        assert!(super::answer(&Secret::new("secret".to_owned()), *b"salt").is_none());
    }

    const STORED: &str = "md54a0a68b43b6cd5cf266fa02f196e2371";
    const ANSWER: &str = "md5986e2194384c07f4fd1df4b1351b3e68";
}
