//! Numbers and texts as bytes, for the binary formats of this crate: varints (LEB128), little-endian
//! integers, texts with their length in front. Reading never trusts a length.

/// The bytes ended too early, or a value is impossible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes end too early or make no sense")]
pub struct Short;

/// Appends a number.
pub(crate) fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends bytes with their length.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads from the front of bytes.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Short> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Short)?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Short> {
        self.take(N)?.try_into().map_err(|_| Short)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Short> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Short> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn number(&mut self) -> Result<u64, Short> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f).checked_shl(shift).ok_or(Short)?;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Short)
    }

    pub(crate) fn small<T: TryFrom<u64>>(&mut self) -> Result<T, Short> {
        T::try_from(self.number()?).map_err(|_| Short)
    }

    /// A count of things that take at least `each` bytes, so that a wrong one cannot ask for much memory.
    pub(crate) fn count(&mut self, each: usize) -> Result<usize, Short> {
        let count: usize = self.small()?;
        (count.saturating_mul(each) <= self.rest.len()).then_some(count).ok_or(Short)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Short> {
        let len = self.small()?;
        self.take(len)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Short> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Short)
    }

    pub(crate) fn end(&self) -> Result<(), Short> {
        if self.rest.is_empty() { Ok(()) } else { Err(Short) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_back_and_lies_are_refused() {
        let mut out = Vec::new();
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            put_number(&mut out, value);
        }
        put_bytes(&mut out, b"text");
        let mut reader = Reader::new(&out);
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(reader.number(), Ok(value));
        }
        assert_eq!(reader.text(), Ok("text"));
        assert_eq!(reader.end(), Ok(()));
        assert_eq!(reader.u8(), Err(Short));
        assert_eq!(Reader::new(&[0xff; 11]).number(), Err(Short));
        assert_eq!(Reader::new(&[200, 1, 0]).count(4), Err(Short));
    }
}
