//! Columns without borders, easy to read and easy to cut.

use std::fmt;

use comfy_table::{Cell, CellAlignment, presets};
use dormouse_base::Timestamp;

/// What stands for "nothing" in a cell.
const NOTHING: &str = "-";

/// Rows under a header, or name and value pairs.
#[derive(Debug)]
pub(crate) struct Table(comfy_table::Table);

impl Table {
    /// A list with a header.
    pub(crate) fn list(header: &[&str]) -> Self {
        let mut table = Self::plain();
        table.0.set_header(header);
        table
    }

    /// The fields of one thing, one below the other.
    pub(crate) fn fields<const N: usize>(fields: [(&str, String); N]) -> Self {
        let mut table = Self::plain();
        for (name, value) in fields {
            table.row([name.to_owned(), value]);
        }
        table
    }

    /// A list of rows that somebody else knows the meaning of.
    pub(crate) fn of(header: &[String], rows: impl IntoIterator<Item = Vec<String>>) -> Self {
        let mut table = Self::plain();
        table.0.set_header(header);
        for row in rows {
            table.add(row);
        }
        table
    }

    fn plain() -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        Self(table)
    }

    /// Adds a row; empty cells show a dash.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.add(cells);
    }

    fn add(&mut self, cells: impl IntoIterator<Item = String>) {
        let cell = |text: String| {
            let text = if text.is_empty() { String::from(NOTHING) } else { text };
            Cell::new(text).set_alignment(CellAlignment::Left)
        };
        self.0.add_row(cells.into_iter().map(cell));
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.0.lines() {
            // Every cell has a space on both sides; the outer ones help nobody.
            let line = line.strip_prefix(' ').unwrap_or(&line);
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// A point in time, UTC, to the second.
pub(crate) fn time(at: Option<Timestamp>) -> String {
    at.map(|at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()).unwrap_or_default()
}

/// A number of bytes.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// A timeout in seconds, with the words for its special values.
pub(crate) fn seconds(value: i64, zero: &str, minus_one: &str) -> String {
    match value {
        0 => zero.to_owned(),
        -1 => minus_one.to_owned(),
        other => format!("{other}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_without_trailing_blanks() {
        let mut table = Table::list(&["ID", "NAME"]);
        table.row(["1".into(), "main".into()]);
        table.row(["1234".into(), String::new()]);
        insta::assert_snapshot!(table, @r"
        ID    NAME
        1     main
        1234  -
        ");
    }

    #[test]
    fn sizes_for_people() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(7 * 1024 * 1024 * 1024), "7.0 GiB");
    }

    #[test]
    fn special_timeouts_have_words() {
        assert_eq!(seconds(300, "default", "never"), "300s");
        assert_eq!(seconds(0, "default", "never"), "default");
        assert_eq!(seconds(-1, "default", "never"), "never");
    }
}
