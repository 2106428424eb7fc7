//! `postgresql://role:password@host:port/database?name=value`, as the header names where to go. Pure.
//!
//! The host only says which endpoint is meant (its first label), as a TLS server name does; whether it is a name or
//! an address does not matter, and the port is nobody's business. Everything after `?` becomes a startup parameter.

use dormouse_base::Secret;
use dormouse_pgwire::startup::{Params, Startup};

/// The longest connection string, in bytes.
pub(crate) const MAX_LENGTH: usize = 16 * 1024;

/// Parameters in one connection string.
const MAX_PARAMETERS: usize = 64;

/// Where to go, as whom, and with which proof.
#[derive(Debug)]
pub(crate) struct ConnectionString {
    /// The host name.
    pub(crate) host: String,
    /// Role, database and everything else, as a client of the wire protocol would say it.
    pub(crate) startup: Startup,
    /// The password; `None` = none was given.
    pub(crate) password: Option<Secret<Vec<u8>>>,
}

/// What is wrong with one. The text never repeats a part of it: it may be a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadConnectionString {
    #[error("it is longer than 16 KiB")]
    TooLong,
    #[error("it does not begin with postgresql:// or postgres://")]
    Scheme,
    #[error("it names no host")]
    NoHost,
    #[error("it names no role")]
    NoRole,
    #[error("it names no database")]
    NoDatabase,
    #[error("a part of it is not percent-encoded UTF-8")]
    Encoding,
    #[error("it has more than 64 parameters")]
    TooMany,
}

impl ConnectionString {
    /// Reads one.
    pub(crate) fn read(text: &str) -> Result<Self, BadConnectionString> {
        if text.len() > MAX_LENGTH {
            return Err(BadConnectionString::TooLong);
        }
        let rest = ["postgresql://", "postgres://"].iter().find_map(|scheme| text.strip_prefix(scheme));
        let rest = rest.ok_or(BadConnectionString::Scheme)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').ok_or(BadConnectionString::NoDatabase)?;
        // A password may hold an @ that nobody encoded; a host cannot.
        let (who, place) = authority.rsplit_once('@').ok_or(BadConnectionString::NoRole)?;
        let (role, password) = match who.split_once(':') {
            Some((role, password)) => (role, Some(password)),
            None => (who, None),
        };
        let (role, database) = (text_of(role)?, text_of(path)?);
        if role.is_empty() {
            return Err(BadConnectionString::NoRole);
        }
        if database.is_empty() {
            return Err(BadConnectionString::NoDatabase);
        }
        let mut params = Params::default();
        let mut set =
            |name: &str, value: String| params.set(name, value).map_err(|_| BadConnectionString::Encoding);
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        for (n, pair) in pairs.enumerate() {
            if n == MAX_PARAMETERS {
                return Err(BadConnectionString::TooMany);
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (form(name)?, form(value)?);
            if name.is_empty() {
                return Err(BadConnectionString::Encoding);
            }
            // What the URL says in its own places counts.
            if !matches!(name.as_str(), "user" | "database" | "dbname" | "password" | "host" | "port") {
                set(&name, value)?;
            }
        }
        // Answers are UTF-8, whatever the database's own encoding is.
        set("client_encoding", "UTF8".to_owned())?;
        set("user", role)?;
        set("database", database)?;
        Ok(Self {
            host: host_of(place)?,
            startup: Startup { version_minor: 0, params },
            password: password.map(bytes_of).transpose()?.filter(|p| !p.is_empty()).map(Secret::new),
        })
    }
}

/// The host of `host:port`, `[::1]:port` or `host`.
fn host_of(place: &str) -> Result<String, BadConnectionString> {
    let host = match place.strip_prefix('[') {
        Some(six) => six.split_once(']').map_or("", |(host, _)| host),
        None => place.split(':').next().unwrap_or(""),
    };
    let host = text_of(host)?;
    if host.is_empty() { Err(BadConnectionString::NoHost) } else { Ok(host) }
}

/// In a query a plus is a space.
fn form(text: &str) -> Result<String, BadConnectionString> {
    if text.contains('+') { text_of(&text.replace('+', " ")) } else { text_of(text) }
}

fn text_of(text: &str) -> Result<String, BadConnectionString> {
    String::from_utf8(bytes_of(text)?).map_err(|_| BadConnectionString::Encoding)
}

fn bytes_of(text: &str) -> Result<Vec<u8>, BadConnectionString> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digit = |b: Option<u8>| char::from(b?).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
            return Err(BadConnectionString::Encoding);
        };
        out.push(high << 4 | low);
    }
    if out.contains(&0) { Err(BadConnectionString::Encoding) } else { Ok(out) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_string_of_the_official_driver() {
        let text = "postgresql://al%40ice:p%3Aw@d@ep-cool-rain-x7-pooler.db.example:5433/my%2Fdb?sslmode=require\
            &options=endpoint%3Dep-x+-c+geqo%3Doff&application_name=pkg%3Anpm%2F%2540neondatabase%2Fserverless%401.2.0";
        let read = ConnectionString::read(text).unwrap();
        let get = |name| read.startup.params.get(name);
        assert_eq!(read.host, "ep-cool-rain-x7-pooler.db.example");
        assert_eq!((get("user"), get("database")), (Some("al@ice"), Some("my/db")));
        assert_eq!(read.password.unwrap().expose(), b"p:w@d");
        assert_eq!(get("options"), Some("endpoint=ep-x -c geqo=off"));
        assert_eq!(get("application_name"), Some("pkg:npm/%40neondatabase/serverless@1.2.0"));
        assert_eq!(get("client_encoding"), Some("UTF8"));
    }

    #[test]
    fn hosts_may_be_addresses() {
        let host = |text: &str| ConnectionString::read(text).map(|c| c.host);
        assert_eq!(host("postgres://a:b@127.0.0.1/db"), Ok("127.0.0.1".to_owned()));
        assert_eq!(host("postgres://a:b@[::1]:5432/db"), Ok("::1".to_owned()));
        assert_eq!(host("postgres://a:b@localhost:5432/db"), Ok("localhost".to_owned()));
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = |text: &str| ConnectionString::read(text).map(drop).unwrap_err();
        use BadConnectionString as Bad;
        for (text, bad) in [
            ("", Bad::Scheme),
            ("mysql://a:b@h/db", Bad::Scheme),
            ("postgres://a:b@h", Bad::NoDatabase),
            ("postgres://a:b@h/", Bad::NoDatabase),
            ("postgres://h/db", Bad::NoRole),
            ("postgres://:b@h/db", Bad::NoRole),
            ("postgres://a:b@/db", Bad::NoHost),
            ("postgres://a:%zz@h/db", Bad::Encoding),
            ("postgres://a:%00@h/db", Bad::Encoding),
            ("postgres://a:b@h/%ff", Bad::Encoding),
            ("postgres://a:b@h/db?x=%f", Bad::Encoding),
        ] {
            assert_eq!(error(text), bad, "{text}");
        }
        let many = "&a=b".repeat(MAX_PARAMETERS + 1);
        assert_eq!(error(&format!("postgres://a:b@h/db?{many}")), Bad::TooMany);
        assert_eq!(error(&format!("postgres://a:b@h/{}", "x".repeat(MAX_LENGTH))), Bad::TooLong);
        let none = ConnectionString::read("postgres://a@h/db").unwrap();
        assert!(none.password.is_none());
    }
}
