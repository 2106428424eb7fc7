//! DataRow: one row, as text. Read only in replication sessions, where rows are few and short.

use crate::cursor::{Cursor, Malformed};
use crate::encode::{Encode, tagged};
use crate::limit::MAX_ROW_COLUMNS;
use crate::tag;

/// A row; `None` is a null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataRow {
    /// Its columns.
    pub columns: Vec<Option<Vec<u8>>>,
}

impl DataRow {
    /// Reads the body of a `D` message.
    ///
    /// # Errors
    /// When the columns do not match their lengths, or there are more than [`MAX_ROW_COLUMNS`].
    pub fn decode(body: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new("DataRow", body);
        let count = cursor.u16()?;
        if count > MAX_ROW_COLUMNS {
            return cursor.fail("it has too many columns");
        }
        let mut columns = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            // The length is signed; a negative one is a null.
            let len = cursor.u32()?;
            columns.push(match i32::try_from(len) {
                Ok(_) => Some(cursor.bytes(len as usize)?.to_vec()),
                Err(_) => None,
            });
        }
        cursor.end()?;
        Ok(Self { columns })
    }

    /// A column as text; `None` when it is null, missing or not UTF-8.
    #[must_use]
    pub fn text(&self, column: usize) -> Option<&str> {
        std::str::from_utf8(self.columns.get(column)?.as_deref()?).ok()
    }
}

impl Encode for DataRow {
    fn encode_into(&self, out: &mut Vec<u8>) {
        tagged(out, tag::backend::DATA_ROW, |body| {
            let count = u16::try_from(self.columns.len()).expect("a row has at most a few columns");
            body.extend_from_slice(&count.to_be_bytes());
            for column in &self.columns {
                let len = column.as_ref().map_or(-1, |value| i32::try_from(value.len()).unwrap_or(-1));
                body.extend_from_slice(&len.to_be_bytes());
                body.extend_from_slice(column.as_deref().unwrap_or_default());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn round_trip_and_refusals() {
        let row = DataRow { columns: vec![Some(b"7".to_vec()), None, Some(vec![])] };
        let bytes = row.encode();
        assert_eq!(DataRow::decode(&bytes[5..]), Ok(row.clone()));
        assert_eq!((row.text(0), row.text(1), row.text(2), row.text(3)), (Some("7"), None, Some(""), None));
        assert!(DataRow::decode(&bytes[5..bytes.len() - 1]).is_err());
        assert!(DataRow::decode(&[0xff; 8]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe(body in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = DataRow::decode(&body);
        }
    }
}
