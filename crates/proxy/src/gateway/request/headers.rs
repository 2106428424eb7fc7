//! What the headers of a request wish. Pure.

use axum::http::{HeaderMap, HeaderName, header};

/// Where to go, as whom.
pub(crate) const CONNECTION_STRING: HeaderName = HeaderName::from_static("neon-connection-string");
/// All values as texts.
pub(crate) const RAW_TEXT_OUTPUT: HeaderName = HeaderName::from_static("neon-raw-text-output");
/// Rows as arrays.
pub(crate) const ARRAY_MODE: HeaderName = HeaderName::from_static("neon-array-mode");
/// The isolation level of a batch.
pub(crate) const ISOLATION_LEVEL: HeaderName = HeaderName::from_static("neon-batch-isolation-level");
/// Whether a batch only reads.
pub(crate) const READ_ONLY: HeaderName = HeaderName::from_static("neon-batch-read-only");
/// Whether a batch waits for a snapshot that cannot fail.
pub(crate) const DEFERRABLE: HeaderName = HeaderName::from_static("neon-batch-deferrable");
/// Finds this request in the log.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("neon-request-id");

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Output {
    /// Texts, as PostgreSQL wrote them.
    pub(crate) raw_text: bool,
    /// Arrays instead of objects.
    pub(crate) array_mode: bool,
    /// For whom.
    pub(crate) style: Style,
}

/// Whose words a result is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Style {
    /// Those of the official driver.
    #[default]
    Driver,
    /// With names of types, for people; and the document is left open at its end.
    Plain,
}

impl Output {
    /// Reads the headers; only the word `true` is true.
    pub(crate) fn read(headers: &HeaderMap) -> Self {
        Self {
            raw_text: is_true(headers, &RAW_TEXT_OUTPUT),
            array_mode: is_true(headers, &ARRAY_MODE),
            style: Style::Driver,
        }
    }
}

/// What kind of transaction a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Transaction {
    isolation: Option<&'static str>,
    read_only: Option<bool>,
    deferrable: Option<bool>,
}

/// A header that cannot be obeyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadHeader {
    #[error(
        "Neon-Batch-Isolation-Level must be ReadUncommitted, ReadCommitted, RepeatableRead or Serializable"
    )]
    Isolation,
}

impl Transaction {
    /// Reads the headers.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Self, BadHeader> {
        let isolation = match headers.get(&ISOLATION_LEVEL).map(|value| value.as_bytes()) {
            None => None,
            Some(b"ReadUncommitted") => Some("READ UNCOMMITTED"),
            Some(b"ReadCommitted") => Some("READ COMMITTED"),
            Some(b"RepeatableRead") => Some("REPEATABLE READ"),
            Some(b"Serializable") => Some("SERIALIZABLE"),
            Some(_) => return Err(BadHeader::Isolation),
        };
        let told = |name| headers.contains_key(name).then(|| is_true(headers, name));
        Ok(Self { isolation, read_only: told(&READ_ONLY), deferrable: told(&DEFERRABLE) })
    }

    /// The statement that begins it.
    pub(crate) fn begin(self) -> String {
        let mut text = "BEGIN".to_owned();
        if let Some(level) = self.isolation {
            text.push_str(" ISOLATION LEVEL ");
            text.push_str(level);
        }
        match self.read_only {
            Some(true) => text.push_str(" READ ONLY"),
            Some(false) => text.push_str(" READ WRITE"),
            None => {}
        }
        match self.deferrable {
            Some(true) => text.push_str(" DEFERRABLE"),
            Some(false) => text.push_str(" NOT DEFERRABLE"),
            None => {}
        }
        text
    }
}

/// Whether a header says `true`.
fn is_true(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.get(name).is_some_and(|value| value.as_bytes() == b"true")
}

/// The token of `Authorization: Bearer …`.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// Whether the client reads gzip.
pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let listed = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    listed.flat_map(|list| list.split(',')).any(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let refused = parts.any(|part| matches!(part.replace(' ', "").as_str(), "q=0" | "q=0.0"));
        (name.eq_ignore_ascii_case("gzip") || name == "*") && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let entry = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), axum::http::HeaderValue::from_static(value))
        };
        pairs.iter().map(entry).collect()
    }

    #[test]
    fn only_true_is_true() {
        let read = |value| Output::read(&headers(&[("neon-raw-text-output", value)])).raw_text;
        assert_eq!(["true", "True", "1", "yes", ""].map(read), [true, false, false, false, false]);
    }

    #[test]
    fn transactions() {
        let begin = |pairs: &[_]| Transaction::read(&headers(pairs)).map(Transaction::begin);
        assert_eq!(begin(&[]).unwrap(), "BEGIN");
        let all = [
            ("neon-batch-isolation-level", "Serializable"),
            ("neon-batch-read-only", "true"),
            ("neon-batch-deferrable", "false"),
        ];
        assert_eq!(begin(&all).unwrap(), "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY NOT DEFERRABLE");
        assert_eq!(begin(&[("neon-batch-read-only", "false")]).unwrap(), "BEGIN READ WRITE");
        assert_eq!(begin(&[("neon-batch-isolation-level", "serializable; drop")]), Err(BadHeader::Isolation));
    }

    #[test]
    fn gzip_when_asked() {
        let takes = |value| takes_gzip(&headers(&[("accept-encoding", value)]));
        assert_eq!(
            ["gzip, deflate", "br;q=1.0, GZIP;q=0.5", "*", "identity", "gzip;q=0", "br"].map(takes),
            [true, true, true, false, false, false]
        );
        assert!(!takes_gzip(&headers(&[])));
        assert_eq!(bearer(&headers(&[("authorization", "bearer abc")])), Some("abc"));
        assert_eq!(bearer(&headers(&[("authorization", "Basic abc")])), None);
    }
}
