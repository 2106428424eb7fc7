//! How much of a message must be there before it can be looked at, and what is wrong with it.

use dormouse_pgwire::frame::{HEADER_LEN, Header};
use dormouse_pgwire::tag::frontend as tag;

use super::Violation;
use crate::link::parts;
use crate::link::stateful::Stateful;

/// A text that is read as a whole may have so many bytes: ten thousand clients could fill the memory. A statement
/// that has more cannot be prepared through a pool. A simple query that has more goes through unread.
pub(super) const MAX_TEXT: usize = 64 << 20;

/// What Describe, Close and Execute may have. PostgreSQL ends the connection of whoever sends more.
const MAX_SMALL: usize = 10_000 - 4;

/// The two names of a Bind.
const MAX_NAMES: usize = 64 << 10;

/// The number of a function at the beginning of a FunctionCall.
const OID_LEN: usize = 4;

/// Functions of large objects, which is what drivers use FunctionCall for: they leave nothing behind.
const LARGE_OBJECTS: [u32; 19] =
    [715, 764, 767, 952, 953, 954, 955, 956, 957, 958, 964, 1004, 3170, 3171, 3172, 3457, 3458, 3459, 3460];

/// How much of a message there is.
pub(super) enum There {
    /// Enough: so many bytes of it may be looked at.
    Enough(usize),
    /// Not enough before there are so many.
    Needs(usize),
}

/// Whether enough of a message is there to look at it. With `long_names` a statement may have a name that PostgreSQL
/// would not take: it never sees it.
pub(super) fn wanted(header: Header, rest: &[u8], long_names: bool) -> Result<There, Violation> {
    let whole = HEADER_LEN + header.body_len;
    let (needed, max) = match header.tag {
        tag::QUERY if header.body_len > MAX_TEXT => (HEADER_LEN, usize::MAX),
        tag::QUERY | tag::PARSE => (whole, MAX_TEXT),
        tag::DESCRIBE | tag::CLOSE if long_names => (whole, MAX_NAMES),
        tag::DESCRIBE | tag::CLOSE | tag::EXECUTE => (whole, MAX_SMALL),
        // With a body they are errors, and that of a Flush would make PostgreSQL skip what follows.
        tag::SYNC | tag::FLUSH => (HEADER_LEN, 0),
        tag::FUNCTION_CALL => (whole.min(HEADER_LEN + OID_LEN), usize::MAX),
        tag::BIND => (whole.min(names_end(rest)), MAX_TEXT.max(header.body_len)),
        _ => (HEADER_LEN, usize::MAX),
    };
    if header.body_len > max {
        return Err(Violation::TooLong { len: header.body_len, max });
    }
    if header.tag == tag::BIND && needed > MAX_NAMES && rest.len() > MAX_NAMES && needed > rest.len() {
        return Err(invalid(tag::BIND, "its names are too long"));
    }
    // All that is there is shown, up to the end of the message.
    Ok(match rest.len() >= needed {
        true => There::Enough(whole),
        // Where the names of a Bind end is seen as soon as it is there.
        false if header.tag == tag::BIND => There::Needs(rest.len() + 1),
        false => There::Needs(needed),
    })
}

/// Where the two names of a Bind end; more than there is when they do not end yet.
fn names_end(rest: &[u8]) -> usize {
    let mut zeros = memchr::memchr_iter(0, rest.get(HEADER_LEN..).unwrap_or_default());
    zeros.nth(1).map_or(usize::MAX, |at| HEADER_LEN + at + 1)
}

pub(super) fn kind_and_name(tag: u8, body: &[u8]) -> Result<(u8, &[u8]), Violation> {
    let (&kind, rest) = body.split_first().ok_or_else(|| invalid(tag, "it is empty"))?;
    let (name, _) = parts::cut(rest).ok_or_else(|| invalid(tag, "its name does not end"))?;
    Ok((kind, name))
}

pub(super) fn invalid(tag: u8, what: &'static str) -> Violation {
    Violation::Message { tag, what }
}

/// What a FunctionCall may leave behind: it names its function by a number only.
pub(super) fn effect_of_call(body: &[u8]) -> Stateful {
    let oid = body.first_chunk::<OID_LEN>().map(|oid| u32::from_be_bytes(*oid));
    match oid {
        Some(oid) if !LARGE_OBJECTS.contains(&oid) => Stateful::ANYTHING,
        _ => Stateful::default(),
    }
}
