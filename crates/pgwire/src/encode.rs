//! Writing messages. The length word counts itself but not the tag, so it is filled in when the body is known.
//!
//! ```text
//!  ┌─────┬──────────────────┬──────────────┐
//!  │ tag │ length (4, BE)   │ body         │     length = 4 + body
//!  └─────┴──────────────────┴──────────────┘
//! ```

/// Room for most messages that are encoded on their own: bytes.
const MOSTLY: usize = 64;

/// A message that can be written to the wire.
pub trait Encode {
    /// Appends the whole message, tag and length included.
    fn encode_into(&self, out: &mut Vec<u8>);

    /// The whole message on its own.
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(MOSTLY);
        self.encode_into(&mut out);
        out
    }
}

/// Appends a tagged message whose body `write` appends.
pub(crate) fn tagged(out: &mut Vec<u8>, tag: u8, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    sized(out, write);
}

/// Appends a length word and what it counts.
pub(crate) fn sized(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    write(out);
    let len = i32::try_from(out.len() - start).expect("we never build messages near 2 GiB");
    out[start..start + 4].copy_from_slice(&len.to_be_bytes());
}

/// Appends a zero-terminated string. A zero inside would end it early and let the remainder be read as
/// something else, so it is left out.
pub(crate) fn text(out: &mut Vec<u8>, text: impl AsRef<[u8]>) {
    out.extend(text.as_ref().iter().copied().filter(|byte| *byte != 0));
    out.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_counts_itself_but_not_the_tag() {
        let mut out = b"before".to_vec();
        tagged(&mut out, b'X', |body| text(body, "ab"));
        assert_eq!(out, b"beforeX\x00\x00\x00\x07ab\x00");
    }

    #[test]
    fn zero_bytes_cannot_end_a_text_early() {
        let mut out = Vec::new();
        text(&mut out, b"a\0b");
        assert_eq!(out, b"ab\0");
    }
}
