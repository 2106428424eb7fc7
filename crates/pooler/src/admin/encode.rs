//! Answers as messages.
//!
//! Cells are text. A client of the extended protocol may ask for binary ones, which some drivers always do for
//! types that they know; then numbers are written as PostgreSQL would.

use dormouse_pgwire::Encode as _;
use dormouse_pgwire::backend::{DataRow, ParameterStatus};
use dormouse_pgwire::tag::backend as tag;

use super::show::Cell;

/// ParameterDescription: a statement of the console has no parameters.
pub(super) const PARAMETER_DESCRIPTION: u8 = b't';
/// NoData: no rows will come.
pub(super) const NO_DATA: u8 = b'n';
/// ParseComplete.
pub(super) const PARSE_COMPLETE: u8 = b'1';
/// BindComplete.
pub(super) const BIND_COMPLETE: u8 = b'2';
/// CloseComplete.
pub(super) const CLOSE_COMPLETE: u8 = b'3';

/// How cells are written: per column, or one for all, or text when none is given. True is binary.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Formats(pub(super) Vec<bool>);

impl Formats {
    fn is_binary(&self, column: usize) -> bool {
        match self.0.as_slice() {
            [] => false,
            [all] => *all,
            each => each.get(column).copied().unwrap_or_default(),
        }
    }
}

/// The parameters that the console reports after a login, as a server of `version` with PgBouncer's values.
pub fn welcome(version: &str, out: &mut Vec<u8>) {
    let version = format!("{version}/bouncer");
    let parameters = [
        ("server_version", version.as_str()),
        ("client_encoding", "UTF8"),
        ("server_encoding", "UTF8"),
        ("DateStyle", "ISO"),
        ("TimeZone", "GMT"),
        ("standard_conforming_strings", "on"),
        ("is_superuser", "on"),
    ];
    for (name, value) in parameters {
        ParameterStatus::new(name, value).encode_into(out);
    }
}

/// A message with a body.
pub(super) fn message(out: &mut Vec<u8>, tag: u8, body: &[u8]) {
    out.push(tag);
    let len = u32::try_from(body.len() + 4).expect("an answer of the console is far below 4 GiB");
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(body);
}

/// The identifier and length of a column's type.
const fn type_of(kind: u8) -> (u32, i16) {
    match kind {
        b'i' => (23, 4),
        b'q' => (20, 8),
        b'N' => (1700, -1),
        b'b' => (17, -1),
        _ => (25, -1),
    }
}

pub(super) fn row_description(out: &mut Vec<u8>, columns: &[(&str, u8)], formats: &Formats) {
    let mut body = u16::try_from(columns.len()).expect("tables have a few columns").to_be_bytes().to_vec();
    for (place, (name, kind)) in columns.iter().enumerate() {
        let (oid, len) = type_of(*kind);
        body.extend_from_slice(name.as_bytes());
        // Not a column of a table: no table, no number.
        body.extend_from_slice(&[0; 7]);
        body.extend_from_slice(&oid.to_be_bytes());
        body.extend_from_slice(&len.to_be_bytes());
        body.extend_from_slice(&(-1_i32).to_be_bytes());
        body.extend_from_slice(&u16::from(formats.is_binary(place)).to_be_bytes());
    }
    message(out, tag::ROW_DESCRIPTION, &body);
}

pub(super) fn data_row(out: &mut Vec<u8>, columns: &[(&str, u8)], row: Vec<Cell>, formats: &Formats) {
    let write = |(place, cell): (usize, Cell)| {
        let kind = columns.get(place).map_or(b's', |column| column.1);
        cell.map(|text| if formats.is_binary(place) { binary(kind, &text) } else { text.into_bytes() })
    };
    DataRow { columns: row.into_iter().enumerate().map(write).collect() }.encode_into(out);
}

pub(super) fn command_complete(out: &mut Vec<u8>, tag_text: &str) {
    let mut body: Vec<u8> = tag_text.bytes().filter(|byte| *byte != 0).collect();
    body.push(0);
    message(out, tag::COMMAND_COMPLETE, &body);
}

/// A notice that tells nothing bad: code 00000.
pub(super) fn notice(out: &mut Vec<u8>, text: &str, detail: Option<&str>) {
    let mut body = Vec::new();
    let fields = [
        (b'S', Some("NOTICE")),
        (b'V', Some("NOTICE")),
        (b'C', Some("00000")),
        (b'M', Some(text)),
        (b'D', detail),
    ];
    for (kind, value) in fields {
        if let Some(value) = value {
            body.push(kind);
            body.extend(value.bytes().filter(|byte| *byte != 0));
            body.push(0);
        }
    }
    body.push(0);
    message(out, tag::NOTICE_RESPONSE, &body);
}

/// A cell in binary. Numbers of the console are not negative.
fn binary(kind: u8, text: &str) -> Vec<u8> {
    let number = || text.parse::<u64>().unwrap_or_default();
    match kind {
        b'i' => i32::try_from(number()).unwrap_or(i32::MAX).to_be_bytes().to_vec(),
        b'q' => i64::try_from(number()).unwrap_or(i64::MAX).to_be_bytes().to_vec(),
        b'N' => numeric(number()),
        _ => text.as_bytes().to_vec(),
    }
}

/// `numeric`: groups of four digits, the first one's power of 10000, a sign, digits after the point.
fn numeric(mut number: u64) -> Vec<u8> {
    let mut groups = Vec::new();
    while number > 0 {
        groups.push((number % 10_000) as u16);
        number /= 10_000;
    }
    let count = groups.len() as u16;
    let header = [count, count.saturating_sub(1), 0, 0];
    header.into_iter().chain(groups.into_iter().rev()).flat_map(u16::to_be_bytes).collect()
}
