//! The definitions of a database as text, by PostgreSQL's own `pg_dump`.
//!
//! `pg_dump` must be at least as new as the server. Debian's packages have it, and so has the Python wheel of
//! 16; the npm packages of 17 and 18 bring the server only. It talks to a compute, and a compute is hostile:
//! so it runs as that compute's own user, without our environment, with limits on time and size.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use dormouse_compute::postgres::discover::{Installations, SUPPORTED};
use dormouse_compute::sandbox::identity::Identity;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use crate::computes::WayIn;

/// The largest schema that is read, bytes.
pub const MAX_SCHEMA: u64 = 16 * 1024 * 1024;
/// The longest text of an error that is read, bytes.
const MAX_COMPLAINT: u64 = 64 * 1024;
/// How long one dump may take.
pub const DUMP_WITHIN: Duration = Duration::from_secs(60);

/// A schema could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// No client tools that are new enough.
    #[error("reading the schema of a PostgreSQL {major} needs `pg_dump` {major} or newer; {}", have(found))]
    NoProgram {
        /// The server's version.
        major: u16,
        /// Versions of `pg_dump` that are installed.
        found: Vec<u16>,
    },
    /// It did not run, or not to its end.
    #[error("cannot {what} pg_dump")]
    Program {
        /// What was tried.
        what: &'static str,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// It complained.
    #[error("pg_dump refuses: {0}")]
    Refused(String),
    /// It took too long.
    #[error("pg_dump took longer than {} seconds", DUMP_WITHIN.as_secs())]
    Slow,
    /// It says too much.
    #[error("the schema is larger than {MAX_SCHEMA} bytes")]
    Large,
}

fn have(found: &[u16]) -> String {
    if found.is_empty() {
        return "none is installed".to_owned();
    }
    let found: Vec<String> = found.iter().map(u16::to_string).collect();
    format!("installed is {}", found.join(", "))
}

/// Finds a `pg_dump` for a server of this version: of its own version, else the next newer one.
///
/// # Errors
/// [`SchemaError::NoProgram`].
pub fn program(installed: &Installations, major: u16) -> Result<PathBuf, SchemaError> {
    let all = || SUPPORTED.filter_map(|version| Some((version, program_of(installed, version)?)));
    all()
        .find(|(version, _)| *version >= major)
        .map(|(_, path)| path)
        .ok_or_else(|| SchemaError::NoProgram { major, found: all().map(|(version, _)| version).collect() })
}

fn program_of(installed: &Installations, major: u16) -> Option<PathBuf> {
    let own = installed.get(major).map(|i| i.bin.join("pg_dump"));
    let usual = [
        PathBuf::from(format!("/usr/lib/postgresql/{major}/bin/pg_dump")),
        PathBuf::from(format!("/usr/pgsql-{major}/bin/pg_dump")),
    ];
    own.into_iter().chain(usual).find(|path| path.is_file())
}

/// Reads the definitions of one database.
///
/// # Errors
/// See [`SchemaError`].
pub async fn dump(
    program: &Path,
    way: &WayIn,
    identity: Identity,
    database: &str,
) -> Result<String, SchemaError> {
    let mut command = Command::new(program);
    command
        .args(["--schema-only", "--no-password"])
        .env_clear()
        .env("LC_ALL", "C")
        .env("PGHOST", &way.socket_dir)
        .env("PGUSER", way.role)
        .env("PGDATABASE", database)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if !identity.is_current() {
        command.uid(identity.uid).gid(identity.gid);
    }
    let failed = |what| move |source| SchemaError::Program { what, source };
    let mut child = command.spawn().map_err(failed("start"))?;
    let (out, complaint) = (child.stdout.take(), child.stderr.take());
    let work = async {
        let (text, complaint) = tokio::try_join!(read(out, MAX_SCHEMA), read(complaint, MAX_COMPLAINT))
            .map_err(failed("read"))?;
        if text.len() as u64 > MAX_SCHEMA {
            return Err(SchemaError::Large);
        }
        let status = child.wait().await.map_err(failed("wait for"))?;
        if status.success() { Ok(tidy(&text)) } else { Err(SchemaError::Refused(last_line(&complaint))) }
    };
    tokio::time::timeout(DUMP_WITHIN, work).await.unwrap_or(Err(SchemaError::Slow))
}

/// Reads to the end, or one byte beyond the limit.
async fn read(from: Option<impl AsyncRead + Unpin>, limit: u64) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        from.take(limit + 1).read_to_end(&mut bytes).await?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Newer versions protect a restore with a random word, which would make any two dumps differ.
fn tidy(text: &str) -> String {
    let kept = |line: &&str| !line.starts_with("\\restrict ") && !line.starts_with("\\unrestrict ");
    text.split_inclusive('\n').filter(kept).collect()
}

fn last_line(complaint: &str) -> String {
    let line = complaint.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it gave no reason");
    line.strip_prefix("pg_dump: ").unwrap_or(line).chars().take(500).collect()
}

/// A unified diff from `base` to `other`; empty when they are the same.
#[must_use]
pub fn diff((base_name, base): (&str, &str), (name, text): (&str, &str)) -> String {
    similar::TextDiff::from_lines(base, text).unified_diff().header(base_name, name).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_words_and_equal_schemas_make_no_difference() {
        let with = |word: &str| tidy(&format!("a\n\\restrict {word}\nb\n\\unrestrict {word}\n"));
        assert_eq!(with("x"), "a\nb\n");
        assert_eq!(diff(("one", &with("x")), ("two", &with("y"))), "");
        let changed = diff(("main", "a\nb\n"), ("dev", "a\nc\n"));
        assert_eq!(changed, "--- main\n+++ dev\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n");
    }

    #[test]
    fn what_is_missing_is_named() {
        let none = program(&Installations::default(), 99).unwrap_err().to_string();
        assert!(none.contains("`pg_dump` 99 or newer"), "{none}");
        assert_eq!(last_line("pg_dump: error: no\n\n"), "error: no");
        assert_eq!(have(&[15, 16]), "installed is 15, 16");
    }
}
