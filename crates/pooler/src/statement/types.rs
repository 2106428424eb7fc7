//! The types of a statement's parameters, as its clients were told.
//!
//! A Parse need not say them: PostgreSQL infers what it does not say from the tables, and keeps that as long as the
//! statement is there, whatever becomes of the tables. A driver asks once what they are, and sends binary values ever
//! after. A backend that parses the text later may infer others, and would take the bytes for something else, so it
//! is told what the client was told:
//!
//! ```text
//!  client    P "insert into t values ($1)"        told: int4         the column becomes float4
//!  backend that has it not    ◄──  P "insert into t values ($1)" of int4     a cast, as where it was prepared
//! ```

use std::borrow::Cow;

use super::{Statement, text_of};

/// Bytes of one type's number.
const OID: usize = 4;

impl Statement {
    /// The types that clients were told, if any was: a row of numbers.
    pub(crate) fn types(&self) -> Option<&[u8]> {
        self.types.get().map(|types| &**types)
    }

    /// A client is told these; false when others were told something else.
    pub(crate) fn tell_types(&self, types: &[u8]) -> bool {
        match self.types.get() {
            Some(told) => **told == *types,
            // It has no more than its text has places for.
            None if types.len() <= self.room => self.types.set(types.into()).is_ok(),
            None => true,
        }
    }

    /// What its Parse says behind the name, for a backend on which it must be what clients were told.
    pub(crate) fn as_told(&self) -> Cow<'_, [u8]> {
        let Some(types) = self.types().filter(|types| !types.is_empty()) else { return self.body().into() };
        let count = u16::try_from(types.len() / OID).unwrap_or(u16::MAX);
        [self.text(), &[0], &count.to_be_bytes(), types].concat().into()
    }

    /// Bytes that it takes, with the types that may be told.
    pub(crate) fn bytes(&self) -> usize {
        self.body.len() + self.room
    }
}

/// Bytes that the types of a statement may have: each is said in the body, or there is a `$` for it in the text.
/// PostgreSQL refuses those for which there is neither.
pub(super) fn room(body: &[u8]) -> usize {
    let text = text_of(body);
    let said = body.len().saturating_sub(text.len() + 1 + 2);
    said + OID * memchr::memchr_iter(b'$', text).count()
}

#[cfg(test)]
mod tests {
    use super::super::Registry;
    use crate::link::Stateful;

    const INT4: &[u8] = b"\0\0\0\x17";
    const INT8: &[u8] = b"\0\0\0\x14";

    #[test]
    fn the_first_that_were_told_are_said_and_counted() {
        let mut registry = Registry::default();
        let mut new = |body: &[u8]| registry.intern(body, |_| Stateful::default());
        let one = new(b"select $1\0\0\0");
        assert_eq!((&*one.as_told(), one.bytes()), (one.body(), one.body().len() + 4));
        assert!(one.tell_types(INT4) && one.tell_types(INT4) && !one.tell_types(INT8));
        assert_eq!(&*one.as_told(), b"select $1\0\0\x01\0\0\0\x17");
        let none = new(b"select\0\0\0");
        assert!(none.tell_types(b"") && none.types() == Some(b"") && !none.tell_types(INT4));
        assert_eq!((&*none.as_told(), none.bytes()), (none.body(), none.body().len()));
        // One of two is said.
        let two = new(b"select $1, $2\0\0\x01\0\0\0\x17");
        assert!(two.tell_types(b"\0\0\0\x17\0\0\0\x14"));
        assert_eq!(&*two.as_told(), b"select $1, $2\0\0\x02\0\0\0\x17\0\0\0\x14");
        // More than there can be are not kept.
        let odd = new(b"select 2\0\0\0");
        assert!(odd.tell_types(INT4) && odd.types().is_none());
    }
}
