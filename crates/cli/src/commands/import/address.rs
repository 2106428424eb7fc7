//! The address of a source: `postgresql://user:password@host:port/database?option=value`.
//!
//! It is not taken apart further than needed, because libpq understands more than any other parser
//! (several hosts, sockets as hosts, options): the password goes, the database can be exchanged.

use dormouse_base::Secret;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::error::Error;

const SCHEMES: [&str; 2] = ["postgresql://", "postgres://"];

/// RFC 3986's unreserved characters stay as they are.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An address without its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// `user@host:port`, as it was written.
    authority: String,
    /// Decoded.
    pub(super) database: Option<String>,
    /// Options, as they were written.
    query: Vec<String>,
    /// Decoded; for the environment of a program.
    pub(super) password: Option<Secret<String>>,
}

/// Whether a text means a server, not a directory.
pub(super) fn is_address(text: &str) -> bool {
    SCHEMES.iter().any(|scheme| text.starts_with(scheme))
}

impl Address {
    /// Reads an address. Its text is in no error: a password may be in it.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let wrong = |what: &str| {
            Error::usage(format!("the address is wrong: {what}"))
                .hint("Write it like `postgresql://user:password@host:5432/database`; special characters of a password as %XX.")
        };
        let rest = SCHEMES
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme))
            .ok_or_else(|| wrong("unknown scheme"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        // A password may contain a slash or an @ that somebody forgot to escape: the last @ counts.
        let (user, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (Some(user), rest),
            None => (None, rest),
        };
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let decode = |text: &str| {
            percent_decode_str(text).decode_utf8().map(String::from).map_err(|_| wrong("it is not UTF-8"))
        };
        let (user, mut password) = match user.map(|user| user.split_once(':').unwrap_or((user, ""))) {
            Some((user, "")) => (Some(user), None),
            Some((user, password)) => (Some(user), Some(Secret::new(decode(password)?))),
            None => (None, None),
        };
        let mut database = if path.is_empty() { None } else { Some(decode(path)?) };
        let mut kept = Vec::new();
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (key, value) = option.split_once('=').ok_or_else(|| wrong("an option has no value"))?;
            match key {
                "password" => password = Some(Secret::new(decode(value)?)),
                "dbname" => database = Some(decode(value)?),
                "sslpassword" => {
                    return Err(wrong("`sslpassword` would be seen by everybody on this machine")
                        .hint("Use a key without a password, or a service file."));
                }
                _ => kept.push(option.to_owned()),
            }
        }
        let authority = user.map_or_else(|| hosts.to_owned(), |user| format!("{user}@{hosts}"));
        Ok(Self { authority, database, query: kept, password })
    }

    /// What a program gets for this database: no password in it.
    pub(super) fn connection(&self, database: &str) -> String {
        let database = utf8_percent_encode(database, PART);
        let query = if self.query.is_empty() { String::new() } else { format!("?{}", self.query.join("&")) };
        format!("postgresql://{}/{database}{query}", self.authority)
    }

    /// For people.
    pub(super) fn shown(&self) -> &str {
        if self.authority.is_empty() { "the default server" } else { &self.authority }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_taken_out() {
        for text in [
            "postgresql://ann:s%2F%40cret@db:5433/shop?sslmode=require",
            "postgres://ann@db:5433/shop?password=s%2F%40cret&sslmode=require",
            "postgres://ann@db:5433/?sslmode=require&dbname=shop&password=s%2F%40cret",
            "postgres://ann:s/@cret@db:5433/shop?sslmode=require",
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.password.as_ref().unwrap().expose(), "s/@cret", "{text}");
            assert_eq!(address.connection("shop"), "postgresql://ann@db:5433/shop?sslmode=require", "{text}");
            assert_eq!(address.database.as_deref(), Some("shop"), "{text}");
            assert!(!format!("{address:?}").contains("cret@"), "{address:?}");
        }
    }

    #[test]
    fn what_only_libpq_understands_stays() {
        let address =
            Address::parse("postgresql://a,b:6432/x%20y?target_session_attrs=primary&host=/run/pg").unwrap();
        assert_eq!(address.database.as_deref(), Some("x y"));
        assert_eq!(
            address.connection("é/?"),
            "postgresql://a,b:6432/%C3%A9%2F%3F?target_session_attrs=primary&host=/run/pg"
        );
        assert_eq!(Address::parse("postgresql://").unwrap().connection("d"), "postgresql:///d");
        assert_eq!(
            Address::parse("postgresql://[::1]:5432").unwrap().connection("d"),
            "postgresql://[::1]:5432/d"
        );
    }

    #[test]
    fn wrong_ones_are_refused_without_showing_them() {
        for text in [
            "postgresql://u:secret@h/d?x",
            "postgresql://u:%FF%FEsecret@h/d",
            "postgresql://u@h/d?sslpassword=secret",
        ] {
            let error = Address::parse(text).unwrap_err();
            assert_eq!(error.class().status(), 2);
            assert!(!error.report().to_string().contains("secret@"), "{text}");
        }
        assert!(!is_address("/var/lib/pgsql") && is_address("postgres://h"));
    }
}
