//! Questions to a database, through psql: one session, a line of JSON for each row.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use super::program::Login;
use super::tools::Tools;
use crate::error::{Class, Error};

/// Lifts the limits that the server, the database or the role has set for this session: it stands in a
/// transaction for as long as a dump takes, and a count may take longer than any statement of theirs should.
/// Asked of the server, because older ones do not have all of them.
const WITHOUT_LIMITS: &str = "SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name IN (\
     'statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout', \
     'transaction_timeout', 'default_transaction_read_only')";

/// Ends an answer. No row begins like this: rows are JSON.
const MARK: &str = "dormouse: end of answer";

/// An open session. It ends when it is dropped.
#[derive(Debug)]
pub(super) struct Psql {
    _child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    complaints: PathBuf,
    whose: &'static str,
}

impl Psql {
    /// Opens a session. `whose` is `source` or `target`, for error texts; what psql complains about is
    /// collected in `scratch`.
    pub(super) async fn open(
        tools: &Tools,
        login: &Login,
        whose: &'static str,
        scratch: &Path,
    ) -> Result<Self, Error> {
        let program = tools.program("psql");
        let complaints = scratch.join(format!("{whose}-{}.txt", dormouse_base::rand::token(8)));
        let cannot = |error| Error::failed(format!("cannot run {}", program.display())).because(error);
        let file = File::create(&complaints).map_err(|error| {
            Error::failed(format!("cannot write {}", complaints.display())).because(error)
        })?;
        let mut child = login
            .command(&program)
            .args([
                "--no-psqlrc",
                "--no-align",
                "--tuples-only",
                "--quiet",
                "--set=ON_ERROR_STOP=1",
                "--file=-",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .map_err(cannot)?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::failed("psql has no streams"));
        };
        let lines = BufReader::new(stdout).lines();
        let mut session = Self { _child: child, stdin, lines, complaints, whose };
        session.rows(WITHOUT_LIMITS).await?;
        Ok(session)
    }

    /// Runs statements; returns the lines of what they print. The text ends without a semicolon.
    pub(super) async fn rows(&mut self, sql: &str) -> Result<Vec<String>, Error> {
        let text = format!("{sql};\n\\echo {MARK}\n");
        // When psql has ended, what it said is the better error.
        let _ended = self.stdin.write_all(text.as_bytes()).await;
        let _ended = self.stdin.flush().await;
        let mut rows = Vec::new();
        loop {
            match self.lines.next_line().await {
                Ok(Some(line)) if line == MARK => return Ok(rows),
                Ok(Some(line)) => rows.push(line),
                Ok(None) | Err(_) => {
                    let said = fs::read_to_string(&self.complaints).unwrap_or_default();
                    return Err(failed(self.whose, &said));
                }
            }
        }
    }

    /// Asks for one value as JSON.
    pub(super) async fn ask<T: DeserializeOwned>(&mut self, sql: &str) -> Result<T, Error> {
        let rows = self.rows(sql).await?;
        serde_json::from_str(&rows.concat()).map_err(|error| {
            Error::failed(format!("the {} gave an answer that this version does not understand", self.whose))
                .because(error)
        })
    }
}

/// `"name"`, with quotes in it doubled.
pub(super) fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `'value'`. A backslash is doubled, whatever the server thinks of one.
pub(super) fn literal(value: &str) -> String {
    let value = value.replace('\'', "''");
    if value.contains('\\') { format!(" E'{}'", value.replace('\\', r"\\")) } else { format!("'{value}'") }
}

/// PostgreSQL's own words in what psql said.
pub(super) fn words(said: &str) -> &str {
    said.rsplit_once("ERROR:").map_or(said, |(_, words)| words).trim()
}

/// What psql's words mean: which exit class, and what to do.
pub(super) fn failed(whose: &str, said: &str) -> Error {
    let said = said.trim();
    let short = said.lines().last().unwrap_or("psql ended without a word");
    let short = short.strip_prefix("psql: error: ").unwrap_or(short);
    let has = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if has(&["password authentication failed", "no password supplied", "authentication failed"]) {
        return Error::new(Class::Refused, format!("the {whose} does not accept the login: {short}"))
            .hint("Check user and password; special characters of a password are written as %XX.")
            .hint("Without a password in the address, PGPASSWORD and ~/.pgpass are used.");
    }
    if has(&["SSL support is not compiled in"]) {
        return Error::failed(format!("these client programs cannot speak TLS, which the {whose} asks for"))
            .hint("Install the system's own client programs and name their directory with `--tools`.");
    }
    if has(&["no pg_hba.conf entry", "permission denied", "is not permitted to log in"]) {
        return Error::new(Class::Refused, format!("the {whose} does not allow this: {short}"));
    }
    if said.contains("database \"") && said.contains("does not exist") {
        return Error::not_found(format!("the {whose} says: {short}"));
    }
    let network = [
        "could not translate host name",
        "Connection refused",
        "timeout expired",
        "No route to host",
        "Network is unreachable",
        "No such file or directory",
        "server closed the connection",
        "starting up",
        "connection to server",
    ];
    if has(&network) {
        return Error::unreachable(format!("the {whose} cannot be reached: {short}"))
            .hint("Check host and port, and that it accepts connections from here.");
    }
    Error::failed(format!("the {whose} says: {short}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_complaint_has_its_class() {
        let class = |said: &str| failed("source", said).class().status();
        let at = "psql: error: connection to server at \"db\" (10.0.0.1), port 5432 failed: ";
        assert_eq!(class(&format!("{at}FATAL:  password authentication failed for user \"ann\"")), 5);
        assert_eq!(class(&format!("{at}fe_sendauth: no password supplied")), 5);
        assert_eq!(class(&format!("{at}Connection refused\n\tIs the server running on that host?")), 4);
        assert_eq!(
            class("psql: error: could not translate host name \"x\" to address: Name or service not known"),
            4
        );
        assert_eq!(class(&format!("{at}FATAL:  database \"shop\" does not exist")), 3);
        assert_eq!(class("psql:<stdin>:1: ERROR:  permission denied for table secrets"), 5);
        assert_eq!(class("psql:<stdin>:1: ERROR:  syntax error"), 1);
        assert_eq!(class(""), 1);
    }

    #[test]
    fn quoting() {
        assert_eq!(ident("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"\'"), r" E'\\'''");
        assert_eq!(words("the target says: psql:<stdin>:7: ERROR:  no such thing"), "no such thing");
    }
}
