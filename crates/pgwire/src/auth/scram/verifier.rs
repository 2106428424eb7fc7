//! What PostgreSQL stores for a password.
//!
//! ```text
//!  SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm…T4qY=:wfPLwcE6…l2dU=
//!                rounds        salt            StoredKey        ServerKey       (base64)
//! ```
//!
//! The text goes verbatim into `CREATE ROLE … PASSWORD '…'` and comes verbatim out of `pg_authid`. Nobody can log
//! in with it, but with it one can guess passwords, or play the server: keep it out of logs (`Debug` hides it).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dormouse_base::Secret;
use subtle::ConstantTimeEq;

use super::keys::{KEY_LEN, Key, SaltedPassword, sha256};
use super::{DEFAULT_ITERATIONS, SALT_LEN, SCRAM_SHA_256};
use crate::limit::MAX_SCRAM_ITERATIONS;

/// A stored SCRAM-SHA-256 password.
#[derive(Clone)]
pub struct Verifier {
    iterations: u32,
    salt: Vec<u8>,
    stored_key: Secret<Key>,
    server_key: Secret<Key>,
}

/// A text that is not a verifier. The text itself is not repeated: it could be a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a SCRAM-SHA-256 verifier")]
pub struct VerifierError;

impl Verifier {
    /// The verifier of a password. The same three always give the same text as PostgreSQL.
    #[must_use]
    pub fn derive(password: impl AsRef<[u8]>, salt: &[u8], iterations: u32) -> Self {
        SaltedPassword::derive(password, salt, iterations).verifier()
    }

    /// A new verifier: a random salt of [`SALT_LEN`] bytes, [`DEFAULT_ITERATIONS`] rounds.
    #[must_use]
    pub fn generate(password: impl AsRef<[u8]>) -> Self {
        Self::derive(password, &dormouse_base::rand::bytes::<SALT_LEN>(), DEFAULT_ITERATIONS)
    }

    /// Reads a stored password.
    ///
    /// # Errors
    /// When it is anything but a SCRAM-SHA-256 verifier.
    pub fn parse(stored: &str) -> Result<Self, VerifierError> {
        Self::read(stored).ok_or(VerifierError)
    }

    fn read(stored: &str) -> Option<Self> {
        let rest = stored.strip_prefix(SCRAM_SHA_256)?.strip_prefix('$')?;
        let (cost, keys) = rest.split_once('$')?;
        let (iterations, salt) = cost.split_once(':')?;
        let (stored_key, server_key) = keys.split_once(':')?;
        let digits = !iterations.is_empty() && iterations.bytes().all(|c| c.is_ascii_digit());
        let iterations = iterations.parse::<i32>().ok().filter(|n| digits && *n > 0)?;
        let key = |text: &str| -> Option<Secret<Key>> {
            Some(Secret::new(<[u8; KEY_LEN]>::try_from(STANDARD.decode(text).ok()?).ok()?))
        };
        Some(Self {
            iterations: iterations.unsigned_abs(),
            salt: STANDARD.decode(salt).ok()?,
            stored_key: key(stored_key)?,
            server_key: key(server_key)?,
        })
    }

    pub(super) fn new(salt: Vec<u8>, iterations: u32, stored_key: Key, server_key: Secret<Key>) -> Self {
        Self { iterations, salt, stored_key: Secret::new(stored_key), server_key }
    }

    /// Whether this is the password, for a client that sent it in the clear. Takes as long as the rounds take,
    /// so do not call it where other connections wait. Always false for a verifier with more than
    /// [`MAX_SCRAM_ITERATIONS`] rounds.
    #[must_use]
    pub fn matches_password(&self, password: impl AsRef<[u8]>) -> bool {
        if self.iterations > MAX_SCRAM_ITERATIONS {
            return false;
        }
        *self == Self::derive(password, &self.salt, self.iterations)
    }

    /// PBKDF2 rounds.
    #[must_use]
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// The salt.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    pub(super) fn stored_key(&self) -> &Key {
        self.stored_key.expose()
    }

    pub(super) fn server_key(&self) -> &Key {
        self.server_key.expose()
    }
}

impl SaltedPassword {
    /// What a server stores for this password.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        let stored_key = sha256(self.client_key().expose());
        Verifier::new(self.salt().to_vec(), self.iterations(), stored_key, self.server_key())
    }
}

impl PartialEq for Verifier {
    /// In constant time as far as the keys go.
    fn eq(&self, other: &Self) -> bool {
        let keys = self.stored_key().ct_eq(other.stored_key()) & self.server_key().ct_eq(other.server_key());
        self.iterations == other.iterations && self.salt == other.salt && bool::from(keys)
    }
}

impl Eq for Verifier {}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Verifier({SCRAM_SHA_256}${}:***)", self.iterations)
    }
}

impl fmt::Display for Verifier {
    /// The text to store. See the module's warning.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (salt, stored_key) = (STANDARD.encode(&self.salt), STANDARD.encode(self.stored_key()));
        let server_key = STANDARD.encode(self.server_key());
        write!(f, "{SCRAM_SHA_256}${}:{salt}${stored_key}:{server_key}", self.iterations)
    }
}

impl FromStr for Verifier {
    type Err = VerifierError;

    fn from_str(stored: &str) -> Result<Self, VerifierError> {
        Self::parse(stored)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Made with another implementation (Python's `hashlib.pbkdf2_hmac` and `hmac`), with salt 00 01 … 0f.
    const KNOWN: [(&str, &str); 4] = [
        (
            "hunter2",
            "ijmdkBF6VaUuRpEzxe8P8NyZKzuHGkoluJBVZ5DF5+Q=:naMMD2q/yKfDcTgfNhpZqsbkzoRQwOPfT/TgHEPWP7w=",
        ),
        (
            "I\u{ad}X",
            "Hvybl93RfCHqfqLiTzsBHz9FA2JH0lY8NzX3ES+JAB0=:36RFvraaEsq6EdU8f0zs6/hpb0vgxhjNZecZXSUZKgs=",
        ),
        (
            "a\u{7}b",
            "wdNzsfe6+8Ct+KF9EYeB9t578YMZWW/x1LhyP2WUbmQ=:hA53SbaQ7QQGSbLX8HFrfL/gogl67XdL6PLoic0MzvA=",
        ),
        (
            "zażółć 🐭",
            "G4P6+aEyYKTtbOGcwSsfmPDsPdsfybbPGRmLDvpvXPg=:QzyPnAhSmOxB2sRjL92nvEhw+0OFjmU2SMfPhtAh9Zg=",
        ),
    ];

    #[test]
    fn verifiers_are_postgresqls() {
        let salt: Vec<u8> = (0..16).collect();
        for (password, keys) in KNOWN {
            let verifier = Verifier::derive(password, &salt, 4096);
            assert_eq!(verifier.to_string(), format!("SCRAM-SHA-256$4096:AAECAwQFBgcICQoLDA0ODw==${keys}"));
            assert!(Verifier::parse(&verifier.to_string()).unwrap().matches_password(password));
            assert!(!verifier.matches_password(format!("{password} ")));
        }
    }

    /// Made by PostgreSQL 15 with `CREATE ROLE … PASSWORD`: one password for each path through its SASLprep.
    const POSTGRESQLS: [(&str, &str); 13] = [
        (
            "hunter2",
            "ea87/ymebx/wB9mfjCp94Q==$PZW04vl7kNVKXJf+olyPFr+XYWcMDY830wtVnXStWWI=:kq7QFaUCtFChiKpPqGFZ3B3WLIkaQW2Q98sq0d4ksgs=",
        ),
        (
            "I\u{ad}X",
            "w2eKi1w1v+gwQamlVaxo9w==$bN0gB89kJ5+tMFMKwlbekXbtNgA9bI7crS6CI6KNFLE=:/Z51tV4JbS+lgx/E15IRIe6Lhv5e7QzSyNOQ9pwvplc=",
        ),
        (
            "a\u{7}bä",
            "jWTbtvij9vg0NOn5wqNT9w==$UW2dr2Lf5VvWqOvpitq70GRutHmyY4j+IyT9UQdXfWg=:7LJUJpyBy4jTvEmsSnrMD8sF8847kjP5woNmwikEmOs=",
        ),
        (
            "zażółć \u{a0}\u{1f42d}",
            "73s0koAfPYOMolXMT8p/0g==$J8L8vhTvekXDqtw0cyK6jogUckJthfGg3UTnrsJv2xM=:Ko9wOiP/wSwoJ8XbiDc15ykJ9Uat8isE2vIa4M0bddk=",
        ),
        (
            "a\u{2135}",
            "XoVG/nLiSm31Y9XN0xdE2Q==$A25HpwUDCy7NInj40w8lSbVBxQiAJ8G0YupBzatEIVk=:bOPlVRp+a0Hi6bslQkEQIhOJdHpuO1ZAsFyM4204RCI=",
        ),
        (
            "\u{fb1d}",
            "3I5cemzfdSLLfkxQcVu1qg==$57t5L7lczY4C0hRIyX77F5Y+vuIF6u8iTv+mIvuihuU=:f3T13R3uBazMBndw8IAYS/E9yPurAtEAsiIsVxeevtU=",
        ),
        (
            "\u{340}",
            "pXX0xorJpkEWsy7XvjJ3Sw==$DgYxhJMsod5WYmt/jLXIcAa3Bhxf7m2b/zpi/fG/OeA=:pbniaViLbeubEIDML4TQDIIxLm/0i1btdV8oGapIqYs=",
        ),
        (
            "e\u{301}\u{2168}\u{3000}",
            "qN982y9vMEvUKjZfIHekYw==$u6t9SQBNhmX10j19FgXHD03P9Dzyj/rIxZuZmzT4R1g=:fpuU74CJN2mJKicIGElJMiFGAHqN7fHdOQYjBu0UBQE=",
        ),
        (
            "\u{301}\u{aa}",
            "z9XlcWGgvk9mJUUWI0T7KA==$Cb6dK6/Kdqe0uO32F8innw0GWguSeaufjNeG2mEi/1A=:gZuTYMpvVWXa/Q/nABH8E7TVWjOHFljllU0UVvjNBsI=",
        ),
        (
            "\u{627}1",
            "3ZsE0kkd+oXn6ZU0fLlC8g==$6nJGRuccPqU+0+ex1BLMypeA1zowYZQ+iIOuncdFayI=:I+mYvuUZCTVGU+vL693yFNTts9GwLkARv+UvxMuErBU=",
        ),
        (
            "\u{ad}",
            "Qn5oIx9rkNwhKCynpZPK8Q==$EUM+t6EkhD/pBC+KETJWeifSlQfWSFyuApWNQ8C5+dg=:dOay/TYiKATyLD10EPObHJ2yftFklyAutN/TOObAfTs=",
        ),
        (
            "\u{627}\u{628}",
            "owH0xqVLu/Me65lQwCadcQ==$aMij1PnYUYJwVORKw+l77DNRDTr9dF8OvbNYpX5YAVY=:ADuCpiI8cnZkS52IMYgwNayY1nyNvvB6w2IbEyD8ja8=",
        ),
        (
            "\u{fe76}",
            "P9D7y0J7jQj7lQw0NYrR2A==$sS3w0ABtwqlweeOBTOqVWJBRT4ptE8d3O3mDLB9ub2A=:EytDM2gmMqm2G2MXe3WXUqTacjQotS9fhvlb8Up3am4=",
        ),
    ];

    #[test]
    fn passwords_are_normalised_as_postgresql_does() {
        for (password, rest) in POSTGRESQLS {
            let verifier = Verifier::parse(&format!("SCRAM-SHA-256$4096:{rest}")).unwrap();
            assert!(verifier.matches_password(password), "{password:?}");
        }
    }

    #[test]
    fn generated_verifiers_differ_but_fit() {
        let (a, b) = (Verifier::generate("p"), Verifier::generate("p"));
        assert_ne!(a, b);
        assert_eq!((a.iterations(), a.salt().len()), (4096, 16));
        assert!(a.matches_password("p") && b.matches_password(b"p"));
        assert!(!format!("{a:?}").contains(&STANDARD.encode(a.stored_key())));
    }

    #[test]
    fn too_many_rounds_are_not_done_for_a_cleartext_password() {
        let text = Verifier::derive("p", b"s", 1).to_string().replacen("$1:", "$2000000000:", 1);
        assert!(!Verifier::parse(&text).unwrap().matches_password("p"));
    }

    #[test]
    fn nearly_verifiers_are_refused() {
        let good = Verifier::derive("p", b"salt", 7).to_string();
        assert!(Verifier::parse(&good).is_ok());
        for (from, to) in [
            ("SCRAM-SHA-256", "SCRAM-SHA-1"),
            ("$7:", "$0:"),
            ("$7:", "$-7:"),
            ("$7:", "$+7:"),
            ("$7:", "$:"),
            ("$7:", "$7"),
            ("$7:", "$4294967297:"),
            ("c2FsdA==", "c2FsdA"),
            ("=:", ":"),
            (":", ""),
        ] {
            assert!(good.contains(from), "{from}");
            assert_eq!(Verifier::parse(&good.replacen(from, to, 1)), Err(VerifierError), "{from} -> {to}");
        }
        assert!(Verifier::parse(&format!("{good} ")).is_err());
    }

    proptest! {
        #[test]
        fn round_trip(password in ".{0,20}", salt in proptest::collection::vec(any::<u8>(), 0..20), rounds in 1_u32..4) {
            let verifier = Verifier::derive(&password, &salt, rounds);
            prop_assert_eq!(Verifier::parse(&verifier.to_string()), Ok(verifier));
        }

        #[test]
        fn any_text_is_safe(text in "(SCRAM-SHA-256\\$)?[0-9a-zA-Z=:$+/]{0,60}") {
            let _ = Verifier::parse(&text);
        }
    }
}
