//! How much of a message must be there before it can be looked at, and what is wrong with it.

use dormouse_pgwire::frame::{HEADER_LEN, Header};
use dormouse_pgwire::tag::frontend as tag;

use super::Violation;
use crate::link::parts;

/// A query or statement that must be read as a whole may have so many bytes. PostgreSQL takes more, but not
/// through a pool: ten thousand clients could fill the memory.
const MAX_TEXT: usize = 64 << 20;

/// Names, and whatever else is small.
const MAX_SMALL: usize = 64 << 10;

/// How many bytes of a message must be there before it can be looked at; `None` = wait for more.
pub(super) fn wanted(header: Header, rest: &[u8]) -> Result<Option<usize>, Violation> {
    let whole = HEADER_LEN + header.body_len;
    let (needed, max) = match header.tag {
        tag::QUERY | tag::PARSE => (whole, MAX_TEXT),
        tag::DESCRIBE | tag::CLOSE | tag::EXECUTE => (whole, MAX_SMALL),
        tag::BIND => (whole.min(names_end(rest)), MAX_TEXT.max(header.body_len)),
        _ => (HEADER_LEN, usize::MAX),
    };
    if header.body_len > max {
        return Err(Violation::TooLong { len: header.body_len, max });
    }
    if header.tag == tag::BIND && needed > MAX_SMALL && rest.len() > MAX_SMALL && needed > rest.len() {
        return Err(invalid(tag::BIND, "its names are too long"));
    }
    // All that is there is shown, up to the end of the message.
    Ok((rest.len() >= needed).then_some(whole))
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
