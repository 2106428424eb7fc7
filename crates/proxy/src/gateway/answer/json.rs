//! JSON texts from bytes of PostgreSQL. Pure.

/// Writes a JSON string. Bytes that are not UTF-8 (a client that changed its encoding) become replacement characters.
pub(crate) fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(_) => escaped(out, bytes),
        Err(_) => escaped(out, String::from_utf8_lossy(bytes).as_bytes()),
    }
}

fn escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0..=0x1f)) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            other => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(other >> 4)]);
                out.push(HEX[usize::from(other & 15)]);
            }
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Writes `null` or a string.
pub(crate) fn string_or_null(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => string(out, text.as_bytes()),
        None => out.extend_from_slice(b"null"),
    }
}

/// Writes a whole number.
pub(crate) fn number(out: &mut Vec<u8>, number: i64) {
    use std::io::Write;
    // Writing into memory does not fail.
    let _written = write!(out, "{number}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_come_back_as_they_were() {
        let mut all: Vec<u8> = (0..128).collect();
        all.extend_from_slice("äöü€😀\u{2028}\"\\".as_bytes());
        let mut out = Vec::new();
        string(&mut out, &all);
        let back: String = serde_json::from_slice(&out).unwrap();
        assert_eq!(back.as_bytes(), all);
        out.clear();
        string(&mut out, b"a\xffb");
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), "a\u{fffd}b");
    }
}
