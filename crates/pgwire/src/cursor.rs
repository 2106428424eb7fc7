//! Reading a message body from front to back. Every read can fail; none can panic.
//!
//! ```text
//!  u8 · u16 · u32 · u64 (big endian) · bytes · text: bytes up to a zero byte · rest: all that is left
//! ```

/// A message whose bytes do not have the shape that its tag promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed {message} message: {problem}")]
pub struct Malformed {
    /// The protocol's name of the message.
    pub message: &'static str,
    /// What is wrong with it, as a phrase.
    pub problem: &'static str,
}

/// A position in a message body.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    message: &'static str,
    left: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(message: &'static str, body: &'a [u8]) -> Self {
        Self { message, left: body }
    }

    pub(crate) fn fail<T>(&self, problem: &'static str) -> Result<T, Malformed> {
        Err(Malformed { message: self.message, problem })
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        let Some((&first, rest)) = self.left.split_first() else {
            return self.fail("it ends too early");
        };
        self.left = rest;
        Ok(first)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        let Some((first, rest)) = self.left.split_first_chunk::<4>() else {
            return self.fail("it ends too early");
        };
        self.left = rest;
        Ok(u32::from_be_bytes(*first))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Malformed> {
        let Some((first, rest)) = self.left.split_first_chunk::<2>() else {
            return self.fail("it ends too early");
        };
        self.left = rest;
        Ok(u16::from_be_bytes(*first))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        let Some((first, rest)) = self.left.split_first_chunk::<8>() else {
            return self.fail("it ends too early");
        };
        self.left = rest;
        Ok(u64::from_be_bytes(*first))
    }

    /// So many bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let Some((first, rest)) = self.left.split_at_checked(count) else {
            return self.fail("it ends too early");
        };
        self.left = rest;
        Ok(first)
    }

    /// A zero-terminated string, without its zero.
    pub(crate) fn text(&mut self) -> Result<&'a [u8], Malformed> {
        let Some(end) = memchr::memchr(0, self.left) else {
            return self.fail("a text has no end");
        };
        let (text, rest) = self.left.split_at(end);
        self.left = &rest[1..];
        Ok(text)
    }

    /// A zero-terminated string that must be UTF-8.
    pub(crate) fn utf8(&mut self) -> Result<&'a str, Malformed> {
        let text = self.text()?;
        std::str::from_utf8(text).or_else(|_| self.fail("a text is not UTF-8"))
    }

    /// Whatever is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.left)
    }

    /// Nothing may be left.
    pub(crate) fn end(&self) -> Result<(), Malformed> {
        if self.left.is_empty() { Ok(()) } else { self.fail("it has bytes after its end") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_in_order_and_fails_at_the_end() {
        let mut cursor = Cursor::new("Test", b"\x07\x00\x00\x01\x02ab\0rest");
        assert_eq!(cursor.u8(), Ok(7));
        assert_eq!(cursor.u32(), Ok(258));
        assert_eq!(cursor.text(), Ok(&b"ab"[..]));
        assert!(cursor.text().is_err());
        assert!(cursor.end().is_err());
        assert_eq!(cursor.rest(), b"rest");
        assert_eq!(cursor.end(), Ok(()));
        assert!(cursor.u8().is_err() && cursor.u32().is_err());
    }

    #[test]
    fn text_must_be_utf8_where_asked() {
        let error = Cursor::new("Test", b"\xff\0").utf8().unwrap_err();
        assert_eq!(error.to_string(), "malformed Test message: a text is not UTF-8");
    }
}
