//! Messages that are put together here.

use dormouse_pgwire::tag::frontend as tag;

/// A message without a body.
pub(super) fn empty(out: &mut Vec<u8>, tag: u8) {
    out.extend_from_slice(&[tag, 0, 0, 0, 4]);
}

fn header(out: &mut Vec<u8>, tag: u8, body: usize) {
    out.push(tag);
    out.extend_from_slice(&u32::try_from(body + 4).expect("messages are limited").to_be_bytes());
}

fn text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(text);
    out.push(0);
}

/// Parse; `rest` is the body behind the name.
pub(super) fn parse(out: &mut Vec<u8>, name: &[u8], rest: &[u8]) {
    header(out, tag::PARSE, name.len() + 1 + rest.len());
    text(out, name);
    out.extend_from_slice(rest);
}

/// The beginning of a Bind of `body` bytes with the statement's name changed; the rest of the body follows.
pub(super) fn bind(out: &mut Vec<u8>, portal: &[u8], name: &[u8], rest: usize) {
    header(out, tag::BIND, portal.len() + 1 + name.len() + 1 + rest);
    text(out, portal);
    text(out, name);
}

/// Describe or Close of a statement.
pub(super) fn of_statement(out: &mut Vec<u8>, tag: u8, name: &[u8]) {
    header(out, tag, 1 + name.len() + 1);
    out.push(b'S');
    text(out, name);
}

/// A simple query.
pub(super) fn query(out: &mut Vec<u8>, sql: impl AsRef<[u8]>) {
    let sql = sql.as_ref();
    header(out, tag::QUERY, sql.len() + 1);
    text(out, sql);
}

/// CommandComplete.
pub(super) fn command_complete(out: &mut Vec<u8>, command: &str) {
    header(out, dormouse_pgwire::tag::backend::COMMAND_COMPLETE, command.len() + 1);
    text(out, command.as_bytes());
}

/// ParameterStatus.
pub(super) fn parameter_status(out: &mut Vec<u8>, name: &str, value: &str) {
    header(out, dormouse_pgwire::tag::backend::PARAMETER_STATUS, name.len() + 1 + value.len() + 1);
    text(out, name.as_bytes());
    text(out, value.as_bytes());
}

/// The parameters in the body of a Bind behind its two names that are there as a whole; `None` is NULL.
pub(super) fn parameters(values: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let values = (|| {
        let (formats, rest) = values.split_first_chunk::<2>()?;
        let (_, rest) = rest.split_at_checked(2 * usize::from(u16::from_be_bytes(*formats)))?;
        Some(rest.split_first_chunk::<2>()?.1)
    })();
    let mut rest = values.unwrap_or_default();
    std::iter::from_fn(move || {
        let (len, tail) = rest.split_first_chunk::<4>()?;
        let Ok(len) = usize::try_from(i32::from_be_bytes(*len)) else {
            rest = tail;
            return Some(None);
        };
        let (value, tail) = tail.split_at_checked(len)?;
        rest = tail;
        Some(Some(value))
    })
}

/// The formats of the parameters there, with their number in front; empty when they have not come.
pub(super) fn formats(values: &[u8]) -> &[u8] {
    let number = values.first_chunk::<2>().map_or(0, |number| usize::from(u16::from_be_bytes(*number)));
    values.get(..2 + 2 * number).unwrap_or_default()
}

/// Cuts a zero-ended text off; `None` when it does not end.
pub(super) fn cut(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(0, bytes)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}
