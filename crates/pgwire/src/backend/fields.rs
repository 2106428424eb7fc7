//! The body that errors and notices share: a list of one-letter fields.
//!
//! ```text
//!  ┌──────┬─────────┬──────┬─────────┬───┬───┐
//!  │ type │ text \0 │ type │ text \0 │ … │ 0 │
//!  └──────┴─────────┴──────┴─────────┴───┴───┘
//! ```
//!
//! Fields of types that we do not know are kept, so that a decoded error can be passed on whole. Text that is
//! not UTF-8 (a server with another encoding, before the client has set one) is shown with replacement characters.

use crate::cursor::{Cursor, Malformed};
use crate::encode::text;
use crate::limit::MAX_ERROR_FIELDS;
use crate::sqlstate::SqlState;

use super::Severity;

/// The fields of an error or notice, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fields(Vec<(u8, String)>);

impl Fields {
    pub(super) fn new(severity: Severity, code: SqlState, message: &str) -> Self {
        let mut fields = Self::default();
        fields.set(b'S', severity.as_str());
        fields.set(b'V', severity.as_str());
        fields.set(b'C', code.as_str());
        fields.set(b'M', message);
        fields
    }

    pub(super) fn decode(message: &'static str, body: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(message, body);
        let mut fields = Vec::new();
        loop {
            match cursor.u8()? {
                0 => break,
                _ if fields.len() == MAX_ERROR_FIELDS => return cursor.fail("it has too many fields"),
                kind => fields.push((kind, String::from_utf8_lossy(cursor.text()?).into_owned())),
            }
        }
        cursor.end()?;
        Ok(Self(fields))
    }

    pub(super) fn encode_into(&self, body: &mut Vec<u8>) {
        for (kind, value) in &self.0 {
            body.push(*kind);
            text(body, value);
        }
        body.push(0);
    }

    /// Gives a field a value, in its old place when it has one. Kind 0 would end the list and is ignored.
    pub fn set(&mut self, kind: u8, value: impl Into<String>) {
        match self.0.iter_mut().find(|(k, _)| *k == kind) {
            Some((_, old)) => *old = value.into(),
            None if kind == 0 => (),
            None => self.0.push((kind, value.into())),
        }
    }

    /// The field of this type.
    #[must_use]
    pub fn get(&self, kind: u8) -> Option<&str> {
        self.0.iter().find(|(k, _)| *k == kind).map(|(_, value)| value.as_str())
    }

    /// All fields in order.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &str)> {
        self.0.iter().map(|(kind, value)| (*kind, value.as_str()))
    }

    /// Severity in English (`V`; servers before 9.6 have only the translated `S`).
    #[must_use]
    pub fn severity(&self) -> &str {
        self.get(b'V').or_else(|| self.get(b'S')).unwrap_or("")
    }

    /// Whether the connection ends with this.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self.severity(), "FATAL" | "PANIC")
    }

    /// The SQLSTATE, `""` when missing.
    #[must_use]
    pub fn code(&self) -> &str {
        self.get(b'C').unwrap_or("")
    }

    /// The main line, `""` when missing.
    #[must_use]
    pub fn message(&self) -> &str {
        self.get(b'M').unwrap_or("")
    }
}

macro_rules! optional_fields {
    ($($(#[$doc:meta])+ $name:ident = $kind:literal,)+) => {
        impl Fields {
            $($(#[$doc])+ #[must_use] pub fn $name(&self) -> Option<&str> { self.get($kind) })+
        }
    };
}

optional_fields! {
    /// More facts.
    detail = b'D',
    /// What to do.
    hint = b'H',
    /// Where in the query, in characters from 1.
    position = b'P',
    /// Where in the query that the server made itself.
    internal_position = b'p',
    /// The query that the server made itself.
    internal_query = b'q',
    /// The call stack, one line each.
    context = b'W',
    /// The schema that this is about.
    schema = b's',
    /// The table that this is about.
    table = b't',
    /// The column that this is about.
    column = b'c',
    /// The data type that this is about.
    data_type = b'd',
    /// The constraint that was violated.
    constraint = b'n',
    /// The server's source file.
    file = b'F',
    /// The line in it.
    line = b'L',
    /// The function in it.
    routine = b'R',
}

/// Builder methods and reading for a message that is [`Fields`] and nothing else.
macro_rules! fields_message {
    ($name:ident, $tag:expr) => {
        impl $name {
            /// A message with the fields that every one must have.
            #[must_use]
            pub fn new(severity: $crate::backend::Severity, code: $crate::SqlState, message: &str) -> Self {
                Self { fields: $crate::backend::Fields::new(severity, code, message) }
            }

            /// The same with a detail.
            #[must_use]
            pub fn detail(self, detail: &str) -> Self {
                self.field(b'D', detail)
            }

            /// The same with a hint.
            #[must_use]
            pub fn hint(self, hint: &str) -> Self {
                self.field(b'H', hint)
            }

            /// The same with any other field.
            #[must_use]
            pub fn field(mut self, kind: u8, value: &str) -> Self {
                self.fields.set(kind, value);
                self
            }

            /// Reads the body of the message.
            ///
            /// # Errors
            /// When the list of fields has no end, or something follows it.
            pub fn decode(body: &[u8]) -> Result<Self, $crate::Malformed> {
                Ok(Self { fields: $crate::backend::Fields::decode(stringify!($name), body)? })
            }
        }

        impl $crate::Encode for $name {
            fn encode_into(&self, out: &mut Vec<u8>) {
                $crate::encode::tagged(out, $tag, |body| self.fields.encode_into(body));
            }
        }
    };
}
pub(super) use fields_message;
