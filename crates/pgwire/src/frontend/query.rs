//! Query: a text of one or more statements (the simple protocol).

use crate::cursor::{Cursor, Malformed};
use crate::encode::{Encode, tagged, text};
use crate::tag;

/// A simple query. Its bytes are in the client's encoding, which need not be UTF-8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The statements.
    pub sql: Vec<u8>,
}

impl Query {
    /// A query from text.
    #[must_use]
    pub fn new(sql: &str) -> Self {
        Self { sql: sql.as_bytes().to_vec() }
    }

    /// Reads the body of a `Q` message.
    ///
    /// # Errors
    /// When it is not exactly one zero-terminated text.
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new("Query", body);
        let sql = cursor.text()?.to_vec();
        cursor.end()?;
        Ok(Self { sql })
    }
}

impl Encode for Query {
    fn encode_into(&self, out: &mut Vec<u8>) {
        tagged(out, tag::frontend::QUERY, |body| text(body, &self.sql));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_refusals() {
        let bytes = Query::new("select 1").encode();
        assert_eq!(bytes, b"Q\x00\x00\x00\x0dselect 1\0");
        assert_eq!(Query::decode(&bytes[5..]), Ok(Query::new("select 1")));
        assert!(Query::decode(b"select 1").is_err());
        assert!(Query::decode(b"a\0b\0").is_err());
    }
}
