//! The body of a request: one statement, or several that are one transaction. Pure.
//!
//! ```text
//!  {"query": "SELECT $1::int", "params": ["1"], "arrayMode": true}
//!  {"queries": [{"query": …, "params": …}, …]}
//! ```
//!
//! Whatever else is in it is left alone, so that newer clients work with this server.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};

use super::parameter::Params;

/// Statements in one batch.
pub(crate) const MAX_STATEMENTS: usize = 1_000;

/// One statement.
#[derive(Debug, Deserialize)]
pub(crate) struct Statement<'a> {
    /// Its text.
    #[serde(borrow)]
    pub(crate) query: std::borrow::Cow<'a, str>,
    /// Its parameters.
    #[serde(default, borrow)]
    pub(crate) params: Params<'a>,
    /// Rows as arrays instead of objects, whatever the header says.
    #[serde(default, rename = "arrayMode")]
    pub(crate) array_mode: Option<bool>,
}

/// What is to be run.
#[derive(Debug)]
pub(crate) enum Work<'a> {
    /// One statement, on its own.
    Single(Statement<'a>),
    /// Several, in a transaction.
    Batch(Vec<Statement<'a>>),
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(default, borrow)]
    query: Option<std::borrow::Cow<'a, str>>,
    #[serde(default, borrow)]
    params: Params<'a>,
    #[serde(default, rename = "arrayMode")]
    array_mode: Option<bool>,
    #[serde(default, borrow)]
    queries: Option<Few<Statement<'a>>>,
}

/// A list that is read up to the first one too many. What follows is counted by nobody and needs no memory.
#[derive(Debug)]
pub(crate) struct Few<T>(pub(crate) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Elements<T> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
                let mut few = Vec::new();
                while few.len() <= MAX_STATEMENTS {
                    match list.next_element()? {
                        Some(element) => few.push(element),
                        None => return Ok(few),
                    }
                }
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(few)
            }
        }
        deserializer.deserialize_seq(Elements(PhantomData)).map(Few)
    }
}

/// What is wrong with a body.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadBody {
    #[error("the body is not UTF-8 text")]
    Encoding,
    /// With the place, never with the content.
    #[error("the body is not the expected JSON at line {line}, column {column}")]
    Json { line: usize, column: usize },
    #[error("the body is not a JSON object")]
    NoObject,
    #[error("the body has neither \"query\" nor \"queries\"")]
    Nothing,
    #[error("a batch has more than 1000 queries")]
    TooMany,
    #[error("a query has a zero character in it")]
    Zero,
}

/// Reads a body.
pub(crate) fn read(body: &[u8]) -> Result<Work<'_>, BadBody> {
    let text = std::str::from_utf8(body).map_err(|_| BadBody::Encoding)?;
    // Lists would be taken for the fields in their order.
    if text.trim_start().starts_with('[') {
        return Err(BadBody::NoObject);
    }
    let body: Body<'_> = serde_json::from_str(text)
        .map_err(|error| BadBody::Json { line: error.line(), column: error.column() })?;
    let work = match (body.query, body.queries) {
        (Some(query), _) => {
            Work::Single(Statement { query, params: body.params, array_mode: body.array_mode })
        }
        (None, Some(Few(queries))) => Work::Batch(queries),
        (None, None) => return Err(BadBody::Nothing),
    };
    if work.statements().len() > MAX_STATEMENTS {
        return Err(BadBody::TooMany);
    }
    for statement in work.statements() {
        if statement.query.contains('\0') {
            return Err(BadBody::Zero);
        }
    }
    Ok(work)
}

impl<'a> Work<'a> {
    /// All of them, in order.
    pub(crate) fn statements(&self) -> &[Statement<'a>] {
        match self {
            Self::Single(statement) => std::slice::from_ref(statement),
            Self::Batch(statements) => statements,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_or_many() {
        let body = br#"{"query":"SELECT $1","params":["1",null],"future":{"x":[1]}}"#;
        let Work::Single(one) = read(body).unwrap() else { panic!("a batch") };
        assert_eq!((&*one.query, one.params.is_empty(), one.array_mode), ("SELECT $1", false, None));
        let body = br#"{"queries":[{"query":"a","arrayMode":true},{"query":"b\n","params":null}]}"#;
        let Work::Batch(many) = read(body).unwrap() else { panic!("one") };
        assert_eq!((many[0].array_mode, &*many[1].query), (Some(true), "b\n"));
    }

    #[test]
    fn what_is_no_request() {
        let error = |body: &[u8]| read(body).map(drop).unwrap_err();
        assert_eq!(error(b"{}"), BadBody::Nothing);
        assert_eq!(error(b"\xff"), BadBody::Encoding);
        assert_eq!(error(br#" ["select 1"]"#), BadBody::NoObject);
        assert_eq!(error(br#"{"query":"a\u0000"}"#), BadBody::Zero);
        for body in
            [&b""[..], b"{", b"1", br#"{"query":1}"#, br#"{"query":"a","params":{}}"#, b"{\"query\":\"a\"}x"]
        {
            assert!(matches!(error(body), BadBody::Json { .. }), "{body:?}");
        }
        let deep = format!(r#"{{"query":"a","params":[{}1{}]}}"#, "[".repeat(200_000), "]".repeat(200_000));
        // Read only where it is used, and refused there; see `parameter`.
        assert!(read(deep.as_bytes()).is_ok());
        let many = format!(r#"{{"queries":[{}{{"query":""}}]}}"#, r#"{"query":""},"#.repeat(MAX_STATEMENTS));
        assert_eq!(error(many.as_bytes()), BadBody::TooMany);
        let broken = format!(r#"{{"queries":[{}{{]}}"#, r#"{"query":""},"#.repeat(MAX_STATEMENTS + 9));
        assert!(matches!(error(broken.as_bytes()), BadBody::Json { .. }), "all of it is read");
    }
}
