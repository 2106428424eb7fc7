//! Recognising HTTP by its first four bytes. Read as a length they would mean over a gigabyte, so no startup
//! packet can be taken for one.

const METHODS: [&[u8; 4]; 10] =
    [b"GET ", b"HEAD", b"POST", b"PUT ", b"DELE", b"OPTI", b"PATC", b"CONN", b"TRAC", b"PRI "];

/// Whether a client that sent these bytes first is speaking HTTP (1.x, or 2 with prior knowledge).
pub(super) fn is_method(word: [u8; 4]) -> bool {
    METHODS.contains(&&word)
}
