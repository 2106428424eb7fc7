//! One value of PostgreSQL as JSON, for clients that do not read texts themselves. Pure.
//!
//! | type | JSON |
//! |---|---|
//! | boolean | `true`, `false` |
//! | int2, int4, float4, float8 | a number; `NaN` and infinities are strings |
//! | json, jsonb | as it is |
//! | arrays of built-in types | arrays |
//! | everything else, int8 and numeric too | a string: a JavaScript number would lose digits |

use super::json;

/// Arrays have at most six dimensions.
const MAX_DIMENSIONS: usize = 6;

/// How a type is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Number,
    Json,
    Text,
    ArrayOf(Element),
}

/// How an array's elements are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    Bool,
    Number,
    Json,
    Text,
}

impl Element {
    fn kind(self) -> Kind {
        match self {
            Self::Bool => Kind::Bool,
            Self::Number => Kind::Number,
            Self::Json => Kind::Json,
            Self::Text => Kind::Text,
        }
    }
}

/// The kind of a type, by its OID in `pg_type.dat`.
pub(crate) fn kind(type_oid: u32) -> Kind {
    match type_oid {
        16 => Kind::Bool,
        21 | 23 | 700 | 701 => Kind::Number,
        114 | 3802 => Kind::Json,
        1000 => Kind::ArrayOf(Element::Bool),
        1005 | 1007 | 1021 | 1022 => Kind::ArrayOf(Element::Number),
        199 | 3807 => Kind::ArrayOf(Element::Json),
        // xml, cidr, money, bytea, char, name, tid, xid, cid, oidvector, bpchar, text, varchar, int8, point, …, oid,
        // macaddr, inet, timestamp, date, time, timestamptz, interval, numeric, cstring, timetz, bit, varbit, uuid,
        // and ranges. Not box (1020), whose elements are separated by semicolons.
        143
        | 651
        | 791
        | 1001..=1003
        | 1008..=1019
        | 1028
        | 1040
        | 1041
        | 1115
        | 1182
        | 1183
        | 1185
        | 1187
        | 1231
        | 1263
        | 1270
        | 1561
        | 1563
        | 2951
        | 3905
        | 3907
        | 3909
        | 3911
        | 3913
        | 3927 => Kind::ArrayOf(Element::Text),
        _ => Kind::Text,
    }
}

/// The name of a built-in type that is used often.
pub(crate) fn type_name(type_oid: u32) -> Option<&'static str> {
    const NAMES: [(u32, &str); 44] = [
        (16, "bool"),
        (17, "bytea"),
        (18, "char"),
        (19, "name"),
        (20, "int8"),
        (21, "int2"),
        (23, "int4"),
        (25, "text"),
        (26, "oid"),
        (114, "json"),
        (142, "xml"),
        (700, "float4"),
        (701, "float8"),
        (790, "money"),
        (869, "inet"),
        (650, "cidr"),
        (829, "macaddr"),
        (1042, "bpchar"),
        (1043, "varchar"),
        (1082, "date"),
        (1083, "time"),
        (1114, "timestamp"),
        (1184, "timestamptz"),
        (1186, "interval"),
        (1266, "timetz"),
        (1560, "bit"),
        (1562, "varbit"),
        (1700, "numeric"),
        (2278, "void"),
        (2950, "uuid"),
        (3802, "jsonb"),
        (1000, "bool[]"),
        (1005, "int2[]"),
        (1007, "int4[]"),
        (1016, "int8[]"),
        (1009, "text[]"),
        (1015, "varchar[]"),
        (1021, "float4[]"),
        (1022, "float8[]"),
        (1115, "timestamp[]"),
        (1185, "timestamptz[]"),
        (1231, "numeric[]"),
        (2951, "uuid[]"),
        (3807, "jsonb[]"),
    ];
    NAMES.iter().find(|(oid, _)| *oid == type_oid).map(|(_, name)| *name)
}

/// Writes a value that is not null.
pub(crate) fn write(out: &mut Vec<u8>, kind: Kind, text: &[u8]) {
    match kind {
        Kind::Bool if text == b"t" => out.extend_from_slice(b"true"),
        Kind::Bool if text == b"f" => out.extend_from_slice(b"false"),
        Kind::Number if is_number(text) => out.extend_from_slice(text),
        Kind::Json if std::str::from_utf8(text).is_ok() => out.extend_from_slice(text),
        Kind::ArrayOf(element) => {
            let start = out.len();
            if array(out, element, text).is_none() {
                out.truncate(start);
                json::string(out, text);
            }
        }
        _ => json::string(out, text),
    }
}

/// PostgreSQL writes numbers as JSON does, apart from those that are none.
fn is_number(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    digits.first().is_some_and(u8::is_ascii_digit)
}

/// Writes an array; `None` when the text is not one that we read.
fn array(out: &mut Vec<u8>, element: Element, text: &[u8]) -> Option<()> {
    // Bounds that do not begin with one are written in front: [0:2]={…}
    let text = if text.first() == Some(&b'[') {
        let at = text.iter().position(|b| *b == b'=')?;
        &text[at + 1..]
    } else {
        text
    };
    let rest = elements(out, element, text, 1)?;
    rest.is_empty().then_some(())
}

fn elements<'a>(out: &mut Vec<u8>, element: Element, text: &'a [u8], depth: usize) -> Option<&'a [u8]> {
    let mut rest = text.strip_prefix(b"{").filter(|_| depth <= MAX_DIMENSIONS)?;
    out.push(b'[');
    if let Some(rest) = rest.strip_prefix(b"}") {
        out.push(b']');
        return Some(rest);
    }
    let mut unquoted = Vec::new();
    loop {
        match rest.first()? {
            b'{' => rest = elements(out, element, rest, depth + 1)?,
            b'"' => {
                unquoted.clear();
                rest = unquote(&rest[1..], &mut unquoted)?;
                write(out, element.kind(), &unquoted);
            }
            _ => {
                let end = rest.iter().position(|b| matches!(b, b',' | b'}'))?;
                let (word, after) = rest.split_at(end);
                if word.eq_ignore_ascii_case(b"NULL") {
                    out.extend_from_slice(b"null");
                } else {
                    write(out, element.kind(), word);
                }
                rest = after;
            }
        }
        let (next, after) = rest.split_first()?;
        rest = after;
        match next {
            b',' => out.push(b','),
            b'}' => {
                out.push(b']');
                return Some(rest);
            }
            _ => return None,
        }
    }
}

/// Reads up to the closing quote.
fn unquote<'a>(text: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    let mut rest = text;
    loop {
        let (byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            b'"' => return Some(rest),
            b'\\' => {
                let (byte, after) = rest.split_first()?;
                out.push(*byte);
                rest = after;
            }
            byte => out.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(oid: u32, text: &str) -> String {
        let mut out = Vec::new();
        write(&mut out, kind(oid), text.as_bytes());
        let written = String::from_utf8(out).unwrap();
        serde_json::from_str::<serde_json::Value>(&written).unwrap_or_else(|e| panic!("{written}: {e}"));
        written
    }

    #[test]
    fn values_by_type() {
        for (oid, text, wanted) in [
            (16, "t", "true"),
            (23, "-12", "-12"),
            (701, "1e+300", "1e+300"),
            (701, "NaN", "\"NaN\""),
            (700, "-Infinity", "\"-Infinity\""),
            (20, "9007199254740993", "\"9007199254740993\""),
            (1700, "1.10", "\"1.10\""),
            (3802, "{\"a\": [1, null]}", "{\"a\": [1, null]}"),
            (25, "a\"b", "\"a\\\"b\""),
            (17, "\\x00ff", "\"\\\\x00ff\""),
            (999_999, "{1,2}", "\"{1,2}\""),
        ] {
            assert_eq!(of(oid, text), wanted, "{oid} {text}");
        }
    }

    #[test]
    fn arrays() {
        for (oid, text, wanted) in [
            (1007, "{}", "[]"),
            (1007, "{1,NULL,-3}", "[1,null,-3]"),
            (1007, "[0:1]={1,2}", "[1,2]"),
            (1007, "{{1,2},{3,4}}", "[[1,2],[3,4]]"),
            (1009, r#"{a,"b\"c","NULL",NULL,"x,}"}"#, r#"["a","b\"c","NULL",null,"x,}"]"#),
            (1000, "{t,f}", "[true,false]"),
            (3807, r#"{"{\"a\": 1}",NULL}"#, r#"[{"a": 1},null]"#),
            (1022, "{1.5,NaN}", r#"[1.5,"NaN"]"#),
            (1016, "{1}", r#"["1"]"#),
            (1009, "{broken", r#""{broken""#),
        ] {
            assert_eq!(of(oid, text), wanted, "{oid} {text}");
        }
    }
}
