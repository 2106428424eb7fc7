//! The body of a StartupMessage: an ordered list of names and values.
//!
//! ```text
//!  u s e r \0 a l i c e \0   d a t a b a s e \0 s h o p \0   … \0
//! ```
//!
//! Order is kept, and so are names that come twice: PostgreSQL applies settings in order and believes the last
//! `user`, so the proxy must read and forward exactly the same thing. Values are bytes, because at this point no
//! encoding has been agreed; names must be UTF-8, as every name that exists is.

use crate::cursor::Cursor;
use crate::encode;
use crate::limit::MAX_STARTUP_PARAMS;

use super::StartupError;

/// A StartupMessage of protocol 3.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Startup {
    /// The minor version: 0 for nearly everyone, 2 for clients that want long cancel keys.
    pub version_minor: u16,
    /// What the client asked for.
    pub params: Params,
}

impl Startup {
    /// A message of protocol 3.0 with only a role in it.
    ///
    /// # Errors
    /// When the name holds a zero byte.
    pub fn new(user: &str) -> Result<Self, InvalidParam> {
        Self::default().with("user", user)
    }

    /// The same message with one more parameter (or another value for one that it has).
    ///
    /// # Errors
    /// See [`Params::set`].
    pub fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Result<Self, InvalidParam> {
        self.params.set(name, value)?;
        Ok(self)
    }

    /// The packet, ready to send.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        encode::sized(&mut out, |body| {
            body.extend_from_slice(&3_u16.to_be_bytes());
            body.extend_from_slice(&self.version_minor.to_be_bytes());
            for (name, value) in self.params.iter() {
                encode::text(body, name);
                encode::text(body, value);
            }
            body.push(0);
        });
        out
    }
}

/// A parameter that cannot be written in a startup packet: it would end early, or end the whole list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a startup parameter must have a name, and no zero byte in name or value")]
pub struct InvalidParam;

/// Parameters in the order in which they were sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Params(Vec<(String, Vec<u8>)>);

impl Params {
    pub(super) fn parse(body: &[u8]) -> Result<Self, StartupError> {
        let malformed = |problem| StartupError::Malformed { problem };
        let mut cursor = Cursor::new("Startup", body);
        let mut params = Vec::new();
        loop {
            let name = cursor.utf8().map_err(|_| malformed("a parameter name is not a UTF-8 text"))?;
            if name.is_empty() {
                break;
            }
            if params.len() == MAX_STARTUP_PARAMS {
                return Err(malformed("it has too many parameters"));
            }
            let value = cursor.text().map_err(|_| malformed("a parameter has no value"))?;
            params.push((name.to_owned(), value.to_owned()));
        }
        cursor.end().map_err(|_| malformed("expected terminator as last byte"))?;
        Ok(Self(params))
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value that PostgreSQL would believe (the last one of that name), as bytes.
    #[must_use]
    pub fn get_bytes(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.as_slice())
    }

    /// The same as text; `None` also when it is not UTF-8.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.get_bytes(name)?).ok()
    }

    /// The role. PostgreSQL refuses a missing and an empty one alike, so both are `None`.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.get("user").filter(|user| !user.is_empty())
    }

    /// The database: as given, and with none given (or an empty one) the role's name.
    #[must_use]
    pub fn database(&self) -> Option<&str> {
        match self.get_bytes("database") {
            None | Some(b"") => self.user(),
            Some(_) => self.get("database"),
        }
    }

    /// The command-line style options; [`crate::options::split`] cuts them into words.
    #[must_use]
    pub fn options(&self) -> Option<&str> {
        self.get("options")
    }

    /// The `replication` parameter as sent.
    #[must_use]
    pub fn replication(&self) -> Option<&str> {
        self.get("replication")
    }

    /// Whether this asks for a replication session: `database` (logical), or anything that is not a PostgreSQL
    /// spelling of false. What is not a spelling of true either is for PostgreSQL to refuse.
    #[must_use]
    pub fn is_replication(&self) -> bool {
        let Some(value) = self.get_bytes("replication") else {
            return false;
        };
        let value = value.to_ascii_lowercase();
        let prefix = |word: &str, least: usize| value.len() >= least && word.as_bytes().starts_with(&value);
        !(prefix("false", 1) || prefix("no", 1) || prefix("off", 2) || value == b"0")
    }

    /// Protocol extensions that were asked for (`_pq_.…`). We know none, so all belong into
    /// [`crate::backend::NegotiateProtocolVersion`].
    #[must_use]
    pub fn unknown_protocol_options(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).filter(|name| name.starts_with("_pq_.")).collect()
    }

    /// Gives a parameter a value, in its old place when it has one, else at the end. Further ones of the same
    /// name are dropped.
    ///
    /// # Errors
    /// When the name is empty, or either has a zero byte: they could not be sent as they are, and sending
    /// something else could make PostgreSQL and us see different roles.
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), InvalidParam> {
        let value = value.as_ref();
        if name.is_empty() || name.contains('\0') || value.contains(&0) {
            return Err(InvalidParam);
        }
        let place = self.0.iter().position(|(n, _)| n == name).unwrap_or(self.0.len());
        self.remove(name);
        self.0.insert(place, (name.to_owned(), value.to_owned()));
        Ok(())
    }

    /// Takes a parameter out, and returns the value it had (the last one, when it came more than once).
    pub fn remove(&mut self, name: &str) -> Option<Vec<u8>> {
        let value = self.get_bytes(name).map(<[u8]>::to_vec);
        self.0.retain(|(n, _)| n != name);
        value
    }

    /// Takes every `_pq_.…` parameter out, before the rest goes to a server that was not asked about them.
    pub fn remove_protocol_options(&mut self) {
        self.0.retain(|(name, _)| !name.starts_with("_pq_."));
    }
}
