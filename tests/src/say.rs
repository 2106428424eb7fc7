//! Messages as a client builds them, one after the other in one buffer, and replies as short texts that
//! can be compared with what PostgreSQL itself would say:
//!
//! ```text
//!  1 2 3      ParseComplete, BindComplete, CloseComplete      D:a|b   a row (NULL is \N)
//!  t:23 T:a   parameters' and columns' description, n = none  C:TAG   CommandComplete
//!  E:22012    an error by its SQLSTATE                        Z:I     ReadyForQuery and its state
//!  G H d:x c  COPY in, COPY out, its data, its end            s I     suspended portal, empty query
//! ```
//!
//! Notices and parameters may come at any time and are left out. Spaces are shown as `_`.

use std::time::Duration;

use crate::raw::Raw;
use dormouse_pgwire::Frame;
use dormouse_pgwire::backend::ErrorResponse;

/// How long to look at what comes after a wrong reply.
const LATER: Duration = Duration::from_millis(300);

/// Messages to be sent in one go.
#[derive(Default, Clone)]
pub struct Say(pub Vec<u8>);

fn text(body: &mut Vec<u8>, text: &str) {
    body.extend_from_slice(text.as_bytes());
    body.push(0);
}

impl Say {
    pub fn new() -> Self {
        Self::default()
    }

    /// Any message, whatever its body.
    pub fn message(mut self, tag: u8, body: &[u8]) -> Self {
        self.0.push(tag);
        self.0.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        self.0.extend_from_slice(body);
        self
    }

    pub fn query(self, sql: &str) -> Self {
        let mut body = Vec::new();
        text(&mut body, sql);
        self.message(b'Q', &body)
    }

    pub fn parse(self, name: &str, sql: &str) -> Self {
        self.parse_typed(name, sql, &[])
    }

    pub fn parse_typed(self, name: &str, sql: &str, types: &[u32]) -> Self {
        let mut body = Vec::new();
        text(&mut body, name);
        text(&mut body, sql);
        body.extend_from_slice(&u16::try_from(types.len()).unwrap().to_be_bytes());
        types.iter().for_each(|oid| body.extend_from_slice(&oid.to_be_bytes()));
        self.message(b'P', &body)
    }

    /// Parameters and results as text.
    pub fn bind(self, portal: &str, statement: &str, values: &[&str]) -> Self {
        let mut body = Vec::new();
        text(&mut body, portal);
        text(&mut body, statement);
        body.extend_from_slice(&[0, 0]);
        body.extend_from_slice(&u16::try_from(values.len()).unwrap().to_be_bytes());
        for value in values {
            body.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
            body.extend_from_slice(value.as_bytes());
        }
        body.extend_from_slice(&[0, 0]);
        self.message(b'B', &body)
    }

    fn kind_and_name(self, tag: u8, kind: u8, name: &str) -> Self {
        let mut body = vec![kind];
        text(&mut body, name);
        self.message(tag, &body)
    }

    pub fn describe_statement(self, name: &str) -> Self {
        self.kind_and_name(b'D', b'S', name)
    }

    pub fn describe_portal(self, name: &str) -> Self {
        self.kind_and_name(b'D', b'P', name)
    }

    pub fn close_statement(self, name: &str) -> Self {
        self.kind_and_name(b'C', b'S', name)
    }

    pub fn close_portal(self, name: &str) -> Self {
        self.kind_and_name(b'C', b'P', name)
    }

    /// `rows` = 0: all.
    pub fn execute(self, portal: &str, rows: u32) -> Self {
        let mut body = Vec::new();
        text(&mut body, portal);
        body.extend_from_slice(&rows.to_be_bytes());
        self.message(b'E', &body)
    }

    pub fn flush(self) -> Self {
        self.message(b'H', &[])
    }

    pub fn sync(self) -> Self {
        self.message(b'S', &[])
    }

    pub fn copy_data(self, data: &str) -> Self {
        self.message(b'd', data.as_bytes())
    }

    pub fn copy_done(self) -> Self {
        self.message(b'c', &[])
    }

    pub fn copy_fail(self, why: &str) -> Self {
        let mut body = Vec::new();
        text(&mut body, why);
        self.message(b'f', &body)
    }

    pub fn terminate(self) -> Self {
        self.message(b'X', &[])
    }
}

/// A reply as a short text; `None` for what may come at any time. A server that lies may send anything: what cannot be
/// read is shown as far as it can.
pub fn short(frame: &Frame) -> Option<String> {
    let body = &frame.body;
    let until_zero = |bytes: &[u8]| {
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    };
    Some(match frame.tag {
        b'S' | b'N' | b'A' => return None,
        b'D' => format!("D:{}", columns(body)),
        b'T' => format!("T:{}", names(body).join("|")),
        b't' => {
            let oids =
                rest(body, 2).chunks_exact(4).map(|c| u32::from_be_bytes(c.try_into().unwrap()).to_string());
            format!("t:{}", oids.collect::<Vec<_>>().join("|"))
        }
        b'C' => format!("C:{}", until_zero(body)),
        b'Z' => format!("Z:{}", body.first().copied().map_or('?', char::from)),
        b'E' => match ErrorResponse::decode(body) {
            Ok(error) => format!("E:{}", error.fields.code()),
            Err(error) => format!("E:({error})"),
        },
        b'd' => format!("d:{}", String::from_utf8_lossy(body).trim_end()),
        tag => char::from(tag).to_string(),
    })
}

fn columns(body: &[u8]) -> String {
    let (mut rest, mut values) = (rest(body, 2), Vec::new());
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
            values.push("\\N".to_owned());
            rest = after;
            continue;
        };
        let length = length.min(after.len());
        values.push(String::from_utf8_lossy(&after[..length]).into_owned());
        rest = &after[length..];
    }
    values.join("|")
}

/// What is left of a body behind so many bytes.
fn rest(body: &[u8], from: usize) -> &[u8] {
    body.get(from..).unwrap_or_default()
}

fn names(body: &[u8]) -> Vec<String> {
    let (mut left, mut names) = (rest(body, 2), Vec::new());
    while let Some(end) = left.iter().position(|b| *b == 0) {
        names.push(String::from_utf8_lossy(&left[..end]).into_owned());
        // Table, column, type, length, modifier, format.
        left = rest(left, end + 1 + 18);
    }
    names
}

/// The next `count` replies.
pub async fn replies(raw: &mut Raw, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    while all.len() < count {
        let Some(frame) = raw.message().await else {
            all.push("closed".to_owned());
            return all;
        };
        all.extend(short(&frame).map(|reply| reply.replace(' ', "_")));
    }
    all
}

/// Sends messages, and compares the replies; `wanted` has them with spaces between.
pub async fn exchange(raw: &mut Raw, say: &Say, wanted: &str) {
    raw.send(&say.0).await;
    hear(raw, wanted, "").await;
}

/// Compares the next replies as they come; `about` is for the reader of a failure.
pub async fn hear(raw: &mut Raw, wanted: &str, about: &str) {
    for (at, wanted_here) in wanted.split_whitespace().enumerate() {
        let got = replies(raw, 1).await.remove(0);
        if got == wanted_here {
            continue;
        }
        let after = tokio::time::timeout(LATER, replies(raw, 3)).await.unwrap_or_default();
        panic!(
            "{about}: reply {at} is {got:.200}, not {wanted_here:.200}, of {wanted:.600}; then {after:.200?}"
        );
    }
}
