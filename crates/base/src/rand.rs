//! The only place where randomness comes from: the operating system's generator.

/// `N` random bytes, good enough for keys.
///
/// # Panics
/// When the operating system cannot give random bytes; nothing safe can be done without them.
#[must_use]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    getrandom::fill(&mut out).expect("the operating system gives random bytes");
    out
}

/// A random password or token of `len` characters from `[A-Za-z0-9]` (5.9 bits each).
#[must_use]
pub fn token(len: usize) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut out = String::with_capacity(len);
    while out.len() < len {
        // Bytes from 248 up are thrown away: 248 = 4 × 62, so what stays is evenly spread.
        for byte in bytes::<32>().into_iter().filter(|b| *b < 248) {
            if out.len() < len {
                out.push(char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn tokens_have_the_asked_length_and_differ() {
        let (a, b) = (super::token(24), super::token(24));
        assert_eq!(a.len(), 24);
        assert_ne!(a, b);
        assert!(a.bytes().all(|c| c.is_ascii_alphanumeric()));
    }
}
