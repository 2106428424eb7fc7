//! Statements as messages of the wire protocol. Pure.
//!
//! ```text
//!  single   Parse "" · Bind · Describe · Execute · Sync
//!  batch    BEGIN · (Parse · Bind · Describe · Execute)… · COMMIT · Sync      one round trip
//! ```
//!
//! Types of parameters are left to the server and results come as text, so nothing here knows a type. After an
//! error PostgreSQL skips everything up to Sync, COMMIT as well.

use super::headers::Transaction;
use super::parameter::BadParameter;
use super::statement::{Statement, Work};

/// A Sync message.
pub(crate) const SYNC: [u8; 5] = [b'S', 0, 0, 0, 4];

/// What ends COPY data that nobody will send, with the Sync that COPY has swallowed.
pub(crate) fn copy_fail() -> Vec<u8> {
    let mut out = Vec::new();
    message(&mut out, b'f', |body| text(body, "COPY is not possible over HTTP"));
    out.extend_from_slice(&SYNC);
    out
}

/// A simple query.
pub(crate) fn query(sql: &str) -> Vec<u8> {
    let mut out = Vec::new();
    message(&mut out, b'Q', |body| text(body, sql));
    out
}

/// All messages of a request.
pub(crate) fn of_work(work: &Work<'_>, transaction: Transaction) -> Result<Vec<u8>, BadParameter> {
    let mut out = Vec::with_capacity(256);
    match work {
        Work::Single(statement) => described(&mut out, statement, 0)?,
        Work::Batch(statements) => {
            bare(&mut out, &transaction.begin());
            for statement in statements {
                described(&mut out, statement, 0)?;
            }
            bare(&mut out, "COMMIT");
        }
    }
    out.extend_from_slice(&SYNC);
    Ok(out)
}

/// The messages of one statement that gives at most `max_rows` rows; 0: all.
pub(crate) fn of_limited(statement: &Statement<'_>, max_rows: u32) -> Result<Vec<u8>, BadParameter> {
    let mut out = Vec::with_capacity(256);
    described(&mut out, statement, max_rows)?;
    out.extend_from_slice(&SYNC);
    Ok(out)
}

/// A statement without parameters or rows.
fn bare(out: &mut Vec<u8>, sql: &str) {
    parse(out, sql);
    message(out, b'B', |body| body.extend_from_slice(&[0; 8]));
    execute(out, 0);
}

fn described(out: &mut Vec<u8>, statement: &Statement<'_>, max_rows: u32) -> Result<(), BadParameter> {
    parse(out, &statement.query);
    let mut written = Ok(());
    message(out, b'B', |body| {
        // Portal and statement without names, all parameters as text.
        body.extend_from_slice(&[0, 0, 0, 0]);
        written = statement.params.write(body);
        // All results as text.
        body.extend_from_slice(&[0, 0]);
    });
    written?;
    message(out, b'D', |body| body.extend_from_slice(b"P\0"));
    execute(out, max_rows);
    Ok(())
}

fn parse(out: &mut Vec<u8>, sql: &str) {
    message(out, b'P', |body| {
        body.push(0);
        text(body, sql);
        body.extend_from_slice(&[0, 0]);
    });
}

fn execute(out: &mut Vec<u8>, max_rows: u32) {
    message(out, b'E', |body| {
        body.push(0);
        body.extend_from_slice(&max_rows.to_be_bytes());
    });
}

fn text(body: &mut Vec<u8>, text: &str) {
    body.extend_from_slice(text.as_bytes());
    body.push(0);
}

fn message(out: &mut Vec<u8>, tag: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    out.push(tag);
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    fill(out);
    let len = length(out.len() - at);
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
}

/// A request is smaller than 64 MiB, and so is each of its parts.
fn length(len: usize) -> u32 {
    u32::try_from(len).expect("bounded by the size of a request")
}

#[cfg(test)]
mod tests {
    use super::super::statement;
    use super::*;

    fn of(body: &str) -> Vec<u8> {
        of_work(&statement::read(body.as_bytes()).unwrap(), Transaction::default()).unwrap()
    }

    fn tags(bytes: &[u8]) -> String {
        let (mut tags, mut rest) = (String::new(), bytes);
        while let Some(header) = dormouse_pgwire::frame::header(rest) {
            let header = header.unwrap();
            tags.push(char::from(header.tag));
            rest = &rest[5 + header.body_len..];
        }
        assert!(rest.is_empty());
        tags
    }

    #[test]
    fn a_statement_is_five_messages() {
        let bytes = of(r#"{"query":"SELECT $1","params":["ab",null]}"#);
        assert_eq!(tags(&bytes), "PBDES");
        let bind = b"B\0\0\0\x16\0\0\0\0\0\x02\0\0\0\x02ab\xff\xff\xff\xff\0\0";
        assert!(bytes.windows(bind.len()).any(|w| w == bind), "{bytes:?}");
        let statement::Work::Single(one) = statement::read(br#"{"query":"SELECT 1"}"#).unwrap() else {
            panic!()
        };
        let bytes = of_limited(&one, 1000).unwrap();
        assert_eq!(
            (tags(&bytes).as_str(), &bytes[bytes.len() - 9..]),
            ("PBDES", b"\0\0\x03\xe8S\0\0\0\x04".as_slice())
        );
    }

    #[test]
    fn a_batch_is_one_transaction_in_one_series() {
        let bytes = of(r#"{"queries":[{"query":"a"},{"query":"b"}]}"#);
        assert_eq!(tags(&bytes), "PBEPBDEPBDEPBES");
        assert_eq!(tags(&copy_fail()), "fS");
        assert_eq!(query("ROLLBACK"), b"Q\0\0\0\x0dROLLBACK\0");
    }
}
