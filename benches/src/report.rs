//! What is printed: tables for people, or one JSON document with the same content.

use std::fmt;

use comfy_table::{Cell, CellAlignment, presets};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use crate::machine::Machine;
pub(crate) use crate::target::Target;

/// Everything that one run found out.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Where.
    pub(crate) machine: Machine,
    /// What, in the order of measuring.
    pub(crate) parts: Vec<PartReport>,
}

/// What one part found out.
#[derive(Debug, Serialize)]
pub(crate) struct PartReport {
    /// The part's name.
    pub(crate) name: &'static str,
    /// Its tables.
    pub(crate) sections: Vec<Section>,
    /// Its figures against the targets.
    pub(crate) targets: Vec<Target>,
    /// What one must know to read the figures.
    pub(crate) notes: Vec<String>,
}

/// Rows with the same figures.
#[derive(Debug, Serialize)]
pub(crate) struct Section {
    /// What they are about.
    pub(crate) title: String,
    /// The rows.
    pub(crate) rows: Vec<Row>,
}

/// One measured thing.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// What.
    pub(crate) what: String,
    /// The unit of all figures but counts.
    pub(crate) unit: &'static str,
    /// Names and values.
    #[serde(serialize_with = "as_map")]
    pub(crate) figures: Vec<(&'static str, f64)>,
    /// What `ratio` compares with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) baseline: Option<String>,
    /// The main figure divided by the baseline's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ratio: Option<f64>,
}

fn as_map<S: Serializer>(figures: &[(&'static str, f64)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(figures.len()))?;
    for (name, value) in figures {
        map.serialize_entry(name, value)?;
    }
    map.end()
}

impl Report {
    /// An empty report of this machine.
    pub(crate) fn new() -> Self {
        Self { machine: Machine::look(), parts: Vec::new() }
    }

    /// The whole report as JSON.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("names and finite numbers can be written as JSON")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        self.parts.iter().try_for_each(|part| write!(f, "\n{part}"))
    }
}

impl fmt::Display for PartReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for section in &self.sections {
            writeln!(f, "{}: {}", self.name, section.title)?;
            write_table(f, &header_of(section), section.rows.iter().map(cells_of))?;
            writeln!(f)?;
        }
        let targets = self.targets.iter().map(|target| {
            let range = target
                .range
                .map_or_else(String::new, |[low, high]| format!("{} to {}", number(low), number(high)));
            let verdict = target.verdict.word().to_owned();
            vec![target.figure.clone(), number(target.measured), range, target.wanted.clone(), verdict]
        });
        let header = [&format!("{}: target", self.name), "measured", "range", "wanted", "verdict"];
        write_table(f, &header, targets)?;
        self.notes.iter().try_for_each(|note| writeln!(f, "  note: {note}"))
    }
}

fn header_of(section: &Section) -> Vec<&str> {
    let figures = section.rows.first().map(|row| row.figures.as_slice()).unwrap_or_default();
    let mut header = vec!["what", "unit"];
    header.extend(figures.iter().map(|(name, _)| *name));
    if section.rows.iter().any(|row| row.baseline.is_some()) {
        header.extend(["ratio", "to"]);
    }
    header
}

fn cells_of(row: &Row) -> Vec<String> {
    let mut cells = vec![row.what.clone(), row.unit.to_owned()];
    cells.extend(row.figures.iter().map(|(_, value)| number(*value)));
    if let Some(baseline) = &row.baseline {
        cells.extend([row.ratio.map_or_else(String::new, number), baseline.clone()]);
    }
    cells
}

/// About three digits, which is more than the machine's noise leaves certain.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn write_table<S: AsRef<str>>(
    f: &mut fmt::Formatter<'_>,
    header: &[S],
    rows: impl Iterator<Item = Vec<String>>,
) -> fmt::Result {
    let mut table = comfy_table::Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.iter().map(AsRef::as_ref));
    for row in rows {
        // Numbers to the right, words to the left.
        table.add_row(row.into_iter().map(|cell| {
            let side = if cell.parse::<f64>().is_ok() { CellAlignment::Right } else { CellAlignment::Left };
            Cell::new(cell).set_alignment(side)
        }));
    }
    table.lines().try_for_each(|line| writeln!(f, " {}", line.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part() -> PartReport {
        let row = |what: &str, baseline: Option<&str>| Row {
            what: what.to_owned(),
            unit: "ms",
            figures: vec![("n", 60.0), ("p50", 12.345)],
            baseline: baseline.map(str::to_owned),
            ratio: baseline.map(|_| 1.5),
        };
        PartReport {
            name: "wake",
            sections: vec![Section { title: "t".into(), rows: vec![row("a", None), row("b", Some("a"))] }],
            targets: vec![Target::at_most("x", 2.0, 1.0, "ms"), Target::at_least("y", 2.0, 1.0, "")],
            notes: vec!["n".into()],
        }
    }

    #[test]
    fn people_get_every_figure_and_verdict() {
        let text = part().to_string();
        for expected in ["12.3", "1.50", "MISSED", "met", "≤ 1 ms", "≥ 1", "note: n"] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
    }

    #[test]
    fn programs_get_numbers() {
        let json = serde_json::to_value(part()).unwrap();
        assert_eq!(json["sections"][0]["rows"][1]["figures"]["p50"], 12.345);
        assert_eq!(json["targets"][0]["met"], false);
    }
}
