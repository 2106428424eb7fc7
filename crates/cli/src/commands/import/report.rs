//! What was done: for people a table, for programs JSON; and the log of what failed.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use dormouse_base::Secret;
use serde::{Serialize, Serializer};

use super::failures::Failure;
use crate::error::Error;
use crate::ui::Table;

/// How many failures the terminal shows; the log has all.
const MAX_SHOWN: usize = 5;

/// One database.
#[derive(Debug, Serialize)]
pub(super) struct Done {
    pub(super) source: String,
    pub(super) name: String,
    pub(super) tables: usize,
    /// Rows that were compared; absent with `--no-verify` and `--schema-only`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rows: Option<i64>,
    pub(super) sequences: usize,
    /// It was compared, and nothing differs.
    pub(super) verified: bool,
    #[serde(serialize_with = "open")]
    pub(super) connection_uri: Secret<String>,
}

fn open<S: Serializer>(secret: &Secret<String>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(secret.expose())
}

/// The whole import.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) project_id: String,
    pub(super) project: String,
    pub(super) pg_version: u16,
    pub(super) databases: Vec<Done>,
    /// What stays behind.
    pub(super) notes: Vec<String>,
}

impl Report {
    pub(super) fn table(&self) -> Table {
        let mut table = Table::list(&["DATABASE", "TABLES", "ROWS", "SEQUENCES", "COMPARED", "CONNECT"]);
        for done in &self.databases {
            table.row([
                done.name.clone(),
                done.tables.to_string(),
                done.rows.map(|rows| rows.to_string()).unwrap_or_default(),
                done.sequences.to_string(),
                if done.verified { "yes".into() } else { String::new() },
                done.connection_uri.expose().clone(),
            ]);
        }
        table
    }
}

/// The error for a database that did not come over as a whole; writes a log of everything.
pub(super) fn incomplete(
    database: &str,
    fatal: &[Failure],
    differences: &[String],
    place: Option<&Path>,
) -> Error {
    let mut all: Vec<String> = fatal.iter().map(Failure::shown).collect();
    all.extend_from_slice(differences);
    let mut message = format!("database `{database}` is not complete: {} problems", all.len());
    for line in all.iter().take(MAX_SHOWN) {
        // Writing to a String cannot fail.
        let _ = write!(message, "\n  - {line}");
    }
    if all.len() > MAX_SHOWN {
        message.push_str("\n  - …");
    }
    let error = Error::failed(message);
    match write_log(database, &all, place) {
        Some(path) => error.hint(format!("All of them are in {}.", path.display())),
        None => error,
    }
}

/// `None` = it could not be written; the terminal has the most important lines.
fn write_log(database: &str, lines: &[String], place: Option<&Path>) -> Option<PathBuf> {
    let name: String = database.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    let place = place.map_or_else(std::env::temp_dir, Path::to_owned);
    let path = place.join(format!("dormouse-import-{name}-{}.log", dormouse_base::rand::token(8)));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).ok()?;
    std::io::Write::write_all(&mut file, (lines.join("\n") + "\n").as_bytes()).ok()?;
    Some(path)
}
