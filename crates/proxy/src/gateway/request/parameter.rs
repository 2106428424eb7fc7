//! A parameter in JSON as PostgreSQL's text. Pure.
//!
//! ```text
//!  null              NULL                 "text"     text
//!  12, 1.50, 1e400   as it is written     true       true
//!  {"a":1}           as it is written     [1,"x",null,[…]]   {1,"x",NULL,{…}}
//! ```
//!
//! They are read one by one, where they are written down for PostgreSQL: a list of them would be many times as large as
//! the request.
//!
//! The official driver sends texts and null only; others may send JSON. Numbers are not read, so none loses digits.
//! An object inside of an array becomes a quoted JSON text, as an element of `json[]` is written.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// PostgreSQL's arrays have at most six dimensions.
const MAX_DIMENSIONS: usize = 6;

/// Parameters of one statement: what the protocol can count.
pub(crate) const MAX_PARAMETERS: u16 = u16::MAX;

/// What cannot be a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadParameter {
    /// PostgreSQL's texts end at a zero.
    #[error("a text with a zero character (\\u0000) cannot be a parameter")]
    Zero,
    #[error("an array with more than six dimensions cannot be a parameter")]
    TooDeep,
    #[error("a text is not valid JSON")]
    Malformed,
    #[error("a query has more than 65535 parameters")]
    TooMany,
}

/// The parameters of one statement, as they are written.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Params<'a>(Option<&'a RawValue>);

impl<'a> Params<'a> {
    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        let inside = |list: &'a RawValue| list.get()[1..list.get().len() - 1].trim().is_empty();
        self.0.is_none_or(inside)
    }

    /// Writes how many there are, then each with its length before it, as the protocol has them.
    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Result<(), BadParameter> {
        let (at, mut count) = (out.len(), 0_u16);
        out.extend_from_slice(&[0, 0]);
        if let Some(list) = self.0 {
            each(list.get(), |value| {
                if count == MAX_PARAMETERS {
                    return Err(BadParameter::TooMany);
                }
                count += 1;
                match text_of(value)? {
                    None => out.extend_from_slice(&(-1_i32).to_be_bytes()),
                    Some(text) => {
                        let length = u32::try_from(text.len()).expect("bounded by the size of a request");
                        out.extend_from_slice(&length.to_be_bytes());
                        out.extend_from_slice(&text);
                    }
                }
                Ok(())
            })?;
        }
        out[at..at + 2].copy_from_slice(&count.to_be_bytes());
        Ok(())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Params<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = Option::<&RawValue>::deserialize(deserializer)?;
        if list.is_some_and(|list| !list.get().starts_with('[')) {
            return Err(D::Error::custom("parameters are a list"));
        }
        Ok(Self(list))
    }
}

/// Hands over the elements of a list of JSON, one after the other.
fn each<'a>(
    list: &'a str,
    mut take: impl FnMut(&'a RawValue) -> Result<(), BadParameter>,
) -> Result<(), BadParameter> {
    struct Elements<'f, F> {
        take: &'f mut F,
        failed: &'f mut Option<BadParameter>,
    }
    impl<'de, F: FnMut(&'de RawValue) -> Result<(), BadParameter>> Visitor<'de> for Elements<'_, F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
            while let Some(element) = list.next_element()? {
                if let Err(bad) = (self.take)(element) {
                    *self.failed = Some(bad);
                    return Err(A::Error::custom(bad));
                }
            }
            Ok(())
        }
    }
    let mut failed = None;
    let mut reader = serde_json::Deserializer::from_str(list);
    let read = reader.deserialize_seq(Elements { take: &mut take, failed: &mut failed });
    match failed {
        Some(bad) => Err(bad),
        None => read.map_err(|_| BadParameter::Malformed),
    }
}

/// A parameter's text; `None` = NULL.
fn text_of(value: &RawValue) -> Result<Option<Vec<u8>>, BadParameter> {
    let written = value.get();
    match written.as_bytes().first() {
        Some(b'n') => Ok(None),
        Some(b'"') => text(written).map(|text| Some(text.into_bytes())),
        Some(b'[') => {
            let mut out = Vec::with_capacity(written.len());
            array(written, 1, &mut out)?;
            Ok(Some(out))
        }
        _ => Ok(Some(written.as_bytes().to_vec())),
    }
}

fn text(written: &str) -> Result<String, BadParameter> {
    let text: String = serde_json::from_str(written).map_err(|_| BadParameter::Malformed)?;
    if text.contains('\0') { Err(BadParameter::Zero) } else { Ok(text) }
}

fn array(written: &str, depth: usize, out: &mut Vec<u8>) -> Result<(), BadParameter> {
    if depth > MAX_DIMENSIONS {
        return Err(BadParameter::TooDeep);
    }
    out.push(b'{');
    let mut is_first = true;
    each(written, |element| {
        if !std::mem::take(&mut is_first) {
            out.push(b',');
        }
        let written = element.get();
        match written.as_bytes().first() {
            Some(b'n') => out.extend_from_slice(b"NULL"),
            Some(b'"') => quoted(&text(written)?, out),
            Some(b'[') => array(written, depth + 1, out)?,
            Some(b'{') => quoted(written, out),
            _ => out.extend_from_slice(written.as_bytes()),
        }
        Ok(())
    })?;
    out.push(b'}');
    Ok(())
}

fn quoted(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str) -> Result<Option<String>, BadParameter> {
        let raw: &RawValue = serde_json::from_str(json).unwrap();
        text_of(raw).map(|text| text.map(|t| String::from_utf8(t).unwrap()))
    }

    #[test]
    fn each_kind_of_json() {
        for (json, wanted) in [
            (r#""a\"b\u00e4""#, "a\"bä"),
            ("12345678901234567890123.4500", "12345678901234567890123.4500"),
            ("-0", "-0"),
            ("1e400", "1e400"),
            ("true", "true"),
            (r#"{"a": [1, null]}"#, r#"{"a": [1, null]}"#),
            ("[]", "{}"),
            (r#"[1, "a\\\"b", null, true]"#, r#"{1,"a\\\"b",NULL,true}"#),
            ("[[1,2],[3,4]]", "{{1,2},{3,4}}"),
            (r#"[{"a":"b"}, "null"]"#, r#"{"{\"a\":\"b\"}","null"}"#),
        ] {
            assert_eq!(of(json), Ok(Some(wanted.to_owned())), "{json}");
        }
        assert_eq!(of("null"), Ok(None));
    }

    #[test]
    fn what_postgresql_has_no_text_for() {
        assert_eq!(of(r#""a\u0000""#), Err(BadParameter::Zero));
        assert_eq!(of(r#"["a\u0000"]"#), Err(BadParameter::Zero));
        assert_eq!(of("[[[[[[[1]]]]]]]"), Err(BadParameter::TooDeep));
        assert_eq!(of(r#""\ud800""#), Err(BadParameter::Malformed));
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(of(&deep), Err(BadParameter::TooDeep));
    }

    #[test]
    fn as_many_as_the_protocol_can_count() {
        let written = |list: &str| {
            let params: Params<'_> = serde_json::from_str(list).unwrap();
            let mut out = Vec::new();
            params.write(&mut out).map(|()| (out, params.is_empty()))
        };
        assert_eq!(written("null"), Ok((vec![0, 0], true)));
        assert_eq!(written("[ ]"), Ok((vec![0, 0], true)));
        assert_eq!(written("[null]"), Ok((vec![0, 1, 255, 255, 255, 255], false)));
        assert_eq!(written(r#"["ab", 7]"#), Ok((b"\0\x02\0\0\0\x02ab\0\0\0\x017".to_vec(), false)));
        let many = |count: usize| format!("[{}]", vec!["0"; count].join(","));
        assert_eq!(written(&many(65_535)).unwrap().0[..2], [255, 255]);
        assert_eq!(written(&many(65_536)), Err(BadParameter::TooMany));
        assert!(
            serde_json::from_str::<Params<'_>>("{}").is_err()
                && serde_json::from_str::<Params<'_>>("1").is_err()
        );
    }
}
