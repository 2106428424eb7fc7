//! Running pgbench and reading what it says.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use dormouse_compute::postgres::discover::Installations;

use crate::error::Error;
use crate::stop;

/// What one run found out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Outcome {
    /// Transactions per second, without the time to connect.
    pub(crate) tps: f64,
    /// Transactions in all.
    pub(crate) transactions: f64,
    /// Mean latency, milliseconds.
    pub(crate) latency_ms: f64,
    /// Time until all clients had connected, milliseconds; 0 where they connect again and again.
    pub(crate) connect_ms: f64,
}

/// A pgbench program.
#[derive(Debug, Clone)]
pub(crate) struct Pgbench {
    program: PathBuf,
    /// Some builds of the client library cannot encrypt.
    pub(crate) speaks_tls: bool,
}

/// The newest pgbench of the installed versions, if possible one that speaks TLS. (Some
/// installations are the server alone.)
///
/// # Errors
/// When there is none.
pub(crate) fn find() -> Result<Pgbench, Error> {
    let installed = Installations::discover(&[]);
    let programs = installed.iter().map(|i| i.bin.join("pgbench")).filter(|program| program.is_file());
    let mut found: Vec<Pgbench> =
        programs.map(|program| Pgbench { speaks_tls: speaks_tls(&program), program }).collect();
    // Stable: among those that speak TLS, and among the others, the newest stays last.
    found.sort_by_key(|pgbench| pgbench.speaks_tls);
    found.pop().ok_or_else(|| Error::unexpected("no pgbench: install PostgreSQL's client programs"))
}

/// A build without TLS refuses the option before it connects to anything.
fn speaks_tls(program: &Path) -> bool {
    let environment = [("PGHOST", "/nonexistent"), ("PGSSLMODE", "require")];
    let said = Command::new(program).args(["-n", "-t1", "x"]).env_clear().envs(environment).output();
    said.is_ok_and(|said| !String::from_utf8_lossy(&said.stderr).contains("not compiled in"))
}

/// Runs pgbench; `environment` says whom to connect to.
///
/// # Errors
/// When it fails, also when only one of its clients does.
pub(crate) fn run(
    pgbench: &Pgbench,
    environment: &[(&str, String)],
    arguments: &[String],
) -> Result<String, Error> {
    run_watched(pgbench, environment, arguments, &mut || {})
}

/// The same, with `watch` called every few milliseconds while it runs.
///
/// # Errors
/// When it fails, also when only one of its clients does.
pub(crate) fn run_watched(
    pgbench: &Pgbench,
    environment: &[(&str, String)],
    arguments: &[String],
    watch: &mut dyn FnMut(),
) -> Result<String, Error> {
    let mut output = tempfile::tempfile().map_err(Error::system("make a temporary file"))?;
    let copy = |output: &File| output.try_clone().map_err(Error::system("share a temporary file"));
    let mut child = Command::new(&pgbench.program)
        .args(arguments)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(copy(&output)?)
        .stderr(copy(&output)?)
        .process_group(0)
        .spawn()
        .map_err(Error::system("start pgbench"))?;
    let ended = loop {
        if let Some(status) = child.try_wait().map_err(Error::system("wait for pgbench"))? {
            break status;
        }
        if let Err(interrupted) = stop::check() {
            let _ended = child.kill();
            let _reaped = child.wait();
            return Err(interrupted);
        }
        watch();
        std::thread::sleep(Duration::from_millis(10));
    };
    let mut text = String::new();
    output
        .rewind()
        .and_then(|()| output.read_to_string(&mut text))
        .map_err(Error::system("read what pgbench said"))?;
    if ended.success() {
        return Ok(text);
    }
    Err(Error::unexpected(format!("pgbench failed ({ended}): {}", text.trim())))
}

/// Whether a summary says that no transaction ended in time.
pub(crate) fn did_nothing(text: &str) -> bool {
    text.lines().any(|line| line.trim_end() == "number of transactions actually processed: 0")
}

/// Reads the summary that pgbench prints.
///
/// # Errors
/// When something is missing in it.
pub(crate) fn read(text: &str) -> Result<Outcome, Error> {
    let number = |start: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(start))?;
        rest.split(|c: char| !c.is_ascii_digit() && c != '.').find(|word| !word.is_empty())?.parse().ok()
    };
    let missing = || Error::unexpected(format!("pgbench said something new: {}", text.trim()));
    Ok(Outcome {
        tps: number("tps = ").ok_or_else(missing)?,
        transactions: number("number of transactions actually processed: ").ok_or_else(missing)?,
        latency_ms: number("latency average = ").ok_or_else(missing)?,
        connect_ms: number("initial connection time = ").unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_summary() {
        let text = "pgbench (15.1)\nnumber of transactions actually processed: 1234\n\
                    number of failed transactions: 0 (0.000%)\nlatency average = 0.513 ms\n\
                    initial connection time = 20.4 ms\ntps = 31190.5 (without initial connection time)\n";
        let outcome = read(text).unwrap();
        assert_eq!(
            outcome,
            Outcome { tps: 31190.5, transactions: 1234.0, latency_ms: 0.513, connect_ms: 20.4 }
        );
        assert!(read("tps = 1").is_err());
        assert!(did_nothing("x\nnumber of transactions actually processed: 0\n") && !did_nothing(text));
    }
}
