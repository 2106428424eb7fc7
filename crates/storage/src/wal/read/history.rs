//! Timeline history files: how PostgreSQL knows which timeline came from which, and where.

use std::fmt::Write;

use dormouse_base::{Lsn, Timeline};

use super::Line;

/// The history files of every timeline that began inside the line, before `upto`: name and content.
#[must_use]
pub fn histories(line: &Line, upto: Lsn) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut text = String::new();
    let mut current: Option<Timeline> = None;
    for stretch in line.stretches.iter().filter(|stretch| stretch.from < upto) {
        if let Some(parent) = current.filter(|parent| *parent != stretch.timeline) {
            writeln!(text, "{}\t{}\tdormouse", parent.0, stretch.from).expect("writing to memory");
            files.push((format!("{:08X}.history", stretch.timeline.0), text.clone()));
        }
        current = Some(stretch.timeline);
    }
    files
}
