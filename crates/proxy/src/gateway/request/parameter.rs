//! A parameter in JSON as PostgreSQL's text. Pure.
//!
//! ```text
//!  null              NULL                 "text"     text
//!  12, 1.50, 1e400   as it is written     true       true
//!  {"a":1}           as it is written     [1,"x",null,[…]]   {1,"x",NULL,{…}}
//! ```
//!
//! The official driver sends texts and null only; others may send JSON. Numbers are not read, so none loses digits.
//! An object inside of an array becomes a quoted JSON text, as an element of `json[]` is written.

use serde::Deserialize;
use serde_json::value::RawValue;

/// PostgreSQL's arrays have at most six dimensions.
const MAX_DIMENSIONS: usize = 6;

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
}

/// A parameter's text; `None` = NULL.
pub(crate) fn text_of(value: &RawValue) -> Result<Option<Vec<u8>>, BadParameter> {
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
    let elements: Vec<&RawValue> = serde_json::from_str(written).map_err(|_| BadParameter::Malformed)?;
    out.push(b'{');
    for (n, element) in elements.iter().enumerate() {
        if n > 0 {
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
    }
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

/// The parameters of one statement, each as it is written.
pub(crate) fn all<'a, D: serde::Deserializer<'a>>(list: D) -> Result<Vec<&'a RawValue>, D::Error> {
    Option::<Vec<&RawValue>>::deserialize(list).map(Option::unwrap_or_default)
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
}
