//! The result of one statement, written while its messages come. Pure.
//!
//! ```text
//!  {"fields":[…],"rows":[…],"command":"SELECT","rowCount":1,"rowAsArray":true}
//!   RowDescription DataRow… CommandComplete
//! ```

use super::json;
use super::value::{self, Kind};
use crate::gateway::request::headers::{Output, Style};

/// A message of PostgreSQL that is shorter than it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message of the backend is malformed")]
pub(crate) struct Malformed;

/// Writes one result.
#[derive(Debug)]
pub(crate) struct Writer {
    output: Output,
    columns: Vec<Column>,
    rows: u64,
    begun: bool,
}

#[derive(Debug)]
struct Column {
    kind: Kind,
    /// Its name with quotes and colon, as each row of objects repeats it.
    key: Vec<u8>,
}

impl Writer {
    /// For one statement.
    pub(crate) fn new(output: Output) -> Self {
        Self { output, columns: Vec::new(), rows: 0, begun: false }
    }

    /// Writes the fields of a RowDescription, as a list.
    pub(crate) fn fields(&mut self, out: &mut Vec<u8>, body: &[u8]) -> Result<(), Malformed> {
        let mut cursor = Cursor(body);
        let count = cursor.u16()?;
        self.columns = Vec::with_capacity(usize::from(count));
        out.push(b'[');
        for n in 0..count {
            let name = cursor.text()?;
            let (table, column) = (cursor.u32()?, cursor.i16()?);
            let (type_oid, size, modifier) = (cursor.u32()?, cursor.i16()?, cursor.i32()?);
            let _format = cursor.u16()?;
            if n > 0 {
                out.push(b',');
            }
            out.extend_from_slice(b"{\"name\":");
            json::string(out, name);
            if self.output.style == Style::Plain {
                out.extend_from_slice(b",\"type\":");
                json::string_or_null(out, value::type_name(type_oid));
            }
            for (key, number) in [
                (&b",\"tableID\":"[..], i64::from(table)),
                (b",\"columnID\":", column.into()),
                (b",\"dataTypeID\":", type_oid.into()),
                (b",\"dataTypeSize\":", size.into()),
                (b",\"dataTypeModifier\":", modifier.into()),
            ] {
                out.extend_from_slice(key);
                json::number(out, number);
            }
            out.extend_from_slice(b",\"format\":\"text\"}");
            let mut key = Vec::with_capacity(name.len() + 3);
            json::string(&mut key, name);
            key.push(b':');
            self.columns.push(Column { kind: value::kind(type_oid), key });
        }
        out.push(b']');
        Ok(())
    }

    /// Rows that were written.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Begins the result with its fields; `None`: the statement has no rows.
    pub(crate) fn begin(&mut self, out: &mut Vec<u8>, fields: Option<&[u8]>) -> Result<(), Malformed> {
        out.extend_from_slice(b"{\"fields\":");
        match fields {
            Some(body) => self.fields(out, body)?,
            None => out.extend_from_slice(b"[]"),
        }
        out.extend_from_slice(b",\"rows\":[");
        self.begun = true;
        Ok(())
    }

    /// Writes one DataRow.
    pub(crate) fn row(&mut self, out: &mut Vec<u8>, body: &[u8]) -> Result<(), Malformed> {
        if self.rows > 0 {
            out.push(b',');
        }
        self.bare_row(out, body)
    }

    /// Writes one DataRow, without anything between it and others.
    pub(crate) fn bare_row(&mut self, out: &mut Vec<u8>, body: &[u8]) -> Result<(), Malformed> {
        let mut cursor = Cursor(body);
        let count = usize::from(cursor.u16()?);
        if count != self.columns.len() {
            return Err(Malformed);
        }
        self.rows += 1;
        let (open, close) = if self.output.array_mode { (b'[', b']') } else { (b'{', b'}') };
        out.push(open);
        for (n, column) in self.columns.iter().enumerate() {
            if n > 0 {
                out.push(b',');
            }
            if !self.output.array_mode {
                out.extend_from_slice(&column.key);
            }
            match cursor.value()? {
                None => out.extend_from_slice(b"null"),
                Some(text) if self.output.raw_text => json::string(out, text),
                Some(text) => value::write(out, column.kind, text),
            }
        }
        out.push(close);
        Ok(())
    }

    /// Ends the result with a CommandComplete; `None`: the statement was empty.
    pub(crate) fn end(&mut self, out: &mut Vec<u8>, tag: Option<&[u8]>) -> Result<(), Malformed> {
        if !self.begun {
            self.begin(out, None)?;
        }
        let (command, count) = match tag {
            Some(body) => command(body),
            None => ("", None),
        };
        out.extend_from_slice(b"],\"command\":");
        json::string(out, command.as_bytes());
        out.extend_from_slice(b",\"rowCount\":");
        match count {
            Some(count) => json::number(out, count),
            None => out.extend_from_slice(b"null"),
        }
        if self.output.style == Style::Driver {
            out.extend_from_slice(b",\"rowAsArray\":");
            out.extend_from_slice(if self.output.array_mode { b"true" } else { b"false" });
            out.push(b'}');
        }
        Ok(())
    }
}

/// `INSERT 0 3` is an INSERT of three rows, `CREATE TABLE` a CREATE of no number.
pub(crate) fn command(body: &[u8]) -> (&str, Option<i64>) {
    let text = std::str::from_utf8(body.strip_suffix(b"\0").unwrap_or(body)).unwrap_or("");
    let mut words = text.split(' ');
    let first = words.next().unwrap_or("");
    (first, words.next_back().and_then(|last| last.parse().ok()))
}

/// Reads the body of a message.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        self.take().map(u16::from_be_bytes)
    }

    fn i16(&mut self) -> Result<i16, Malformed> {
        self.take().map(i16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.take().map(u32::from_be_bytes)
    }

    fn i32(&mut self) -> Result<i32, Malformed> {
        self.take().map(i32::from_be_bytes)
    }

    fn text(&mut self) -> Result<&'a [u8], Malformed> {
        let end = self.0.iter().position(|b| *b == 0).ok_or(Malformed)?;
        let text = &self.0[..end];
        self.0 = &self.0[end + 1..];
        Ok(text)
    }

    fn value(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        let Ok(len) = usize::try_from(self.i32()?) else { return Ok(None) };
        let (value, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        Ok(Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description(columns: &[(&str, u32)]) -> Vec<u8> {
        let mut body = u16::try_from(columns.len()).unwrap().to_be_bytes().to_vec();
        for (name, oid) in columns {
            body.extend_from_slice(name.as_bytes());
            body.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0]);
            body.extend_from_slice(&oid.to_be_bytes());
            body.extend_from_slice(&[0, 4, 0xff, 0xff, 0xff, 0xff, 0, 0]);
        }
        body
    }

    fn row(values: &[Option<&str>]) -> Vec<u8> {
        let mut body = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
        for value in values {
            match value {
                None => body.extend_from_slice(&(-1_i32).to_be_bytes()),
                Some(text) => {
                    body.extend_from_slice(&i32::try_from(text.len()).unwrap().to_be_bytes());
                    body.extend_from_slice(text.as_bytes());
                }
            }
        }
        body
    }

    fn written(output: Output) -> serde_json::Value {
        let (mut writer, mut out) = (Writer::new(output), Vec::new());
        writer.begin(&mut out, Some(&description(&[("n", 23), ("te\"xt", 25)]))).unwrap();
        writer.row(&mut out, &row(&[Some("1"), Some("a")])).unwrap();
        writer.row(&mut out, &row(&[None, Some("")])).unwrap();
        writer.end(&mut out, Some(b"SELECT 2\0")).unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn all_four_shapes() {
        let rows = |raw_text, array_mode| {
            written(Output { raw_text, array_mode, style: Style::Driver })["rows"].to_string()
        };
        assert_eq!(rows(true, true), r#"[["1","a"],[null,""]]"#);
        assert_eq!(rows(false, true), r#"[[1,"a"],[null,""]]"#);
        assert_eq!(rows(true, false), r#"[{"n":"1","te\"xt":"a"},{"n":null,"te\"xt":""}]"#);
        let whole = written(Output::default());
        assert_eq!(whole["command"], "SELECT");
        assert_eq!((&whole["rowCount"], &whole["rowAsArray"]), (&2.into(), &false.into()));
        let field = r#"{"columnID":0,"dataTypeID":23,"dataTypeModifier":-1,"dataTypeSize":4,"format":"text","name":"n","tableID":0}"#;
        assert_eq!(whole["fields"][0].to_string(), field);
    }

    #[test]
    fn results_without_rows_and_broken_ones() {
        let (mut writer, mut out) = (Writer::new(Output::default()), Vec::new());
        writer.end(&mut out, None).unwrap();
        let empty = r#"{"fields":[],"rows":[],"command":"","rowCount":null,"rowAsArray":false}"#;
        assert_eq!(out, empty.as_bytes());
        let tags: [(&[u8], _); 4] = [
            (b"INSERT 0 3\0", ("INSERT", Some(3))),
            (b"CREATE TABLE\0", ("CREATE", None)),
            (b"BEGIN\0", ("BEGIN", None)),
            (b"\xff\0", ("", None)),
        ];
        for (tag, wanted) in tags {
            assert_eq!(command(tag), wanted);
        }
        for cut in 0..20 {
            let whole = description(&[("n", 23)]);
            assert_eq!(writer.begin(&mut out, Some(&whole[..cut.min(whole.len() - 1)])), Err(Malformed));
        }
        writer.begin(&mut out, Some(&description(&[("n", 23)]))).unwrap();
        assert_eq!(writer.row(&mut out, &row(&[])), Err(Malformed));
        assert_eq!(writer.row(&mut out, b"\0\x01\0\0\0\x05a"), Err(Malformed));
    }
}
