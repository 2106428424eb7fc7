//! The columns of a result, as one number.
//!
//! A driver that has asked once what a statement returns reads its rows so ever after, in binary: another number of
//! columns, or other types, would be garbage to it. PostgreSQL keeps it from that with an error (*cached plan must not
//! change result type*). A backend that parses a client's statement anew, after its tables have changed, has no reason
//! to, so the pool compares. The number goes along with a client to another process, so what makes it may not change
//! (FNV-1a of 64 bits).

/// Bytes of a column behind its name: table, number in it, type, length, modifier, format.
const FIELD: usize = 18;

/// Of the empty text.
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;

/// Each byte is multiplied in.
const PRIME: u64 = 0x0100_0000_01b3;

/// See the module. Never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape(u64);

impl Shape {
    /// Of a RowDescription's body: names, types and modifiers. No body: NoData.
    pub(crate) fn of(description: &[u8]) -> Self {
        let mut hash = BASIS;
        let mut rest = description.get(2..).unwrap_or_default();
        while let Some(end) = memchr::memchr(0, rest) {
            let (name, behind) = (&rest[..=end], &rest[end + 1..]);
            let Some((field, next)) = behind.split_at_checked(FIELD) else { break };
            // The type, and behind its length the modifier.
            for byte in [name, &field[6..10], &field[12..16]].into_iter().flatten() {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(PRIME);
            }
            rest = next;
        }
        Self(hash.max(1))
    }

    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// The other way; 0 is none.
    pub(crate) fn of_number(number: u64) -> Option<Self> {
        (number != 0).then_some(Self(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, table: u32, kind: u32, modifier: i32, format: u16) -> Vec<u8> {
        let mut out = [name.as_bytes(), &[0]].concat();
        out.extend(table.to_be_bytes());
        out.extend([0, 1]);
        out.extend(kind.to_be_bytes());
        out.extend([0, 4]);
        out.extend(modifier.to_be_bytes());
        out.extend(format.to_be_bytes());
        out
    }

    fn shape(columns: &[Vec<u8>]) -> Shape {
        let count = u16::try_from(columns.len()).unwrap().to_be_bytes();
        Shape::of(&[count.to_vec(), columns.concat()].concat())
    }

    #[test]
    fn it_is_names_types_and_modifiers() {
        let one = shape(&[column("a", 1, 23, -1, 0)]);
        assert_eq!(
            one,
            shape(&[column("a", 2, 23, -1, 1)]),
            "where it comes from and how it is sent do not matter"
        );
        for other in [
            shape(&[column("b", 1, 23, -1, 0)]),
            shape(&[column("a", 1, 25, -1, 0)]),
            shape(&[column("a", 1, 23, 8, 0)]),
            shape(&[column("a", 1, 23, -1, 0), column("a", 1, 23, -1, 0)]),
            Shape::of(&[]),
        ] {
            assert_ne!(one, other);
        }
        assert_eq!(Shape::of(&[0, 1, b'a', 0, 1]), Shape::of(&[]), "damaged ones are equal, not fatal");
        assert_eq!(one.number(), 0x51b7_fe85_92af_e38d, "another process has the same number");
    }
}
