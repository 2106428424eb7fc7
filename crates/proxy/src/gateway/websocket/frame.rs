//! Frames of the WebSocket protocol (RFC 6455), as bytes. Pure.
//!
//! ```text
//!  ┌─┬───┬──────┬─┬───────┬──────────────────┬──────────┬─────────┐
//!  │F│RSV│opcode│M│len (7)│ len, 0, 2 or 8 B │ mask, 4 B│ payload │
//!  └─┴───┴──────┴─┴───────┴──────────────────┴──────────┴─────────┘
//! ```
//!
//! Only what a server needs: frames of clients are masked, ours are not; there are no extensions. Payloads of binary
//! frames are a stream of bytes here: where frames begin and end means nothing, so none is ever put together.

/// The longest payload of a control frame.
pub(crate) const MAX_CONTROL: usize = 125;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opcode {
    /// More of the message before.
    Continuation,
    /// Characters.
    Text,
    /// Bytes.
    Binary,
    /// The end.
    Close,
    /// Are you there?
    Ping,
    /// Yes.
    Pong,
}

/// The header of a client's frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// What it is.
    pub(crate) opcode: Opcode,
    /// Bytes that follow.
    pub(crate) len: u64,
    /// What they are masked with.
    pub(crate) mask: [u8; 4],
}

/// Why a client's bytes are no frame that a server takes; the number is the status of the Close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadFrame {
    #[error("a frame has reserved bits, an unknown opcode or no mask")]
    Malformed,
    #[error("a control frame is too long or cut into pieces")]
    Control,
}

/// Reads the header at the start of `bytes`, with its length. `None`: it is not all there.
pub(crate) fn header(bytes: &[u8]) -> Result<Option<(Header, usize)>, BadFrame> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    let opcode = match first & 0x0f {
        0 => Opcode::Continuation,
        1 => Opcode::Text,
        2 => Opcode::Binary,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        10 => Opcode::Pong,
        _ => return Err(BadFrame::Malformed),
    };
    if first & 0x70 != 0 || second & 0x80 == 0 {
        return Err(BadFrame::Malformed);
    }
    let (len, rest) = match second & 0x7f {
        126 => match rest.split_first_chunk::<2>() {
            Some((len, rest)) => (u64::from(u16::from_be_bytes(*len)), rest),
            None => return Ok(None),
        },
        127 => match rest.split_first_chunk::<8>() {
            Some((len, rest)) => (u64::from_be_bytes(*len), rest),
            None => return Ok(None),
        },
        len => (u64::from(len), rest),
    };
    let is_control = matches!(opcode, Opcode::Close | Opcode::Ping | Opcode::Pong);
    if is_control && (len > MAX_CONTROL as u64 || first & 0x80 == 0) {
        return Err(BadFrame::Control);
    }
    if len > i64::MAX as u64 {
        return Err(BadFrame::Malformed);
    }
    let Some((mask, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
    Ok(Some((Header { opcode, len, mask: *mask }, bytes.len() - rest.len())))
}

/// Takes a mask off `bytes`, the first of which is number `at` of its payload.
pub(crate) fn unmask(bytes: &mut [u8], mask: [u8; 4], at: u64) {
    let turn = (at % 4) as usize;
    let mask = [mask[turn], mask[(turn + 1) % 4], mask[(turn + 2) % 4], mask[(turn + 3) % 4]];
    let wide = u64::from_ne_bytes([mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3]]);
    let mut words = bytes.chunks_exact_mut(8);
    for word in &mut words {
        let value = u64::from_ne_bytes(word.try_into().expect("chunks of eight")) ^ wide;
        word.copy_from_slice(&value.to_ne_bytes());
    }
    for (n, byte) in words.into_remainder().iter_mut().enumerate() {
        *byte ^= mask[n % 4];
    }
}

/// Writes the header of one of our frames.
pub(crate) fn write_header(out: &mut Vec<u8>, opcode: Opcode, len: usize) {
    let code = match opcode {
        Opcode::Continuation => 0,
        Opcode::Text => 1,
        Opcode::Binary => 2,
        Opcode::Close => 8,
        Opcode::Ping => 9,
        Opcode::Pong => 10,
    };
    out.push(0x80 | code);
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(len), _) if len < 126 => out.push(len),
        (_, Ok(len)) => {
            out.push(126);
            out.extend_from_slice(&len.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn headers_of_all_lengths() {
        let mask = [1, 2, 3, 4];
        for len in [0_usize, 1, 125, 126, 65_535, 65_536, 1 << 32] {
            let mut bytes = Vec::new();
            write_header(&mut bytes, Opcode::Binary, len);
            bytes[1] |= 0x80;
            bytes.extend_from_slice(&mask);
            let whole = Header { opcode: Opcode::Binary, len: len as u64, mask };
            assert_eq!(header(&bytes), Ok(Some((whole, bytes.len()))));
            assert!(bytes.len() <= 14, "the longest header");
            for cut in 0..bytes.len() {
                assert_eq!(header(&bytes[..cut]), Ok(None), "{len} {cut}");
            }
        }
    }

    #[test]
    fn what_a_server_does_not_take() {
        for bytes in [[0x82, 0x01], [0xc2, 0x81], [0x83, 0x81], [0x8b, 0x80]] {
            assert_eq!(header(&bytes), Err(BadFrame::Malformed), "{bytes:x?}");
        }
        assert_eq!(header(&[0x09, 0x80, 0, 0, 0, 0]), Err(BadFrame::Control), "a ping in pieces");
        assert_eq!(header(&[0x89, 0xfe, 0, 126, 0, 0, 0, 0]), Err(BadFrame::Control), "a long ping");
        assert_eq!(header(&[0x82, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0]), Err(BadFrame::Malformed));
    }

    proptest! {
        #[test]
        fn masks_come_off_in_any_pieces(
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
            mask: [u8; 4],
            cut in 0_usize..100,
        ) {
            let masked: Vec<u8> = bytes.iter().enumerate().map(|(n, b)| b ^ mask[n % 4]).collect();
            let cut = cut.min(masked.len());
            let (mut a, mut b) = (masked[..cut].to_vec(), masked[cut..].to_vec());
            unmask(&mut a, mask, 0);
            unmask(&mut b, mask, cut as u64);
            a.extend(b);
            prop_assert_eq!(a, bytes);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            let _read = header(&bytes);
        }
    }
}
