//! `Idempotency-Key`: a request that changes something can be sent again, and is carried out once.
//!
//! Pure words of the contract; the server's side is `control::http::idempotent`.

/// The request's header.
pub const HEADER: &str = "idempotency-key";

/// On a reply that was given before: `true`.
pub const REPLAYED: &str = "idempotency-replayed";

/// Characters of a key.
pub const MAX_KEY: usize = 255;

/// How long a reply is kept, hours.
pub const KEPT_HOURS: i64 = 24;

/// Whether a text can be a key: 1 to [`MAX_KEY`] visible ASCII characters.
#[must_use]
pub fn is_key(text: &[u8]) -> bool {
    (1..=MAX_KEY).contains(&text.len()) && text.iter().all(u8::is_ascii_graphic)
}
